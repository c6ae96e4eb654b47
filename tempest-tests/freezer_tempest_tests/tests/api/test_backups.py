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

"""Records of backups."""

from tempest.lib import decorators
from tempest.lib.common.utils import data_utils

from freezer_tempest_tests.tests import base


class BackupsTest(base.BackupTest):

    @decorators.idempotent_id('a6c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_create_and_show(self):
        document = dict(base.document_of('backups'), anything=[1, {'a': None}])
        made = self.make('backups', document)
        found = self.client.show('backups', made)
        self.assertEqual(document, found['backup_metadata'])
        self.assertEqual(
            (self.client.tenant_id, self.client.user_id), (found['project_id'], found['user_id'])
        )
        (listed,) = self.client.list('backups', search={'match': [{'backup_id': made}]})
        self.assertEqual(document, listed['backup_metadata'])

    @decorators.idempotent_id('a6c4b6c7-6f06-4c63-8b5c-3a0a1d0e0002')
    def test_life_of_a_record(self):
        made = self.make('backups', dict(base.document_of('backups'), status='creating'))
        self.assertEqual('creating', self.client.show('backups', made)['status'])
        change = {'status': 'available', 'backup_metadata': {'container': 'new'}, 'surprise': 1}
        after = self.client.update('backups', made, change)
        self.assertEqual(
            ('available', 'new', 'h.example.org'),
            (
                after['status'],
                after['backup_metadata']['container'],
                after['backup_metadata']['hostname'],
            ),
        )
        self.assertEqual(after, self._without_alias(self.client.show('backups', made)))
        for _ in range(2):
            self.client.remove('backups', made)

    @staticmethod
    def _without_alias(found):
        """The item repeats its id under the name that old clients print."""
        return {key: value for key, value in found.items() if key != 'backup_uuid'}

    @decorators.idempotent_id('a6c4b6c7-6f06-4c63-8b5c-3a0a1d0e0003')
    def test_times(self):
        name = data_utils.rand_name('timed')
        document = dict(base.document_of('backups'), backup_name=name)
        made = [
            self.make('backups', dict(document, time_stamp=moment)) for moment in (100, 200, 300)
        ]

        def found(**bounds):
            return self.ids('backups', search=dict({'match': [{'backup_name': name}]}, **bounds))

        self.assertEqual(made, found())
        self.assertEqual(made[1:], found(time_after=200))
        self.assertEqual(made[:2], found(time_before='200'))
        self.assertEqual(made[1:2], found(time_after=150, time_before=250))
        del document['time_stamp']
        stamped = self.client.show('backups', self.make('backups', document))
        self.assertIsInstance(stamped['backup_metadata']['time_stamp'], int)

    @decorators.idempotent_id('a6c4b6c7-6f06-4c63-8b5c-3a0a1d0e0004')
    def test_refused_documents(self):
        path = self.client.path('backups')
        good = base.document_of('backups')
        for key in ('container', 'hostname', 'backup_name'):
            for bad in (None, '', 7):
                self.check_refused(
                    400, self.client.call('POST', path, dict(good, **{key: bad})), key
                )
            without = {name: value for name, value in good.items() if name != key}
            self.check_refused(400, self.client.call('POST', path, without), key)
        for change in ({'status': 'lost'}, {'time_stamp': 'soon'}):
            self.check_refused(
                400, self.client.call('POST', path, dict(good, **change)), list(change)[0]
            )
        made = self.client.path('backups', self.make('backups'))
        for body in ({'status': 'lost'}, {'backup_metadata': 1}, ''):
            self.check_refused(400, self.client.call('PATCH', made, body))
        self.assertEqual(405, self.client.call('POST', made, good)[0])
