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

"""Two projects: whatever one of them does, it neither sees nor changes what is the other's."""

from tempest.lib import decorators

from freezer_tempest_tests.tests import base

CHANGES = {
    'jobs': {'description': 'stolen'},
    'actions': {'max_retries': 9},
    'sessions': {'description': 'stolen'},
    'backups': {'status': 'error'},
}


class IsolationTest(base.BackupTest):
    credentials = ['project_member', 'project_alt_member']

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        cls.stranger = cls.os_project_alt_member.freezer.BackupClient()

    def _check_out_of_reach(self, noun):
        made = self.make(noun)
        before = self.client.show(noun, made)
        path = self.stranger.path(noun, made)
        self.assertNotIn(made, self.ids(noun, self.stranger))
        self.assertEqual([], self.stranger.list(noun, search={'match': [{'_all': made}]}))
        self.assertEqual([], self.stranger.list(noun, search={'match': [{base.KEYS[noun]: made}]}))
        self.assertEqual(404, self.stranger.call('GET', path)[0])
        if noun in CHANGES:
            self.assertEqual(404, self.stranger.call('PATCH', path, CHANGES[noun])[0])
        self.stranger.remove(noun, made)
        for project in (self.client.tenant_id,):
            foreign = self.stranger.path(noun, made, project=project)
            for method in ('GET', 'PATCH', 'DELETE') if noun in CHANGES else ('GET', 'DELETE'):
                body = CHANGES[noun] if method == 'PATCH' else None
                self.assertEqual(403, self.stranger.call(method, foreign, body)[0], method)
            listed = self.stranger.path(noun, project=project)
            self.assertEqual(403, self.stranger.call('GET', listed)[0])
        self.assertEqual(before, self.client.show(noun, made))
        return made, before

    @decorators.idempotent_id('b1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_jobs(self):
        made, before = self._check_out_of_reach('jobs')
        path = self.stranger.path('jobs', made)
        for event in ('start', 'stop', 'abort'):
            self.check_refused(404, self.stranger.call('POST', path + '/event', {event: None}))
        self.assertEqual(404, self.stranger.call('GET', path + '/runs')[0])
        self.assertEqual(before, self.client.show('jobs', made))

    @decorators.idempotent_id('b1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0002')
    def test_actions(self):
        self._check_out_of_reach('actions')

    @decorators.idempotent_id('b1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0003')
    def test_sessions(self):
        made, before = self._check_out_of_reach('sessions')
        job = self.make('jobs', client=self.stranger)
        path = self.stranger.path('sessions', made)
        start = {'start': {'job_id': job, 'current_tag': 0}}
        self.check_refused(404, self.stranger.call('POST', path + '/action', start))
        self.check_refused(404, self.stranger.call('PUT', path + '/jobs/' + job))
        self.assertEqual(before, self.client.show('sessions', made))

    @decorators.idempotent_id('b1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0004')
    def test_clients(self):
        self._check_out_of_reach('clients')

    @decorators.idempotent_id('b1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0005')
    def test_backups(self):
        self._check_out_of_reach('backups')

    @decorators.idempotent_id('b1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0006')
    def test_the_same_id_in_two_projects(self):
        """An id that is taken elsewhere is free here, so that nobody learns of it."""
        for noun in ('jobs', 'actions', 'sessions'):
            made = self.make(noun)
            before = self.client.show(noun, made)
            document = base.document_of(noun)
            if noun == 'jobs':
                document = self.job_of(client=self.stranger)
            if noun == 'sessions':
                document['session_tag'] = 0
            self.stranger.replace(noun, made, document)
            self.assertEqual(self.stranger.tenant_id, self.stranger.show(noun, made)['project_id'])
            self.stranger.remove(noun, made)
            self.assertEqual(before, self.client.show(noun, made), noun)

    @decorators.idempotent_id('b1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0007')
    def test_names_of_others_lead_nowhere(self):
        """A job that names another project's client, action or job finds nothing of the kind."""
        client_id, action_id = self.make('clients'), self.make('actions')
        jobs = self.stranger.path('jobs')
        foreign_client = dict(base.document_of('jobs'), client_id=client_id)
        self.check_refused(
            422,
            self.stranger.call('POST', jobs, foreign_client),
            'Client not found with ID %s' % client_id,
        )
        foreign_action = self.job_of({'job_actions': [{'action_id': action_id}]}, self.stranger)
        self.check_refused(
            422,
            self.stranger.call('POST', jobs, foreign_action),
            'Action id: %s not found' % action_id,
        )
        session = self.make('sessions', client=self.stranger)
        path = self.stranger.path('sessions', session, 'jobs', self.make('jobs'))
        self.check_refused(404, self.stranger.call('PUT', path))

    @decorators.idempotent_id('b1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0008')
    def test_nothing_moves_to_another_project(self):
        for noun, change in CHANGES.items():
            made = self.make(noun)
            change = dict(change, project_id=self.stranger.tenant_id)
            self.client.update(noun, made, change)
            self.assertEqual(self.client.tenant_id, self.client.show(noun, made)['project_id'])
            self.assertEqual(404, self.stranger.call('GET', self.stranger.path(noun, made))[0])

    @decorators.idempotent_id('b1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0009')
    def test_all_projects_is_not_for_members(self):
        made = self.make('jobs')
        listed = [job['job_id'] for job in self.stranger.list('jobs', all_projects='true')]
        self.assertNotIn(made, listed)

    @decorators.idempotent_id('b1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0010')
    def test_trusts_of_others_are_not_taken(self):
        stolen = {'trust_id': 'f' * 32, 'trustor_user_id': 'e' * 32}
        made = self.make('jobs', {'user_credentials': stolen})
        self.assertNotIn('user_credentials', self.client.show('jobs', made))
        self.client.update('jobs', made, {'user_credentials': stolen})
        self.assertNotIn('user_credentials', self.client.show('jobs', made))

    @decorators.idempotent_id('b1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0011')
    def test_agents(self):
        """Nobody speaks for another project's agent, whatever path and message name."""
        made = self.make('clients')
        own = self.client.tenant_id
        hello = {
            'project_id': own,
            'client_id': made,
            'hostname': 'h',
            'agent_version': '1',
            'capabilities': {key: [] for key in ('actions', 'modes', 'storages', 'engines')},
            'is_central': False,
            'held': [],
        }
        for project in (own, self.stranger.tenant_id):
            path = self.stranger.path('agents', made, 'hello', project=project)
            self.check_refused(403, self.stranger.call('POST', path, hello))
        self.assertEqual(-1, self.client.show('clients', made)['client']['last_seen_at'])

    @decorators.idempotent_id('b1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0013')
    def test_plans_of_retention(self):
        """Neither the name of another project's backups nor its job leads to what is stored."""
        document = base.document_of('backups')
        self.make('backups', document)
        rules = {'backup_name': document['backup_name'], 'keep_last': 1}
        path = self.stranger.path('backups', 'retention-plan')
        status, _headers, plan = self.stranger.call('POST', path, rules)
        self.assertEqual((200, []), (status, plan['backups']))
        theirs = dict(rules, job_id=self.make('jobs'))
        self.assertEqual(404, self.stranger.call('POST', path, theirs)[0])
        foreign = self.stranger.path('backups', 'retention-plan', project=self.client.tenant_id)
        self.check_refused(403, self.stranger.call('POST', foreign, rules))

    @decorators.idempotent_id('b1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0012')
    def test_quotas_and_usage(self):
        for noun in ('quotas', 'usage'):
            foreign = self.stranger.path(noun, project=self.client.tenant_id)
            self.check_refused(403, self.stranger.call('GET', foreign))
        self.make('jobs')
        used = self.stranger.call('GET', self.stranger.path('usage'))[2]['usage']
        self.assertEqual(0, used['jobs']['used'])
