"""What is sent to the service, and how its documents are read: without a service."""

import datetime
import os
import re

from django.test import SimpleTestCase

from freezer_dashboard import coverage
from freezer_dashboard import documents
from freezer_dashboard import facts
from freezer_dashboard import kinds
from freezer_dashboard import labels
from freezer_dashboard import restores
from freezer_dashboard import schedules
from freezer_dashboard.content.backups import words
from freezer_dashboard.content.overview import chart
from tests.unit import answers

# Every option that an agent knows, one a line.
KEYS = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    '../../../agent/src/options/keys.rs')
HOW = {'name': 'Nightly: web & db', 'storage': 'swift', 'container': 'vault', 'incremental': True,
       'max_level': 6}


class Jobs(SimpleTestCase):
    def test_each_kind_is_told_by_its_mode_and_key(self):
        for kind in kinds.KINDS:
            action = documents.backup_action(kind, 'it', HOW)
            self.assertEqual(action['mode'], kind.mode)
            self.assertEqual(action['max_level'], 6)
            if kind.key:
                self.assertEqual(action[kind.key], 'it')

    def test_jobs_that_save_files_have_chains_of_their_own(self):
        first, second = (documents.backup_action(kinds.FILES, '/etc', HOW) for _ in range(2))
        self.assertRegex(first['backup_name'], '^nightly-web-db_[0-9a-f]{8}$')
        self.assertNotEqual(first['backup_name'], second['backup_name'])
        self.assertNotIn('backup_name', documents.backup_action(kinds.VOLUME, 'v', HOW))

    def test_old_backups_are_removed_by_the_same_names(self):
        backup = documents.backup_action(kinds.VOLUME, 'v', HOW)
        job = documents.backup_job('n', 'agent', backup, {}, keep_last=7)
        rotation = job['job_actions'][1]['freezer_action']
        self.assertEqual(rotation, {'action': 'admin', 'mode': 'cinder', 'cinder_vol_id': 'v',
                                    'storage': 'swift', 'container': 'vault', 'keep_last': 7})
        native = documents.rotation_action(
            documents.backup_action(kinds.NATIVE, 'v', HOW), 2)
        self.assertEqual(native['fullbackup_rotation'], 2)
        self.assertNotIn('keep_last', native)

    def test_a_storage_by_ssh_is_told_only_where_it_is_wanted(self):
        how = dict(HOW, ssh_host='vault', ssh_port=22, ssh_username='keeper', ssh_key='')
        self.assertNotIn('ssh_host', documents.backup_action(kinds.FILES, '/etc', how))
        backup = documents.backup_action(kinds.FILES, '/etc', dict(
            how, storage='ssh', container='/srv', encrypt_pass_file='/etc/freezer/pass'))
        self.assertEqual((backup['ssh_host'], backup['ssh_port'], backup['ssh_username']),
                         ('vault', 22, 'keeper'))
        self.assertEqual((backup['container'], backup['encrypt_pass_file']),
                         ('/srv', '/etc/freezer/pass'))
        self.assertNotIn('ssh_key', backup)
        # Removing old backups takes the place, and no pass phrase.
        rotation = documents.rotation_action(backup, 3)
        self.assertEqual(rotation['ssh_host'], 'vault')
        self.assertNotIn('encrypt_pass_file', rotation)

    def test_a_job_that_waits_is_made_stopped(self):
        self.assertEqual(documents.backup_job('n', 'a', {}, {}, is_started=False)
                         ['job_schedule'], {'event': 'stop'})
        self.assertEqual(documents.backup_job('n', 'a', {}, {})['job_schedule'], {})

    def test_a_copy_has_the_plan_and_the_actions_but_no_state_and_no_ids(self):
        copy = documents.copy_of(answers.job(), 'twin')
        self.assertEqual(copy['job_schedule'],
                         {'schedule_interval': '1 days', 'event': 'stop'})
        self.assertEqual(set(copy['job_actions'][0]), {
            'freezer_action', 'max_retries', 'max_retries_interval', 'mandatory'})
        self.assertNotIn('job_id', copy)


class Restores(SimpleTestCase):
    def test_the_very_point_in_time_is_named(self):
        action = documents.restore_action(answers.backup(), {'restore_abs_path': '/new'})
        self.assertEqual(action, {
            'action': 'restore', 'mode': 'fs', 'restore_from_date': '2026-11-26T09:40:01Z',
            'backup_name': 'etc', 'container': 'vault', 'hostname': 'db1', 'storage': 'swift',
            'restore_abs_path': '/new'})

    def test_a_cinder_backup_is_named_by_its_id(self):
        record = answers.backup(mode='cindernative', cindernative_vol_id='v',
                                cinder_backup_id='b')
        action = documents.restore_action(record, {'overwrite': False})
        self.assertEqual((action['cindernative_backup_id'], action['overwrite']), ('b', False))
        self.assertNotIn('restore_from_date', action)

    def test_the_way_to_a_backup_is_known_from_the_job_that_made_it(self):
        job = answers.job()
        made = job['job_actions'][0]['freezer_action']
        made.update(encrypt_pass_file='/etc/freezer/pass', ssh_key='/root/key')
        metadata = answers.backup()['backup_metadata']
        self.assertEqual(documents.access(job, metadata), {
            'encrypt_pass_file': '/etc/freezer/pass', 'ssh_key': '/root/key'})
        self.assertEqual(documents.access(job, dict(metadata, backup_name='other')), {})
        self.assertEqual(documents.access({'job_actions': []}, metadata), {})

    def test_a_check_writes_nothing(self):
        for mode in ('fs', 'cinder'):
            self.assertIs(restores.check(answers.backup(mode=mode))['dry_run'], True)
        self.assertTrue(restores.is_check(restores.check(answers.backup())))

    def test_an_agent_that_can_reads_every_kind_back_but_cinders_own(self):
        for mode in ('fs', 'cinder', 'nova', 'project'):
            action = restores.check(answers.backup(mode=mode), {'ssh_key': '/key'}, True)
            self.assertEqual((action['action'], action['mode'], action['backup_name']),
                             ('verify', mode, 'etc'))
            self.assertNotIn('dry_run', action)
            self.assertTrue(restores.is_check(action) and restores.is_read_back(action))
        action = restores.check(answers.backup(mode='cindernative'), {}, True)
        self.assertEqual((action['action'], action['dry_run']), ('restore', True))
        self.assertFalse(restores.is_read_back(action))

    def test_what_was_sealed_comes_back_and_nothing_else(self):
        sealed = restores.sealed('agent', {'action': 'restore'})
        self.assertEqual(restores.opened(sealed), ('agent', {'action': 'restore'}))
        for wrong in ('', 'x', sealed[:-1], sealed + 'x', sealed[1:]):
            self.assertIsNone(restores.opened(wrong))

    def test_what_is_lost_is_said(self):
        self.assertIn('lost', str(words.warning({'mode': 'cinder', 'cinder_restore_to': 'over'})))
        self.assertIn('lost', str(words.warning({'mode': 'cindernative', 'overwrite': True})))
        self.assertIsNone(words.warning({'mode': 'fs'}))
        self.assertIsNone(words.warning({'mode': 'nova'}))


class Schedules(SimpleTestCase):
    def test_what_a_form_holds_comes_back_to_it(self):
        first = datetime.datetime(2027, 1, 2, 3, 4, tzinfo=datetime.timezone.utc)
        for repeat, every, unit in (('once', None, None), ('1 days', None, None),
                                    ('custom', 6, 'hours')):
            plan = schedules.plan(repeat, every, unit, first)
            values = schedules.form_values(plan)
            self.assertEqual((values['repeat'], values.get('every'), values.get('unit')),
                             (repeat, every, unit))
            self.assertEqual(values['first'], first)

    def test_times_are_sent_as_utc(self):
        zone = datetime.timezone(datetime.timedelta(hours=2))
        plan = schedules.plan('1 days', first=datetime.datetime(2027, 1, 2, 1, 0, tzinfo=zone))
        self.assertEqual(plan['schedule_start_date'], '2027-01-01T23:00:00Z')

    def test_a_plan_that_the_form_cannot_hold_is_left_alone(self):
        for plan in ({'schedule_hour': '3'}, {'schedule_interval': 'continuous'},
                     {'schedule_interval': '5 seconds'}, {'schedule_date': 'someday'}):
            self.assertIsNone(schedules.form_values(plan), plan)

    def test_every_plan_has_words(self):
        for plan in ({}, {'schedule_interval': '7 weeks'}, {'schedule_hour': '3'},
                     {'schedule_interval': 'continuous'}, {'schedule_interval': '1 days'}):
            self.assertTrue(schedules.describe(plan))


class Coverage(SimpleTestCase):
    NOW = 1795690000
    DAY = 86400

    def states(self, *records):
        rows = coverage.coverage([('s', 'web')], [('v', 'data')], records, self.NOW, self.DAY)
        return {row.id: row.state for row in rows}

    def test_only_a_good_recent_backup_protects(self):
        recent, old = self.NOW - 60, self.NOW - 3 * self.DAY
        of_volume = {'mode': 'cinder', 'cinder_vol_id': 'v'}
        for changes, state in (
                ({'time_stamp': recent}, coverage.PROTECTED),
                ({'time_stamp': recent, 'problem_count': 2}, coverage.INCOMPLETE),
                ({'time_stamp': recent, 'is_partial': True}, coverage.INCOMPLETE),
                ({'time_stamp': recent, 'problem_count': 1, 'is_partial': False},
                 coverage.PROTECTED),
                ({'time_stamp': old}, coverage.OUTDATED)):
            record = answers.backup(**dict(of_volume, **changes))
            self.assertEqual(self.states(record), {'v': state, 's': coverage.UNPROTECTED})

    def test_a_record_that_is_no_backup_protects_nothing(self):
        record = answers.backup(mode='cinder', cinder_vol_id='v', time_stamp=self.NOW)
        record['status'] = 'error'
        self.assertEqual(self.states(record)['v'], coverage.UNPROTECTED)

    def test_sets_protect_their_members(self):
        project = answers.backup(mode='project', time_stamp=self.NOW, members=[
            {'kind': 'volume', 'id': 'v'}, {'kind': 'image', 'id': 's'}])
        whole = answers.backup(mode='project', time_stamp=self.NOW, members=[
            {'kind': 'volume', 'id': 'v'}, {'kind': 'server', 'id': 's'}])
        servers = answers.backup(mode='nova', time_stamp=self.NOW, servers={'s': {}})
        self.assertEqual(self.states(project, servers),
                         {'v': coverage.PROTECTED, 's': coverage.PROTECTED})
        self.assertEqual(self.states(project)['s'], coverage.UNPROTECTED)
        self.assertEqual(self.states(whole)['s'], coverage.PROTECTED)

    def test_stored_bytes_add_up_by_day(self):
        records = [answers.backup(time_stamp=self.NOW - self.DAY, bytes_stored=5),
                   answers.backup(time_stamp=self.NOW, bytes_stored=7),
                   answers.backup(time_stamp=self.NOW, bytes_stored=''),
                   answers.backup(time_stamp=self.NOW - 90 * self.DAY, bytes_stored=100)]
        points = coverage.stored_by_day(records, self.NOW, 3)
        self.assertEqual([stored for _at, stored in points], [0, 5, 12])
        drawn = chart.drawing(points)
        self.assertEqual(len(drawn['line'].split()), 3)
        self.assertIsNone(chart.drawing([(0, 0), (1, 0)]))


class Facts(SimpleTestCase):
    def test_secrets_are_hidden(self):
        said = str(facts.of(answers.job()['job_actions'][0]['freezer_action']))
        self.assertNotIn('very secret', said)
        self.assertIn('hidden', said)

    def test_every_option_of_an_action_has_words(self):
        with open(KEYS, encoding='utf-8') as file:
            options = re.findall(r'^ +key\([A-Z]+, "(\w+)"', file.read(), re.M)
        self.assertGreater(len(options), 100)
        self.assertEqual([key for key in options if key not in labels.LABELS], [])

    def test_values_have_words_where_there_are_few(self):
        said = dict(facts.of({'mode': 'fs', 'action': 'backup', 'status': 'stop', 'unknown': 'x'},
                             {'status': {'stop': 'Stopped'}}))
        self.assertEqual({str(key): str(text) for key, text in said.items()}, {
            'Mode': 'Files', 'Action': 'Back up', 'Status': 'Stopped', 'unknown': 'x'})

    def test_sizes_are_for_people(self):
        self.assertEqual([facts.people(size) for size in (None, 0, 1023, 1536, 5 << 40)],
                         ['-', '0 B', '1023 B', '1.5 KiB', '5.0 TiB'])
