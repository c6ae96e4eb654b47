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

"""Actions: what jobs do, saved for use in several."""

from tempest.lib import decorators
from tempest.lib.common.utils import data_utils

from freezer_tempest_tests.tests import base


class ActionsTest(base.BackupTest):

    @decorators.idempotent_id('a3c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_create_and_show(self):
        options = base.backup_action(
            no_incremental=True, max_cpu_priority=False, restore_abs_path='/x'
        )
        made = self.make(
            'actions', {'freezer_action': options, 'max_retries': 3, 'mandatory': True}
        )
        action = self.client.show('actions', made)
        self.assertEqual(
            (3, 6, True),
            tuple(action[key] for key in ('max_retries', 'max_retries_interval', 'mandatory')),
        )
        unset = {'timeout': None, 'priority': None, 'log_file': None}
        self.assertEqual(dict(options, **unset), action['freezer_action'])

    @decorators.idempotent_id('a3c4b6c7-6f06-4c63-8b5c-3a0a1d0e0002')
    def test_change(self):
        made = self.make('actions')
        before = self.client.show('actions', made)
        self.assertEqual(made, self.client.update('actions', made, {'max_retries': 7})['action_id'])
        self.assertEqual(dict(before, max_retries=7), self.client.show('actions', made))
        options = {'action': 'restore', 'restore_abs_path': '/back', 'storage': 'swift'}
        self.client.update('actions', made, {'freezer_action': options})
        after = self.client.show('actions', made)
        self.assertLessEqual(options.items(), after['freezer_action'].items())
        self.assertEqual(7, after['max_retries'])
        self.assertNotIn('max_level', after['freezer_action'])

    @decorators.idempotent_id('a3c4b6c7-6f06-4c63-8b5c-3a0a1d0e0003')
    def test_own_ids_and_replacing(self):
        action_id = data_utils.rand_name('action')
        document = dict(base.document_of('actions'), action_id=action_id)
        self.assertEqual(action_id, self.make('actions', document))
        self.check_refused(
            409, self.client.call('POST', self.client.path('actions'), document), action_id
        )
        again = {'freezer_action': base.backup_action(backup_name='again')}
        self.assertEqual(action_id, self.client.replace('actions', action_id, again)['action_id'])
        found = self.client.show('actions', action_id)
        self.assertEqual('again', found['freezer_action']['backup_name'])

    @decorators.idempotent_id('a3c4b6c7-6f06-4c63-8b5c-3a0a1d0e0004')
    def test_nothing_is_null(self):
        """What forms send for empty fields is the default."""
        document = dict(
            base.document_of('actions'), max_retries=None, max_retries_interval=None, mandatory=None
        )
        action = self.client.show('actions', self.make('actions', document))
        self.assertEqual(
            (5, 6, False),
            tuple(action[key] for key in ('max_retries', 'max_retries_interval', 'mandatory')),
        )

    @decorators.idempotent_id('a3c4b6c7-6f06-4c63-8b5c-3a0a1d0e0005')
    def test_refused_documents(self):
        path = self.client.path('actions')
        good = base.backup_action()
        for body, text in (
            ({'max_retries': 1}, 'freezer_action'),
            ({'freezer_action': 'backup'}, 'freezer_action'),
            ({'freezer_action': {}}, 'action'),
            ({'freezer_action': dict(good, action='dance')}, 'action'),
            ({'freezer_action': dict(good, mode='tape')}, 'mode'),
            ({'freezer_action': dict(good, timeout='long')}, 'timeout'),
            ({'freezer_action': dict(good, container='c' * 300)}, 'container'),
            ({'freezer_action': good, 'max_retries': -1}, 'max_retries'),
            ({'freezer_action': good, 'max_retries': 'often'}, 'max_retries'),
            ({'freezer_action': good, 'action_id': 'a b'}, 'action_id'),
        ):
            self.check_refused(400, self.client.call('POST', path, body), text)

    @decorators.idempotent_id('a3c4b6c7-6f06-4c63-8b5c-3a0a1d0e0006')
    def test_an_action_serves_several_jobs(self):
        action = self.make('actions')
        jobs = [self.make('jobs', {'job_actions': [{'action_id': action}]}) for _ in range(2)]
        options = dict(self.client.show('actions', action)['freezer_action'], backup_name='new')
        self.client.update('actions', action, {'freezer_action': options})
        for job in jobs:
            (entry,) = self.client.show('jobs', job)['job_actions']
            self.assertEqual('new', entry['freezer_action']['backup_name'])
