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

"""What all tests of the backup service share."""

from tempest import config
from tempest.lib.common.utils import data_utils
from tempest.lib.common.utils import test_utils
from tempest import test

CONF = config.CONF


class BackupTest(test.BaseTestCase):
    """A case with the service's client; what it makes is removed again."""

    credentials = ['project_member']

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not CONF.service_available.freezer:
            raise cls.skipException('the backup service is not expected to be available')

    @classmethod
    def setup_credentials(cls):
        # Nothing here needs a network.
        cls.set_network_resources()
        super().setup_credentials()

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        cls.client = cls.os_project_member.freezer.BackupClient()

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        cls.addClassResourceCleanup(cls._clear)

    @classmethod
    def _clear(cls):
        """Also removes what came of calls: actions of jobs, records of backups."""
        for noun in ('jobs', 'sessions', 'actions', 'backups'):
            for row in cls.client.list(noun, limit=1000):
                cls.client.remove(noun, row[KEYS[noun]])

    def make(self, noun, document=None, client=None):
        """An item that lives as long as the test; returns its id."""
        client = client or self.client
        if noun == 'jobs':
            document = self.job_of(document, client)
        elif document is None:
            document = document_of(noun)
        made = client.create(noun, document)[KEYS[noun]]
        self.addCleanup(test_utils.call_and_ignore_notfound_exc, client.remove, noun, made)
        return made

    def job_of(self, document=None, client=None):
        """The document of a job; it has a client of its own, unless it names one."""
        document = dict(document_of('jobs'), **(document or {}))
        if 'client_id' not in document:
            document['client_id'] = self.make('clients', client=client)
        return document

    def ids(self, noun, client=None, **params):
        """Ids of all that is listed."""
        return [self.id_of(noun, row) for row in (client or self.client).list(noun, **params)]

    @staticmethod
    def id_of(noun, row):
        return row['client']['client_id'] if noun == 'clients' else row[KEYS[noun]]

    def check_refused(self, status, call, text=None):
        """A call must have been refused with a status, and a description that says why."""
        found, _headers, document = call
        self.assertEqual(status, found, document)
        if text is not None:
            self.assertIn(text, document['description'])


# The key of the id in the documents of a noun.
KEYS = {
    'jobs': 'job_id',
    'actions': 'action_id',
    'sessions': 'session_id',
    'clients': 'client_id',
    'backups': 'backup_id',
}


def backup_action(**more):
    """What a job does, as users write it."""
    action = {
        'action': 'backup',
        'mode': 'fs',
        'storage': 'local',
        'engine_name': 'tar',
        'path_to_backup': '/etc',
        'backup_name': data_utils.rand_name('backup'),
        'container': '/nowhere',
        'max_level': 6,
    }
    action.update(more)
    return action


def document_of(noun):
    """A good document to create an item from."""
    if noun == 'jobs':
        # Far away, so that nobody begins to work.
        plan = {'schedule_start_date': '2099-01-02T03:00:00', 'schedule_interval': '1 days'}
        entry = {'freezer_action': backup_action(), 'max_retries': 3, 'max_retries_interval': 60}
        return {
            'description': data_utils.rand_name('job'),
            'job_schedule': plan,
            'job_actions': [entry],
        }
    if noun == 'actions':
        return {'freezer_action': backup_action(), 'max_retries': 2}
    if noun == 'sessions':
        return {
            'description': data_utils.rand_name('session'),
            'hold_off': 30,
            'schedule': {
                'schedule_start_date': '2099-01-02T03:00:00',
                'schedule_interval': '1 days',
            },
        }
    if noun == 'clients':
        name = data_utils.rand_name('client')
        return {'client_id': name, 'hostname': name + '.example.org'}
    return {
        'container': 'c',
        'hostname': 'h.example.org',
        'mode': 'fs',
        'storage': 'swift',
        'backup_name': data_utils.rand_name('backup'),
        'time_stamp': 1767225600,
        'curr_backup_level': 0,
    }
