"""What stays and what goes: pins, rules of retention, records that are deleted."""

from django.test import SimpleTestCase

from freezer_dashboard import api
from freezer_dashboard import losses
from freezer_dashboard import pins
from freezer_dashboard import restores
from freezer_dashboard import retention
from tests.unit import answers
from tests.unit.panel import AWAY
from tests.unit.panel import PanelTest

NOW = 1795700000
# What an agent plans to remove, of each kind of backup.
CHAIN = {'hbn': 'db1_etc', 'keep': [], 'remove': [{
    'subject': 'chain', 'chain_timestamp': 1795000000, 'levels': ['0_1', '1_2'], 'reason': 'too old'}]}
KEPT = {'hbn': 'db1_etc', 'remove': [], 'keep': [{
    'subject': 'chain', 'chain_timestamp': 1795000000, 'levels': ['0_1'],
    'reason': 'held by demo since 2026-11-26T09:00:00Z until it is released: case 17'}]}
CINDER = {'keep': ['full2'], 'remove': [{'full': 'full1', 'backups': ['full1', 'inc'],
                                         'records': [], 'newest_secs': 1795000000}],
          'skipped': ['backup x is of somebody else']}


def able(*actions):
    client = answers.client(modes=[])
    client['client']['supported_actions'] += actions
    return [client]


class Known(SimpleTestCase):
    def pin(self, *jobs, **metadata):
        return pins.of(answers.backup(**metadata), pins.known(jobs), NOW)

    def test_a_pin_is_known_by_the_job_that_has_placed_it(self):
        self.assertEqual(self.pin(answers.pinning()), pins.Pin('case 17', None))
        self.assertIsNone(self.pin())
        for job in (answers.pinning(result='fail'), answers.pinning(container='other'),
                    answers.pinning(restore_from_date='2026-11-26T09:40:02Z'),
                    answers.pinning(restore_from_date='2026-11-26T09:40:01'),
                    answers.pinning(restore_from_date=None)):
            self.assertIsNone(self.pin(job))

    def test_the_last_word_counts(self):
        pinned, freed = answers.pinning(ended=5), answers.pinning('release', ended=7)
        self.assertIsNone(self.pin(freed, pinned))
        self.assertIsNotNone(self.pin(freed, pinned, answers.pinning(ended=9)))
        # Without a time all of the name are let go; of another name none.
        self.assertIsNone(self.pin(pinned, answers.pinning('release', ended=7,
                                                           restore_from_date=None)))
        self.assertIsNotNone(self.pin(pinned, answers.pinning('release', ended=7,
                                                              backup_name='x')))

    def test_a_pin_ends_by_itself(self):
        for until, is_pinned in (('2026-11-26T13:33:21Z', True), ('2026-11-26T13:33:20Z', False)):
            pin = self.pin(answers.pinning(hold_until=until))
            self.assertEqual(pin is not None, is_pinned, until)

    def test_servers_that_were_saved_together_are_pinned_together(self):
        record = answers.server(servers={
            's1': {'backup_name': 'web_s1', 'time_stamp': 1795686001},
            's2': {'backup_name': 'web_s2', 'time_stamp': 1795686002}})
        actions = pins.actions(record, pins.HOLD, {'hold_reason': 'why'})
        self.assertEqual(
            [(one['nova_inst_id'], one['backup_name'], one['restore_from_date'], one['hold_reason'])
             for one in actions],
            [('s1', 'web_s1', '2026-11-26T09:40:01Z', 'why'),
             ('s2', 'web_s2', '2026-11-26T09:40:02Z', 'why')])
        job = answers.job(job_schedule={'result': 'success', 'time_ended': 5},
                          job_actions=[{'freezer_action': one} for one in actions])
        self.assertIsNotNone(pins.of(record, pins.known([job]), NOW))
        job['job_actions'].pop()
        self.assertIsNone(pins.of(record, pins.known([job]), NOW))

    def test_cinders_own_backups_cannot_be_pinned(self):
        record = answers.backup(mode='cindernative')
        self.assertIsNone(pins.of(record, pins.known([answers.pinning()]), NOW))


class Pins(PanelTest):
    def test_a_backup_is_pinned_by_an_agent_that_can(self):
        self.assertIn('no agent can do this', self.shown('backups', 'pin', 'backup1'))
        self.api['client_list'].return_value = able('hold')
        response = self.client.post(self.url('backups', 'pin', 'backup1'), {
            'reason': 'case 17', 'until': '2030-01-01T00:00', 'agent': 'central'})
        self.assertRedirects(response, self.url('runs', 'follow', 'job2'),
                             fetch_redirect_response=False)
        (job,) = self.sent('job_create')
        self.assertEqual(job['job_schedule'], {})
        self.assertEqual([one['freezer_action'] for one in job['job_actions']], [{
            'action': 'hold', 'mode': 'fs', 'storage': 'swift', 'container': 'vault',
            'hostname': 'db1', 'backup_name': 'etc', 'restore_from_date': '2026-11-26T09:40:01Z',
            'hold_reason': 'case 17', 'hold_by': self.user.name,
            'hold_until': '2030-01-01T00:00:00Z'}])

    def test_a_pin_needs_a_reason_and_an_end_that_is_to_come(self):
        self.api['client_list'].return_value = able('hold')
        for data in ({'agent': 'central'}, {'reason': 'x' * 1001, 'agent': 'central'},
                     {'reason': 'x', 'until': '2001-01-01T00:00', 'agent': 'central'},
                     {'reason': 'x', 'until': 'some day', 'agent': 'central'},
                     {'reason': 'x', 'agent': 'nobody'}):
            response = self.client.post(self.url('backups', 'pin', 'backup1'), data)
            self.assertEqual(response.status_code, 200, data)
        self.assertFalse(self.api['job_create'].called)

    def test_what_is_pinned_says_so_and_can_be_let_go(self):
        self.api['client_list'].return_value = able('release')
        self.assertNotIn(self.url('backups', 'unpin', 'backup1'), self.shown('backups'))
        # An older one would be let go.
        response = self.client.get(self.url('backups', 'unpin', 'backup1'))
        self.assertIn('not known that this backup is pinned', self.said(response))
        self.api['job_list'].return_value = [answers.pinning()]
        text = self.shown('backups')
        self.assertIn('until let go', text)
        self.assertIn(self.url('backups', 'unpin', 'backup1'), text)
        self.assertNotIn(self.url('backups', 'pin', 'backup1'), text)
        self.assertIn('case 17', self.shown('backups', 'detail', 'backup1'))
        self.client.post(self.url('backups', 'unpin', 'backup1'), {'agent': 'central'})
        action = self.sent('job_create')[0]['job_actions'][0]['freezer_action']
        self.assertEqual((action['action'], action['backup_name'], action['restore_from_date']),
                         ('release', 'etc', '2026-11-26T09:40:01Z'))

    def test_pins_that_cannot_be_known_are_said_to_be_so(self):
        self.api['job_list'].side_effect = AWAY
        response = self.client.get(self.url('backups'))
        self.assertIn('not known what is pinned', response.content.decode())
        self.assertIn('the service says why', response.content.decode())


class Deleting(PanelTest):
    def losses(self, record, *others, pin=None):
        return ' '.join(losses.of_record(record, (record,) + others, pin))

    def test_what_is_lost_is_said_before(self):
        first = answers.backup('first', chain_time_stamp=1795686001)
        second = answers.backup('second', chain_time_stamp=1795686001, curr_backup_level=1,
                                time_stamp=1795686100)
        elsewhere = answers.backup('elsewhere', container='other')
        said = self.losses(first, second, elsewhere)
        self.assertIn('1 newer backup builds on it', said)
        self.assertNotIn('only complete', said)
        self.assertIn('1.0 MiB in vault', said)
        self.assertNotIn('pinned:', said)
        # What is not complete does not count.
        second['backup_metadata']['is_partial'] = True
        said = self.losses(first, second, elsewhere, pin=pins.Pin('why', None))
        self.assertIn('only complete', said)
        self.assertIn('It is pinned', said)
        self.assertNotIn('builds on it', self.losses(second, first))
        self.assertIn('in Cinder stays', self.losses(answers.backup(mode='cindernative')))

    def test_a_record_is_deleted_after_its_page_has_said_it(self):
        self.assertIn(self.url('backups', 'delete', 'backup1'), self.shown('backups'))
        text = self.shown('backups', 'delete', 'backup1')
        self.assertIn('It is the only complete backup of this name', text)
        self.assertEqual(self.api['backup_list'].call_args[1],
                         {'match': {'backup_name': 'etc', 'container': 'vault'}})
        self.assertFalse(self.api['backup_delete'].called)
        response = self.client.post(self.url('backups', 'delete', 'backup1'))
        self.assertRedirects(response, self.url('backups'), fetch_redirect_response=False)
        self.assertEqual(self.sent('backup_delete'), ('backup1',))
        # Of what is not there nothing is said to be deleted.
        self.api['backup_delete'].reset_mock()
        self.api['backup_get'].side_effect = api.NotThere('it is not there', 404)
        response = self.client.post(self.url('backups', 'delete', 'backup1'))
        self.assertEqual(self.said(response).count('Deleted'), 1)
        self.assertIn('it is not there', self.said(response))
        self.assertFalse(self.api['backup_delete'].called)


class Planned(SimpleTestCase):
    def test_each_kind_of_plan_is_read(self):
        for plan, wanted in (
                (CHAIN, [('db1_etc', True, 2)]), ([CHAIN, KEPT], [('db1_etc', True, 2),
                                                                  ('db1_etc', False, 1)]),
                ([{'set': KEPT, 'members': [CHAIN]}], [('db1_etc', False, 1),
                                                       ('db1_etc', True, 2)]),
                (CINDER, [('full1', True, 2), ('full2', False, '-'), ('-', False, '-')])):
            rows = retention.planned({'plan': plan})
            self.assertEqual([(row['name'], row['is_removed'], row['levels']) for row in rows],
                             wanted)
        for other in ({}, {'plan': {'servers': ['s1']}}, {'plan': []}, {'plan': 'x'}):
            self.assertIsNone(retention.planned(other))

    def test_what_removes_is_made_of_what_saves_and_tells_no_secret(self):
        job = answers.job()
        self.assertEqual(retention.removals(job, {'keep_last': 2}), [{
            'action': 'admin', 'mode': 'fs', 'backup_name': 'etc', 'container': 'vault',
            'storage': 'swift', 'path_to_backup': '/etc', 'keep_last': 2}])
        self.assertEqual(retention.removals(job, {}), [])
        job['job_actions'].append({'freezer_action': {
            'action': 'admin', 'mode': 'fs', 'backup_name': 'etc', 'keep_daily': 7,
            'ssh_password': 'very secret'}})
        self.assertEqual(retention.removals(job, {}), [
            {'action': 'admin', 'mode': 'fs', 'backup_name': 'etc', 'keep_daily': 7}])


    def test_rules_take_the_place_of_others_and_nothing_else_changes(self):
        job = answers.job()
        saving = job['job_actions'][0]
        job['job_actions'] += [{'freezer_action': {'action': 'admin', 'keep_last': 3}},
                               {'freezer_action': {'action': 'exec', 'command': 'true'}}]
        new = retention.replaced(job, {'keep_daily': 7})
        self.assertEqual(new[:2], [saving, job['job_actions'][2]])
        self.assertEqual(new[2:], [{'freezer_action': {
            'action': 'admin', 'mode': 'fs', 'backup_name': 'etc', 'container': 'vault',
            'storage': 'swift', 'path_to_backup': '/etc', 'keep_daily': 7,
            # The job has it already, and without it nothing could be removed.
            'ssh_password': 'very secret'}}])
        self.assertTrue(retention.can_be_set(job))
        saving['freezer_action']['mode'] = 'cindernative'
        self.assertFalse(retention.can_be_set(job))


class Retention(PanelTest):
    def with_rules(self):
        job = answers.job(client_id='central')
        job['job_actions'].append({'freezer_action': {
            'action': 'admin', 'mode': 'fs', 'backup_name': 'etc', 'container': 'vault',
            'storage': 'swift', 'keep_last': 1}})
        self.api['job_get'].return_value = job

    def test_a_job_shows_what_its_rules_would_remove(self):
        self.with_rules()
        self.assertIn(self.url('jobs', 'retention', 'job1'), self.shown('jobs'))
        text = self.shown('jobs', 'retention', 'job1')
        self.assertEqual(self.sent('retention_plan'), ({'job_id': 'job1'},))
        for word in ('Newest Backups to Keep: 1', '2 backups would go, 3.0 MiB',
                     'older than the newest 1', 'one of the newest', 'mode cindernative',
                     'what is pinned'):
            self.assertIn(word, text)
        self.assertFalse(self.api['job_create'].called)

    def test_other_rules_are_tried(self):
        text = self.shown('jobs', 'retention', 'job1')
        self.assertIn('This job removes nothing', text)
        self.assertFalse(self.api['retention_plan'].called)
        self.shown('jobs', 'retention', 'job1', keep_daily='7', keep_last='')
        self.assertEqual(self.sent('retention_plan'), ({'job_id': 'job1', 'keep_daily': 7},))
        self.api['retention_plan'].reset_mock()
        for wrong in ('-1', 'many'):
            self.assertIn('text-danger', self.shown('jobs', 'retention', 'job1', keep_daily=wrong))
        self.assertFalse(self.api['retention_plan'].called)
        self.api['retention_plan'].side_effect = AWAY
        self.assertIn('the service says why',
                      self.shown('jobs', 'retention', 'job1', keep_daily='7'))
        self.api['retention_plan'].side_effect = api.NotThere('it is not there', 404)
        response = self.client.get(self.url('jobs', 'retention', 'job1'), {'keep_daily': '7'})
        self.assertIn('it is not there', self.said(response))

    def test_rules_that_were_tried_become_the_jobs(self):
        where = self.url('jobs', 'retention', 'job1')
        self.assertNotIn('freezer-set-rules', self.shown('jobs', 'retention', 'job1'))
        self.assertIn('freezer-set-rules',
                      self.shown('jobs', 'retention', 'job1', keep_daily='7'))
        self.assertRedirects(self.client.post(where, {'keep_daily': '7', 'keep_last': ''}), where,
                             fetch_redirect_response=False)
        job_id, changes = self.sent('job_update')
        self.assertEqual((job_id, list(changes)), ('job1', ['job_actions']))
        self.assertEqual([entry['freezer_action']['action'] for entry in changes['job_actions']],
                         ['backup', 'admin'])
        self.api['job_update'].reset_mock()
        for nothing in ({}, {'keep_daily': '-1'}):
            self.client.post(where, nothing)
        self.assertFalse(self.api['job_update'].called)
        self.api['job_update'].side_effect = AWAY
        self.assertIn('the service says why', self.said(self.client.post(where, {'keep_daily': '7'})))

    def test_the_agent_plans_and_removes_after_a_confirmation(self):
        self.with_rules()
        page = self.client.get(self.url('jobs', 'retention', 'job1'))
        ((name, where),) = page.context['removals']
        self.assertEqual(name, 'etc')
        page = self.client.get(where)
        text = page.content.decode()
        for word in ('Remove Old Backups: What Will Be Done', 'removed for good', 'Remove Now'):
            self.assertIn(word, text)
        sealed = page.context['sealed']
        self.client.post(self.url('backups', 'confirm'), {'restore': sealed, 'plan': '1'})
        (job,) = self.sent('job_create')
        planned = job['job_actions'][0]['freezer_action']
        self.assertEqual((planned['action'], planned['dry_run'], planned['keep_last']),
                         ('admin', True, 1))
        self.api['run_get'].return_value = answers.run(
            state='success', job_actions=[{'freezer_action': planned}], steps=[{
                'action_index': 0, 'attempt': 1, 'outcome': 'success', 'error': None,
                'started_at': 1795686001, 'finished_at': 1795686002,
                'result': {'plan': [CHAIN, KEPT]}}])
        text = self.shown('runs', 'detail', 'run1')
        for word in ('Nothing was removed', 'too old', 'case 17', 'Remove Now'):
            self.assertIn(word, text)
        self.client.post(self.url('backups', 'confirm'), {'restore': sealed})
        action = self.sent('job_create')[0]['job_actions'][0]['freezer_action']
        self.assertNotIn('dry_run', action)

    def test_an_agent_that_polls_is_not_asked_for_plans(self):
        """It would take them for orders."""
        polling = able()
        polling[0]['client']['link'] = 'poll'
        self.api['client_list'].return_value = polling
        self.with_rules()
        page = self.client.get(self.url('jobs', 'retention', 'job1'))
        self.assertEqual(page.context['removals'], [])
        self.assertIn('take a plan for an order', page.content.decode())
        sealed = restores.sealed('central', {'action': 'restore', 'mode': 'fs'})
        page = self.client.get(self.url('backups', 'confirm'), {'restore': sealed})
        self.assertNotIn('freezer-plan', page.content.decode())
        self.assertIn('take a plan for an order', page.content.decode())
        response = self.client.post(self.url('backups', 'confirm'),
                                    {'restore': sealed, 'plan': '1'})
        self.assertIn('take a plan for an order', self.said(response))
        response = self.client.post(self.url('backups', 'check', 'backup1'), {'agent': 'central'})
        self.assertIn('take a plan for an order', response.content.decode())
        self.assertFalse(self.api['job_create'].called)
