"""What is shown of runs, plans and records: pure functions."""

import argparse
import io
import unittest

from freezer_osc import columns
from freezer_osc import covered
from freezer_osc import follow
from freezer_osc import plan_restore
from freezer_osc import plan_retention
from freezer_osc import restore_action
from freezer_osc import retention_rules
from freezer_osc import run_logs
from freezer_osc import when


def run(state='running', **more):
    found = {
        'run_id': 'r',
        'state': state,
        'error': None,
        'actions_total': 2,
        'action_index': 0,
        'attempt': 1,
        'waiting_for': None,
        'progress': {'phase': 'read', 'bytes_done': 512, 'bytes_total': 1024},
    }
    found.update(more)
    return found


class Runs:
    """A service whose run goes on with each look."""

    def __init__(self, *states):
        self.states = list(states)

    def get(self, *path):
        return self.states.pop(0)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class FollowTest(unittest.TestCase):
    STATES = (run('queued'), run(), run(), run('fail', error='no space'))

    def test_lines_only_at_changes(self):
        out = io.StringIO()
        ended = follow.Follower(Runs(*self.STATES), out, lambda secs: None).to_end('r')
        self.assertEqual(
            ['queued, action 1 of 2', 'running, action 1 of 2, read', 'fail: no space'],
            out.getvalue().splitlines(),
        )
        self.assertEqual('Run r ended as fail: no space', follow.failure(ended))

    def test_a_bar_on_a_terminal(self):
        out = Terminal()
        follow.Follower(Runs(*self.STATES), out, lambda secs: None).to_end('r')
        lines = out.getvalue().split('\r\033[K')
        bar = '[%s%s]  50%% ' % ('=' * 15, ' ' * 15)
        self.assertIn(bar + 'running, action 1 of 2, read, 512 B', lines)
        self.assertEqual('fail: no space, 512 B\n', lines[-1])

    def test_partial_is_not_success(self):
        self.assertIn('partial', follow.failure(run('partial', error='a file')))
        self.assertIsNone(follow.failure(run('success')))


class PlanTest(unittest.TestCase):

    def test_of_a_project(self):
        plan = {
            'dry_run': True,
            'steps': [
                {
                    'resource': {'kind': 'network', 'id': 'n'},
                    'name': 'net',
                    'deed': {'create': {'name': 'net'}},
                    'reason': 'gone',
                },
                {
                    'resource': {'kind': 'keypair', 'id': 'k'},
                    'name': 'key',
                    'deed': 'keep',
                    'reason': 'still there',
                },
            ],
            'refused': [
                {'resource': {'kind': 'volume', 'id': 'v'}, 'name': 'data', 'reason': 'lost'}
            ],
            'quotas': [
                {'service': 'Cinder', 'resource': 'volumes', 'needed': 2, 'left': 1},
                {'service': 'Glance', 'resource': 'images', 'needed': 1, 'left': None},
            ],
        }
        self.assertEqual(
            [
                ('network', 'net', 'create', 'gone'),
                ('keypair', 'key', 'keep', 'still there'),
                ('volume', 'data', 'REFUSED', 'lost'),
                ('quota', 'Cinder volumes', 'TOO LITTLE', '2 needed, 1 left'),
                ('quota', 'Glance images', 'ok', '1 needed, any number left'),
            ],
            plan_restore.rows(plan, {}),
        )

    def test_of_servers(self):
        server = {
            'name': 'web',
            'timestamp': 0,
            'flavor_id': 'small',
            'disks': [{'role': 'root', 'device': None}, {'role': 'v1', 'device': '/dev/vdb'}],
            'ports': [
                {'network_was': 'lan', 'addresses': ['10.0.0.5']},
                {'network_was': 'wan', 'addresses': []},
            ],
            'notes': [],
            'missing': ['keypair key'],
        }
        rows = plan_restore.rows({'servers': [server], 'failed': ['server 2: no flavor']}, {})
        self.assertEqual(
            [
                ('server', 'web', 'create'),
                ('flavor', 'small', 'use'),
                ('disk', 'root', 'create'),
                ('disk', 'v1', 'create'),
                ('interface', 'lan', 'create'),
                ('interface', 'wan', 'create'),
                ('missing', '', ''),
                ('server', '', 'REFUSED'),
            ],
            [row[:3] for row in rows],
        )
        self.assertEqual('10.0.0.5', rows[4][3])
        # What an older agent says.
        old = {'servers': [{'name': 'a', 'timestamp': 0}]}
        self.assertEqual(1, len(plan_restore.rows(old, {})))

    def test_of_retention_of_sets(self):
        def one(name):
            return {
                'hbn': name,
                'keep': [],
                'remove': [
                    {'subject': 'chain', 'chain_timestamp': 0, 'levels': ['0_0'], 'reason': 'old'}
                ],
            }

        rows = plan_retention.rows([{'set': one('h_s'), 'members': [one('h_m')]}])
        self.assertEqual(['h_s', 'h_m'], [row[0] for row in rows])
        self.assertEqual((1, 'remove', 'old'), rows[0][2:])

    def test_of_retention_of_cinders_own_backups(self):
        plan = {
            'keep': ['f2'],
            'remove': [{'full': 'f1', 'backups': ['i1', 'f1'], 'newest_secs': 0}],
            'skipped': ['f0 has a dependant'],
        }
        rows = [(row[0], row[2], row[3], row[4]) for row in plan_retention.rows(plan)]
        expected = [('f1', 2, 'remove', None), ('f2', None, 'keep', None)]
        self.assertEqual(expected + [(None, None, 'keep', 'f0 has a dependant')], rows)


class LogsTest(unittest.TestCase):

    def test_errors_and_what_is_missing_are_told(self):
        step = {
            'action_index': 0,
            'attempt': 2,
            'outcome': 'partial',
            'error': 'one file',
            'started_at': 11,
            'finished_at': 12,
            'result': {'report': {'problems': [{'kind': 'file', 'path': '/x', 'reason': 'gone'}]}},
        }
        action = {'freezer_action': {'backup_name': 'etc'}}
        made = run('partial', error='one file', created_at=10, finished_at=13, cause='schedule')
        made.update(steps=[step], job_actions=[action])
        self.assertEqual(
            [
                (10, None, None, 'run made, cause: schedule'),
                (11, 1, 2, 'backup etc begins'),
                (12, 1, 2, 'file /x: gone'),
                (12, 1, 2, 'backup etc: partial: one file'),
                (13, None, None, 'partial: one file'),
            ],
            list(run_logs.of_run(made)),
        )


class OtherTimeTest(unittest.TestCase):

    def test_an_older_state_is_not_what_was_meant(self):
        record = {'backup_metadata': {'time_stamp': 60}}
        self.assertIsNone(restore_action.other_time(record, {'timestamp': 60}))
        self.assertIsNone(restore_action.other_time(record, {}))
        text = restore_action.other_time(record, {'timestamp': 0})
        self.assertIn('as of 1970-01-01T00:01:00Z is not in the storage any more', text)


class CoverageTest(unittest.TestCase):

    def judged(self, *records):
        newest = covered.Newest()
        for moment, is_partial in records:
            newest.add({'backup_metadata': {'time_stamp': moment}}, is_partial)
        word, record = newest.judge(100)
        return word, record and record['backup_metadata']['time_stamp']

    def test_words(self):
        self.assertEqual(('no', None), self.judged())
        self.assertEqual(('old', 50), self.judged((50, False), (60, True)))
        self.assertEqual(('partial', 120), self.judged((50, False), (120, True)))
        self.assertEqual(('yes', 110), self.judged((110, False), (120, True)))

    def test_what_a_backup_holds(self):
        server = {'nova_inst_id': 's', 'problem_count': 1, 'disks': {'volume': {}}}
        self.assertEqual([('s', True), ('volume', False)], list(covered.resources(server)))
        self.assertEqual(
            [('s', True), ('volume', False)], list(covered.resources({'servers': {'s': server}}))
        )
        noticed = {'nova_inst_id': 's', 'problem_count': 1, 'is_partial': False}
        self.assertEqual([('s', False)], list(covered.resources(noticed)))
        project = {'members': [{'id': 'v', 'kind': 'volume'}], 'problem_count': 3}
        self.assertEqual([('v', False)], list(covered.resources(project)))


class ValueTest(unittest.TestCase):

    def test_times_and_sizes(self):
        self.assertEqual('-', columns.Time(-1).human_readable())
        self.assertEqual('1970-01-01T00:01:00Z', columns.Time(60).machine_readable())
        self.assertEqual('1.5 KiB', columns.Size(1536).human_readable())
        for text in ('2026-01-02T03:04:05', '2026-01-02T03:04:05Z', '2026-01-02T04:04:05+01:00'):
            self.assertEqual(1767323045, when.seconds(text))
        for bad in ('soon', '2026-13-01T00:00:00', ''):
            self.assertRaises(argparse.ArgumentTypeError, when.seconds, bad)

    def test_a_rotation_is_about_its_backups(self):
        backup = {
            'action': 'backup',
            'mode': 'nova',
            'nova_inst_id': 's',
            'backup_name': 'b',
            'incremental': True,
            'container': None,
        }
        self.assertEqual(
            {
                'action': 'admin',
                'mode': 'nova',
                'nova_inst_id': 's',
                'backup_name': 'b',
                'keep_last': 3,
            },
            retention_rules.rotation(backup, {'keep_last': 3}),
        )
