#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""Every operation of the API for every role: a test each, made from the table."""

import uuid

from tempest import config
from tempest.lib import decorators
from tempest.lib.common.utils import data_utils
from tempest.lib.common.utils import test_utils

from freezer_tempest_tests.tests import base
from freezer_tempest_tests.tests.rbac import table

CONF = config.CONF
NAMESPACE = uuid.UUID('f1f5b5ee-6d0a-4a7e-8a4e-3d3f5d2b9d6c')
NOUNS = {
    'job': 'jobs',
    'action': 'actions',
    'session': 'sessions',
    'client': 'clients',
    'backup': 'backups',
}
REPORTS = {
    'started': {'run_id': 'none', 'epoch': 1, 'pid': 1},
    'progress': {'run_id': 'none', 'epoch': 1, 'progress': {}},
    'finished': {
        'run_id': 'none',
        'epoch': 1,
        'progress': {},
        'outcome': 'success',
        'result': {},
    },
}


class RbacTest(base.BackupTest):
    """What the roles are answered. The tests are added below."""

    credentials = [
        'project_admin',
        'project_manager',
        'project_member',
        'project_reader',
        'project_alt_member',
        ['service', 'service'],
    ]

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        logins = {
            'reader': cls.os_project_reader,
            'member': cls.os_project_member,
            'manager': cls.os_project_manager,
            'admin': cls.os_project_admin,
            'service': cls.os_service,
            'stranger': cls.os_project_alt_member,
        }
        cls.callers = {role: logins[role].freezer.BackupClient() for role in table.ROLES}
        cls.client = cls.callers['admin']

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        cls.addClassResourceCleanup(cls.client.call, 'DELETE', cls.client.path('quotas'))

    def _check(self, operation, role):
        made = {
            name: self.make(noun) for name, noun in NOUNS.items() if '{%s}' % name in operation.path
        }
        if '{new}' in operation.path:
            # A client belongs to the login that says hello, so it is registered by nobody before.
            made['new'] = data_utils.rand_name('agent')
            self.addCleanup(self.client.remove, 'clients', made['new'])
        if '{run}' in operation.path:
            made['run'] = self._run_id()
        if operation.name == 'agent_work' and role in operation.allowed:
            self._says_hello(role, made['new'])
        path = '/v2/%s/%s' % (self.client.tenant_id, operation.path.format(**made))
        body = self._body(operation, made)
        status, _headers, answer = self.callers[role].call(operation.method, path, body)
        self._forget(operation, answer)
        expected = operation.status if role in operation.allowed else 403
        self.assertEqual(
            expected, status, '%s %s as %s: %s' % (operation.method, operation.path, role, answer)
        )
        if expected == 403:
            self.assertTrue(answer['description'], answer)

    def _says_hello(self, role, agent):
        """The agent that a role's login speaks for is registered."""
        path = self.client.path('agents', agent, 'hello')
        status, _headers, answer = self.callers[role].call('POST', path, self._hello(agent))
        self.assertEqual(200, status, answer)

    def _hello(self, agent):
        words = {
            'actions': ['backup'],
            'modes': ['fs'],
            'storages': ['local', 'swift'],
            'engines': ['tar'],
        }
        return {
            'project_id': self.client.tenant_id,
            'client_id': agent,
            'hostname': data_utils.rand_name('host'),
            'agent_version': '1',
            'capabilities': words,
            'is_central': False,
            'held': [],
        }

    def _spoken_for(self, role):
        """A client whose agent has the login of a role."""
        agent = data_utils.rand_name('agent')
        self.addCleanup(self.client.remove, 'clients', agent)
        self._says_hello(role, agent)
        return agent

    def _run_id(self):
        """A run that goes on: its agent has said hello, and does not come for its work."""
        job = self.make('jobs', {'client_id': self._spoken_for('admin'), 'job_schedule': {}})
        event = self.client.path('jobs', job, 'event')
        self.addCleanup(self.client.call, 'POST', event, {'abort': None})
        has_begun = test_utils.call_until_true(
            lambda: self.client.list_runs_of_job(job), CONF.freezer.build_timeout, 0.2
        )
        self.assertTrue(has_begun, 'job %s has no run' % job)
        return self.client.list_runs_of_job(job)[0]['run_id']

    def _check_release(self, role):
        agent = self._spoken_for('member')
        path = self.client.path('clients', agent)
        status, _headers, answer = self.callers[role].call('DELETE', path)
        self.assertEqual(table.RELEASE[role], status, answer)
        if role == 'manager':
            self.assertIn('belongs to another login', answer['description'])
        left = 404 if status == 204 else 200
        self.assertEqual(left, self.client.call('GET', path)[0])

    def _check_all_projects(self, role):
        job = self.make('jobs', client=self.callers['stranger'])
        listed, count, shown = table.ALL_PROJECTS[role]
        path = self.client.path('jobs')
        search = {'match': [{'job_id': job}]}
        status, _headers, answer = self.callers[role].call(
            'GET', path + '?all_projects=true', search
        )
        self.assertEqual(listed, status, answer)
        if status == 200:
            self.assertEqual([job] * count, [row['job_id'] for row in answer['jobs']])
        self.assertEqual(shown, self.callers[role].call('GET', path + '/' + job)[0])

    def _body(self, operation, made):
        body = operation.body
        if body == 'job':
            return self.job_of()
        if body == 'session':
            return dict(base.document_of('sessions'), session_tag=0)
        if body == 'central':
            return dict(base.document_of('clients'), is_central=True)
        if body == 'hello':
            return self._hello(made['new'])
        if body == 'start':
            job = self.make('jobs')
            self.client.add_job(made['session'], job)
            return {'start': {'job_id': job, 'current_tag': 0}}
        if isinstance(body, str) and body in REPORTS:
            return REPORTS[body]
        return base.document_of(NOUNS[body]) if isinstance(body, str) else body

    def _forget(self, operation, answer):
        """Removes what the call has made."""
        noun = operation.path.split('/')[0]
        key = base.KEYS.get(noun)
        if operation.method == 'POST' and isinstance(answer, dict) and key in answer:
            self.addCleanup(self.client.remove, noun, answer[key])


def _add(name, role, rule, check, *values):
    def test(self):
        check(self, *values, role)

    test.__name__ = 'test_%s_as_%s' % (name, role)
    test.__doc__ = '%s: rule %s' % (name, rule)
    test_id = str(uuid.uuid5(NAMESPACE, test.__name__))
    setattr(RbacTest, test.__name__, decorators.idempotent_id(test_id)(test))


for _role in table.ROLES:
    for _operation in table.TABLE:
        _add(_operation.name, _role, _operation.rule, RbacTest._check, _operation)
    _add('release_client', _role, table.RELEASE_RULE, RbacTest._check_release)
    _add('see_all_projects', _role, table.ALL_PROJECTS_RULE, RbacTest._check_all_projects)
