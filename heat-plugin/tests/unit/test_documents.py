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

"""What becomes of properties: schedules, a policy's actions, the action of a restore."""

import unittest

from freezer_heat import policy_actions
from freezer_heat import restore_action
from freezer_heat import runs
from freezer_heat import schedule
from freezer_heat import service


class ScheduleTest(unittest.TestCase):

    def test_there_and_back(self):
        value = {'interval': '1 days', 'start_date': '2099-01-01T00:00:00', 'hour': None}
        document = schedule.document(value)
        self.assertEqual(
            {
                'schedule_interval': '1 days',
                'schedule_start_date': '2099-01-01T00:00:00',
            },
            document,
        )
        live = schedule.live(dict(document, status='scheduled', time_created=1))
        self.assertEqual(document, schedule.document(live))
        self.assertIsNone(schedule.live({'status': ''}))
        self.assertEqual({}, schedule.document(None))


class PolicyTest(unittest.TestCase):

    def build(self, what, **more):
        how = dict(name='n', storage='swift', container='c', max_level=2, keep_last=None)
        how.update({'keep_days': None, 'options': {'compression': 'zstd'}}, **more)
        entries = policy_actions.build(what, policy_actions.How(**how))
        return [(entry['freezer_action'], entry['mandatory']) for entry in entries]

    def test_each_by_itself_whatever_becomes_of_the_others(self):
        what = policy_actions.What(servers=['s', 's'], tag=None, pair=None, volumes=['v'])
        self.assertEqual(['nova', 'cinder'], what.modes())
        common = {
            'action': 'backup', 'storage': 'swift', 'container': 'c', 'compression': 'zstd',
            'incremental': True, 'max_level': 2,
        }
        self.assertEqual(
            [
                (dict(common, mode='nova', nova_inst_id='s', backup_name='n_s'), True),
                (dict(common, mode='cinder', cinder_vol_id='v', backup_name='n_v'), True),
            ],
            self.build(what),
        )

    def test_the_volumes_of_a_job(self):
        what = policy_actions.What(servers=['s'], tag=None, pair=None, volumes=['v', 'w', 'v'])
        entries = [{'freezer_action': options} for options, _ in self.build(what, keep_last=3)]
        self.assertEqual({'v', 'w'}, policy_actions.volumes_of({'job_actions': entries}))

    def test_what_is_removed_comes_last_and_only_after_a_success(self):
        what = policy_actions.What(servers=['s'], tag='t', pair=None, volumes=['v'])
        actions = self.build(what, max_level=0, keep_days=7)
        self.assertEqual(
            [('backup', True), ('backup', True), ('admin', False), ('admin', False)],
            [(options['action'], is_mandatory) for options, is_mandatory in actions],
        )
        # Servers by their mark are one action, which names the backups by itself.
        self.assertEqual(
            ('t', 'n'), (actions[0][0]['nova_inst_tag'], actions[0][0]['backup_name'])
        )
        self.assertNotIn('max_level', actions[0][0])
        self.assertEqual(7, actions[2][0]['remove_older_than'])

    def test_metadata(self):
        what = policy_actions.What(servers=[], tag=None, pair=('k', 'v'), volumes=[])
        ((options, _is_mandatory),) = self.build(what)
        self.assertEqual('k=v', options['nova_inst_metadata'])


class Records:
    """Stands for the service: nothing is there any more."""

    def find(self, *path):
        return None


class RestoreTest(unittest.TestCase):

    record = {
        'backup_metadata': {
            'mode': 'cinder',
            'storage': 'swift',
            'container': 'c',
            'backup_name': 'n',
            'hostname': 'h',
            'time_stamp': 0,
        }
    }

    def test_encrypted_without_its_job(self):
        metadata = dict(self.record['backup_metadata'], encrypted=True, time_stamp=60)
        record = {'backup_metadata': metadata}
        with self.assertRaisesRegex(service.BackupServiceError, 'encrypt_pass_file'):
            restore_action.build(Records(), record, {})
        action = restore_action.build(Records(), record, {'encrypt_pass_file': '/f'})
        self.assertEqual(
            ('restore', '1970-01-01T00:01:00Z', '/f'),
            (action['action'], action['restore_from_date'], action['encrypt_pass_file']),
        )


class RunsTest(unittest.TestCase):

    def test_partial_is_no_success(self):
        run = {'run_id': 'r', 'state': 'partial', 'error': None, 'steps': []}
        self.assertIn('run r ended as partial', str(runs.failure(run)))
        self.assertIsNone(runs.failure(dict(run, state='success')))
        self.assertEqual({}, runs.last_result(run))
