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

"""Rotation shows its plan, keeps what it was told to, and what it keeps can be restored."""

import os

from tempest.lib import decorators

from freezer_tempest_tests.tests.scenario import agent


class RotationTest(agent.AgentTest):

    @decorators.idempotent_id('c3c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_keep_the_last(self):
        source = self.source('turn')
        for number in range(3):
            agent.write(source, 'a.txt', 'state %d' % number)
            self.done(self.action('turn', path_to_backup=source))
        tidy = self.action('turn', 'admin', keep_last=2)
        plan = self._result(dict(tidy, dry_run=True))['plan']
        self.assertEqual((1, 2), (len(plan['remove']), len(plan['keep'])))
        # The plan removed nothing.
        self.assertEqual(plan, self._result(dict(tidy, dry_run=True))['plan'])
        self.assertEqual(1, self._result(tidy)['removed']['chains'])
        # The last one stays whatever the rule.
        removed = self._result(self.action('turn', 'admin', remove_older_than=0.000001))['removed']
        self.assertEqual(1, removed['chains'])
        target = os.path.join(self.folder, 'turned')
        self.done(self.action('turn', 'restore', restore_abs_path=target))
        self.check_same(source, target)

    @decorators.idempotent_id('c3c4b6c7-6f06-4c63-8b5c-3a0a1d0e0002')
    def test_records_go_with_what_rotation_removes(self):
        source = self.source('kept')
        for _ in range(3):
            self.done(self.action('kept', path_to_backup=source))
        self.done(self.action('kept', 'admin', keep_last=1))
        search = {'match': [{'backup_name': 'kept'}, {'status': 'available'}]}
        self.assertEqual(1, len(self.client.list('backups', search=search)))

    def _result(self, action):
        return self.done(action)['steps'][0]['result']
