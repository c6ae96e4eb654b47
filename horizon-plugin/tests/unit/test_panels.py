"""The panels in Horizon, with the service's answers given: what is shown, and what is sent."""

import os
import pathlib
import re
import types
from unittest import mock
from urllib import parse

from django.test import SimpleTestCase

from freezer_dashboard import api
from freezer_dashboard import names
from freezer_dashboard import restores
from freezer_dashboard.content.backups import plan_form
from freezer_dashboard.content.jobs import tables as job_tables
from tests.unit import answers
from tests.unit.panel import AWAY
from tests.unit.panel import PanelTest

PANELS = ('overview', 'jobs', 'runs', 'backups', 'agents', 'sessions')


class Shown(PanelTest):
    def test_every_panel_shows_what_there_is(self):
        for panel, words in (
                ('overview', ('web', 'data', 'No backup', 'nightly', '0 of 2 protected')),
                ('jobs', ('nightly', '/etc', 'Every day', 'Scheduled', 'db1')),
                ('runs', ('nightly', 'Running', 'role="progressbar"', 'aria-valuenow="25"')),
                ('backups', ('/etc', '1.0 MiB', 'Available')),
                ('agents', ('central', 'All projects', 'message bus')),
                ('sessions', ('web and db', 'Every 6 hours', 'Completed'))):
            text = self.shown(panel)
            for word in words:
                self.assertIn(word, text, panel)

    def test_a_service_that_refuses_is_shown_in_its_words(self):
        for name in self.api:
            self.api[name].side_effect = AWAY
        for panel in PANELS:
            text = self.shown(panel)
            self.assertIn('the service says why', text, panel)
            self.assertNotIn('Traceback', text)

    def test_what_is_not_there_leads_back_with_the_reason(self):
        for name in ('job_get', 'run_get', 'backup_get', 'session_get'):
            self.api[name].side_effect = api.NotThere('it is not there', 404)
        for panel, view in (('jobs', 'detail'), ('jobs', 'edit'), ('jobs', 'clone'),
                            ('runs', 'detail'), ('backups', 'detail'), ('backups', 'restore'),
                            ('backups', 'check'), ('sessions', 'detail'), ('sessions', 'edit'),
                            ('sessions', 'attach')):
            response = self.client.get(self.url(panel, view, 'x'))
            self.assertRedirects(response, self.url(panel), fetch_redirect_response=False)
            self.assertIn('it is not there', self.said(response), (panel, view))

    def test_the_page_of_a_job_hides_secrets(self):
        text = self.shown('jobs', 'detail', 'job1')
        self.assertIn('/etc', text)
        self.assertNotIn('very secret', text)

    def test_the_page_of_a_run_escapes_what_agents_say(self):
        text = self.shown('runs', 'detail', 'run1')
        self.assertIn('/etc/&lt;passwd&gt;', text)
        self.assertNotIn('/etc/<passwd>', text)

    def test_a_run_tells_its_state_to_the_script(self):
        state = self.client.get(self.url('runs', 'state', 'run1')).json()
        self.assertIs(state['is_ended'], False)
        self.assertEqual(state['live'], 'Running, 25 percent')
        self.assertIn('aria-valuenow="25"', state['html'])
        self.api['run_get'].return_value = answers.run(
            state='fail', error='action 0: /etc is not there', finished_at=1795686009)
        state = self.client.get(self.url('runs', 'state', 'run1')).json()
        self.assertIs(state['is_ended'], True)
        self.assertIn('/etc is not there', state['html'])
        self.api['run_get'].side_effect = AWAY
        self.assertEqual(self.client.get(self.url('runs', 'state', 'run1')).status_code, 422)

    def test_the_last_lines_of_the_log_are_open_while_it_works(self):
        self.api['run_get'].return_value = answers.run(log=['INFO begun', 'WARNING <odd>'])
        html = self.client.get(self.url('runs', 'state', 'run1')).json()['html']
        self.assertIn('<details data-name="log-1-1" open data-opened>', html)
        self.assertIn('INFO begun\nWARNING &lt;odd&gt;\n', html)
        step = dict(answers.run()['steps'][0], outcome='success', log=['INFO ended'])
        self.api['run_get'].return_value = answers.run(state='success', steps=[step])
        html = self.client.get(self.url('runs', 'state', 'run1')).json()['html']
        self.assertIn('<details data-name="log-1-1">', html)
        self.assertIn('INFO ended', html)

    def test_a_run_without_totals_has_a_bar_without_a_value(self):
        self.api['run_list'].return_value = [answers.run(progress={'phase': 'planning'})]
        text = self.shown('runs').split('<tbody>')[1].split('</table>')[0]
        self.assertIn('role="progressbar"', text)
        self.assertNotIn('aria-valuenow', text)

    def test_a_result_shows_what_is_nested_in_it(self):
        self.api['run_get'].return_value = answers.run(state='success', steps=[{
            'action_index': 0, 'attempt': 1, 'outcome': 'success', 'exit_code': 0, 'error': None,
            'started_at': 1795686001, 'finished_at': 1795686002, 'result': {'restore': {
                'bytes_written': 2048, 'volume': {'volume_name': 'data'},
                'missing': [{'kind': 'network', 'id': 'net1'}, 'plain']}}}])
        text = self.shown('runs', 'detail', 'run1')
        for word in ('2.0 KiB', 'Restore: Volume', 'data', 'Restore: Missing',
                     'Kind: Network', 'plain'):
            self.assertIn(word, text)

    def test_a_result_is_told_in_words(self):
        step = dict(answers.run()['steps'][0], outcome='success', result={'verify': {
            'is_sound': True, 'levels': 2, 'bytes_checked': 2048, 'reports': [{'hbn': 'h_etc'}]}})
        asked = {'action': 'restore', 'mode': 'cinder', 'engine_name': 'image',
                 'cinder_restore_to': 'new', 'upload_limit': '512K'}
        self.api['run_get'].return_value = answers.run(
            state='success', steps=[step], job_actions=[{'freezer_action': asked}])
        text = self.client.get(self.url('runs', 'state', 'run1')).json()['html']
        for word in ('Undamaged', 'Levels', 'Read again', 'Check: What was read', 'Format',
                     'Into', 'a new volume', 'At most to the storage'):
            self.assertIn(word, text)
        for key in ('is_sound', 'bytes_checked', 'reports', *asked):
            self.assertNotIn('>%s<' % key, text)

    def test_what_is_at_work_has_no_end(self):
        where = self.url('runs', 'state', 'run1')
        self.assertNotIn('&ndash;', self.client.get(where).json()['html'])
        step = dict(answers.run()['steps'][0], outcome='success', finished_at=1795686061)
        self.api['run_get'].return_value = answers.run(state='success', steps=[step])
        self.assertIn('&ndash;', self.client.get(where).json()['html'])

    def test_a_run_that_waits_says_for_what(self):
        self.api['run_list'].return_value = [answers.run(
            state='queued', waiting_for='another run works on the same backups')]
        self.assertIn('another run works on the same backups', self.shown('runs'))

    def test_a_job_that_is_not_there_any_more_is_no_link(self):
        self.api['job_list'].return_value = []
        self.api['run_list'].return_value = [answers.run(), answers.run('run2')]
        text = self.shown('runs')
        self.assertIn('deleted job job1', text)
        self.assertNotIn(self.url('jobs', 'detail', 'job1'), text)

    def test_a_new_job_is_waited_for_until_it_runs(self):
        self.api['run_list'].return_value = []
        self.assertIn('http-equiv="refresh"', self.shown('runs', 'follow', 'job1'))
        self.api['run_list'].return_value = [answers.run()]
        self.assertRedirects(self.client.get(self.url('runs', 'follow', 'job1')),
                             self.url('runs', 'detail', 'run1'), fetch_redirect_response=False)


class Jobs(PanelTest):
    WIZARD = {'kind': 'volume', 'volume': 'v1', 'name': 'data', 'agent': 'central',
              'storage': 'swift', 'container': 'vault', 'incremental': 'on', 'max_level': '6',
              'keep_last': '7', 'repeat': 'custom', 'every': '6', 'unit': 'hours',
              'is_started': 'on'}

    def wizard(self, **changes):
        data = dict(self.WIZARD, **changes)
        return self.client.post(self.url('jobs', 'create'),
                                {key: value for key, value in data.items() if value is not None})

    def test_the_wizard_makes_the_job(self):
        response = self.wizard()
        self.assertRedirects(response, self.url('jobs'), fetch_redirect_response=False)
        (job,) = self.sent('job_create')
        self.assertEqual(job['client_id'], 'central')
        self.assertEqual(job['job_schedule'], {'schedule_interval': '6 hours'})
        backup, rotation = (action['freezer_action'] for action in job['job_actions'])
        self.assertEqual(backup, {'action': 'backup', 'mode': 'cinder', 'cinder_vol_id': 'v1',
                                  'storage': 'swift', 'container': 'vault', 'incremental': True,
                                  'max_level': 6})
        self.assertEqual((rotation['action'], rotation['keep_last']), ('admin', 7))

    def test_the_wizard_stays_open_with_the_services_words(self):
        self.api['job_create'].side_effect = AWAY
        response = self.wizard()
        self.assertEqual(response.status_code, 200)
        self.assertIn('the service says why', response.content.decode())

    def test_the_wizard_says_what_is_missing_and_sends_nothing(self):
        for changes, words in (
                ({'volume': ''}, 'Say what is to be protected'),
                ({'kind': 'files', 'folder': 'etc'}, 'Give the whole path'),
                ({'storage': 'local', 'container': 'x'}, 'Give the whole path of the folder'),
                ({'storage': 'ssh', 'container': '/srv'}, 'A storage by SSH needs this'),
                ({'kind': 'tagged'}, 'Say what is to be protected'),
                ({'encrypt_pass_file': 'pass'}, 'Give the whole path, from / on'),
                ({'kind': 'native', 'encrypt_pass_file': '/pass'}, 'does not encrypt'),
                ({'kind': 'image', 'image': 'i1'}, 'cannot save this'),
                ({'every': ''}, 'An interval needs a number'),
                ({'first': '2027-01-02T00:00', 'last': '2027-01-01T00:00'}, 'must be after')):
            self.assertIn(words, self.wizard(**changes).content.decode(), changes)
        self.assertFalse(self.api['job_create'].called)

    def test_the_wizard_knows_tags_ssh_and_encryption(self):
        self.wizard(kind='tagged', tag='nightly', storage='ssh', container='/srv/backups',
                    ssh_host='vault', ssh_username='keeper', encrypt_pass_file='/etc/pass')
        backup = self.sent('job_create')[0]['job_actions'][0]['freezer_action']
        self.assertEqual(backup, {
            'action': 'backup', 'mode': 'nova', 'nova_inst_tag': 'nightly', 'storage': 'ssh',
            'container': '/srv/backups', 'ssh_host': 'vault', 'ssh_username': 'keeper',
            'encrypt_pass_file': '/etc/pass', 'incremental': True, 'max_level': 6})

    def test_an_edit_changes_name_agent_and_plan_only(self):
        self.client.post(self.url('jobs', 'edit', 'job1'), {
            'name': 'weekly', 'agent': 'central', 'repeat': '1 weeks'})
        self.assertEqual(self.sent('job_update'), ('job1', {
            'description': 'weekly', 'client_id': 'central',
            'job_schedule': {'schedule_interval': '1 weeks'}}))

    def test_an_edit_leaves_a_plan_that_it_cannot_show(self):
        self.api['job_get'].return_value = answers.job(job_schedule={'schedule_hour': '3'})
        self.assertNotIn('name="repeat"', self.shown('jobs', 'edit', 'job1'))
        self.client.post(self.url('jobs', 'edit', 'job1'), {'name': 'n', 'agent': 'central'})
        self.assertNotIn('job_schedule', self.sent('job_update')[1])

    def test_events_are_asked_for_and_refusals_are_said(self):
        self.api['job_list'].return_value = [answers.job(job_schedule={'status': 'stop'})]
        self.client.post(self.url('jobs'), {'action': 'jobs__start__job1'})
        self.assertEqual(self.sent('job_event'), ('job1', 'start'))
        self.api['job_event'].side_effect = AWAY
        response = self.client.post(self.url('jobs'), {'action': 'jobs__start__job1'})
        said = self.said(response)
        self.assertEqual(said.count('the service says why'), 1, said)
        self.assertIn('nightly', said)

    def test_a_refusal_is_said_whatever_others_look_at_meanwhile(self):
        """Horizon shares actions between requests: another page may take hold of them."""
        def refused(request, *_args):
            job_tables.JobsTable(request)
            raise AWAY
        self.api['job_list'].return_value = [answers.job(job_schedule={'status': 'stop'})]
        self.api['job_event'].side_effect = refused
        response = self.client.post(self.url('jobs'), {'action': 'jobs__start__job1'})
        self.assertIn('the service says why', self.said(response))

    def test_a_row_is_asked_for_again_while_something_happens(self):
        for status, is_asked in (('running', True), ('scheduled', False), ('completed', False)):
            self.api['job_list'].return_value = [answers.job(
                next_run_at=-1, job_schedule={'status': status})]
            self.assertEqual('warning' in self.shown('jobs').split('<tbody>')[1]
                             .split('</tr>')[0], is_asked, status)

    def test_an_action_outlives_its_row(self):
        for where in (('jobs',), ('runs',), ('jobs', 'detail', 'job1')):
            with self.subTest(where=where):
                self.assertIn('freezer_dashboard/rows.js', self.shown(*where))

    def test_a_clone_and_a_delete(self):
        self.client.post(self.url('jobs', 'clone', 'job1'), {'name': 'twin'})
        self.assertEqual(self.sent('job_create')[0]['description'], 'twin')
        self.client.post(self.url('jobs'), {'action': 'jobs__delete__job1'})
        self.assertEqual(self.sent('job_delete'), ('job1',))


class Backups(PanelTest):
    def restored(self, metadata, data):
        """The job that a restore by form and confirmation makes."""
        record = answers.backup(**metadata)
        self.api['backup_get'].return_value = record
        self.api['client_list'].return_value = [answers.client(modes=[])]
        response = self.client.post(self.url('backups', 'restore', 'backup1'),
                                    dict(data, agent='central'))
        self.assertEqual(response.status_code, 302, response.content.decode()[-3000:])
        self.assertFalse(self.api['job_create'].called)
        page = self.client.get(response['Location'])
        sealed = page.context['sealed']
        response = self.client.post(self.url('backups', 'confirm'), {'restore': sealed})
        self.assertRedirects(response, self.url('runs', 'follow', 'job2'),
                             fetch_redirect_response=False)
        (job,) = self.sent('job_create')
        self.api['job_create'].reset_mock()
        return job['job_actions'][0]['freezer_action']

    def test_each_kind_is_restored_after_a_confirmation(self):
        for metadata, data, wanted in (
                ({}, {'folder': '/new'}, {'restore_abs_path': '/new', 'mode': 'fs'}),
                ({'mode': 'cinder'}, {'target': 'new', 'name': 'again'},
                 {'cinder_restore_to': 'new', 'restore_name': 'again'}),
                ({'mode': 'cinder'}, {'target': 'over', 'name': 'unused'},
                 {'cinder_restore_to': 'over'}),
                ({'mode': 'cindernative', 'cinder_backup_id': 'b', 'cindernative_vol_id': 'v'},
                 {'target': 'over'}, {'overwrite': True, 'cindernative_backup_id': 'b'}),
                ({'mode': 'glance'}, {'name': 'again'}, {'restore_name': 'again'}),
                ({'mode': 'project'}, {'select': 'volume', 'mapping': 'network/a=b'},
                 {'project_select': 'volume', 'project_map': 'network/a=b'}),
                ({'mode': 'nova'}, {'name': 'again', 'mapping': 'old=new'},
                 {'restore_name': 'again', 'nova_restore_network': 'old=new'}),
                ({'mode': 'nova', 'servers': {'s1': {'backup_name': 'n_s1'}}},
                 {'server': 's1'}, {'nova_inst_id': 's1', 'backup_name': 'n_s1'})):
            with mock.patch('freezer_dashboard.content.backups.forms._found', return_value=[]):
                action = self.restored(metadata, data)
            self.assertEqual(action, dict(action, **wanted), metadata)
            self.assertNotIn('unused', action.values())
            self.assertEqual(action['action'], 'restore')

    def test_an_encrypted_backup_is_restored_with_the_pass_phrase_of_its_job(self):
        job = answers.job()
        job['job_actions'][0]['freezer_action']['encrypt_pass_file'] = '/etc/pass'
        self.api['job_get'].return_value = job
        encrypted = {'encrypted': True, 'path_to_backup': '/etc'}
        self.api['backup_get'].return_value = answers.backup(**encrypted)
        self.assertIn('value="/etc/pass"', self.shown('backups', 'restore', 'backup1'))
        action = self.restored(encrypted, {'folder': '/new', 'pass_file': '/etc/other'})
        self.assertEqual(action['encrypt_pass_file'], '/etc/other')
        self.client.post(self.url('backups', 'check', 'backup1'),
                         {'agent': 'central', 'pass_file': '/etc/pass'})
        action = self.sent('job_create')[0]['job_actions'][0]['freezer_action']
        self.assertEqual((action['encrypt_pass_file'], action['dry_run']), ('/etc/pass', True))
        self.api['backup_get'].return_value = answers.backup()
        self.assertNotIn('pass_file', self.shown('backups', 'restore', 'backup1'))

    def test_a_plan_writes_nothing_and_leads_on(self):
        sealed = restores.sealed('central', {'action': 'restore', 'mode': 'fs',
                                             'backup_name': 'etc', 'restore_abs_path': '/new'})
        self.client.post(self.url('backups', 'confirm'), {'restore': sealed, 'plan': '1'})
        action = self.sent('job_create')[0]['job_actions'][0]['freezer_action']
        self.assertIs(action['dry_run'], True)
        self.api['run_get'].return_value = answers.run(
            state='success', job_actions=[{'freezer_action': action}])
        text = self.shown('runs', 'detail', 'run1')
        self.assertIn('Nothing was written', text)
        self.assertIn('Restore Now', text)

    def test_a_plan_of_a_project_is_shown_and_chosen_from(self):
        self.api['run_get'].return_value = answers.plan()
        text = self.shown('runs', 'detail', 'run1')
        for word in ('Network', 'Used as it is', 'data~1795686001',
                     'Cannot be restored', 'it needs network x', 'something has to be decided'):
            self.assertIn(word, text)
        # With something open nothing would be restored; so it is not offered.
        self.assertNotIn('Restore Now', text)
        where = self.url('backups', 'plan', 'run1')
        self.assertIn(where, text)
        lists = {'network': lambda request: [('n1', 'net'), ('n2', 'other net')],
                 'router': lambda request: [('r2', 'other gate')]}
        with mock.patch.dict(plan_form.LISTS, lists):
            page = self.client.get(where).content.decode()
            self.assertIn('other gate', page)
            self.assertNotIn('<option value="n1"', page)
            response = self.client.post(where, {
                'what': 'chosen', 'take_1': 'on', 'map_0': 'n2', 'map_3': 'r2',
                'more': 'flavor/a=b'})
            (client_id, action) = self.sealed(response)
            self.assertEqual((client_id, action['project_select'], action['project_map']),
                             ('central', 'volume/v9',
                              'network/n1=n2,router/r1=r2,flavor/a=b'))
            self.assertNotIn('dry_run', action)
            _client_id, action = self.sealed(self.client.post(where, {
                'what': 'all', 'take_1': 'on'}))
            self.assertNotIn('project_select', action)
            self.assertNotIn('project_map', action)
            self.assertIn('Tick what is to be restored', self.client.post(
                where, {'what': 'chosen'}).content.decode())
            # Not one of those that are there.
            self.assertEqual(self.client.post(where, {'what': 'all', 'map_0': 'x'}).status_code,
                             200)
        self.assertFalse(self.api['job_create'].called)

    def sealed(self, response):
        """Agent and action that the page which asks is about."""
        self.assertEqual(response.status_code, 302, response.content.decode()[-3000:])
        query = parse.parse_qs(parse.urlsplit(response['Location']).query)
        return restores.opened(query['restore'][0])

    def test_a_plan_with_nothing_open_is_restored_at_once(self):
        self.api['run_get'].return_value = answers.plan(refused=[])
        self.assertIn('Restore Now', self.shown('runs', 'detail', 'run1'))

    def test_what_is_no_plan_cannot_be_chosen_from(self):
        response = self.client.get(self.url('backups', 'plan', 'run1'))
        self.assertRedirects(response, self.url('runs'), fetch_redirect_response=False)
        self.assertIn('no plan', self.said(response))
        self.api['run_get'].side_effect = api.NotThere('it is not there', 404)
        response = self.client.get(self.url('backups', 'plan', 'run1'))
        self.assertIn('it is not there', self.said(response))

    def test_a_server_gets_other_networks(self):
        """Where it is still there, its networks are known and have a field each."""
        nets = [types.SimpleNamespace(id=one, name_or_id='name of ' + one)
                for one in ('n1', 'n2', 'n3')]
        ports = [types.SimpleNamespace(network_id=one) for one in ('n1', 'n2', 'n1')]
        neutron = 'openstack_dashboard.api.neutron.'
        with mock.patch(neutron + 'network_list_for_tenant', return_value=nets), \
                mock.patch(neutron + 'port_list', return_value=ports) as listed, \
                mock.patch('openstack_dashboard.api.nova.flavor_list', return_value=[]):
            metadata = {'mode': 'nova', 'nova_inst_id': 's1'}
            action = self.restored(metadata, {'network_n1': 'n3', 'mapping': 'n2=gone'})
            self.assertEqual(action['nova_restore_network'], 'n1=n3,n2=gone')
            self.assertEqual(listed.call_args[1], {'device_id': 's1'})
            text = self.shown('backups', 'restore', 'backup1')
            self.assertIn('In the Place of name of n2', text)
            response = self.client.post(self.url('backups', 'restore', 'backup1'), {
                'agent': 'central', 'network': 'n3', 'network_n1': 'n3'})
            self.assertIn('Choose either one network', response.content.decode())
            # Of several servers nobody knows which.
            listed.reset_mock()
            self.restored({'mode': 'nova', 'servers': {'s1': {}, 's2': {}}}, {'server': 's1'})
            self.assertFalse(listed.called)

    def test_what_was_changed_on_the_way_is_refused(self):
        sealed = restores.sealed('central', {'action': 'restore'})
        for wrong in ('', sealed[:-2] + 'xx'):
            response = self.client.post(self.url('backups', 'confirm'), {'restore': wrong})
            self.assertRedirects(response, self.url('backups'), fetch_redirect_response=False)
        self.assertFalse(self.api['job_create'].called)

    def test_a_refused_restore_is_said(self):
        self.api['job_create'].side_effect = AWAY
        sealed = restores.sealed('central', {'action': 'restore', 'mode': 'fs'})
        response = self.client.post(self.url('backups', 'confirm'), {'restore': sealed})
        self.assertRedirects(response, self.url('backups'), fetch_redirect_response=False)
        self.assertIn('the service says why', self.said(response))

    def test_a_check_reads_and_does_not_write(self):
        self.client.post(self.url('backups', 'check', 'backup1'), {'agent': 'central'})
        self.api['client_list'].return_value = [answers.client(modes=[])]
        self.client.post(self.url('backups', 'check', 'backup1'), {'agent': 'central'})
        action = self.sent('job_create')[0]['job_actions'][0]['freezer_action']
        self.assertEqual((action['action'], action['dry_run']), ('restore', True))

    def test_a_check_by_an_agent_that_can_verify(self):
        able = answers.client(modes=[])
        able['client']['supported_actions'].append('verify')
        self.api['client_list'].return_value = [able]
        self.api['backup_get'].return_value = answers.backup(mode='cinder')
        self.client.post(self.url('backups', 'check', 'backup1'), {'agent': 'central'})
        action = self.sent('job_create')[0]['job_actions'][0]['freezer_action']
        self.assertEqual((action['action'], action['mode']), ('verify', 'cinder'))
        self.api['run_get'].return_value = answers.run(
            state='success', job_actions=[{'freezer_action': action}])
        text = self.shown('runs', 'detail', 'run1')
        self.assertIn('read back and checked', text)
        self.assertNotIn('Restore Now', text)

    def test_a_kind_that_only_operators_restore_is_not_offered(self):
        self.api['backup_get'].return_value = answers.backup(mode='cloud')
        self.api['backup_list'].return_value = [answers.backup(mode='cloud')]
        self.assertNotIn(self.url('backups', 'restore', 'backup1'), self.shown('backups'))
        response = self.client.get(self.url('backups', 'restore', 'backup1'))
        self.assertRedirects(response, self.url('backups'), fetch_redirect_response=False)

    def test_an_incomplete_backup_says_so(self):
        self.api['backup_list'].return_value = [answers.backup(problem_count=3)]
        self.assertIn('Incomplete', self.shown('backups'))


class Sessions(PanelTest):
    def test_a_session_is_made_and_changed(self):
        data = {'name': 's', 'repeat': '1 days', 'hold_off': '10'}
        self.client.post(self.url('sessions', 'create'), data)
        wanted = {'description': 's', 'hold_off': 10,
                  'schedule': {'schedule_interval': '1 days'}}
        self.assertEqual(self.sent('session_create'), (wanted,))
        self.client.post(self.url('sessions', 'edit', 'session1'), data)
        self.assertEqual(self.sent('session_update'), ('session1', wanted))

    def test_its_jobs_are_shown(self):
        text = self.shown('sessions', 'detail', 'session1')
        self.assertIn('nightly', text)


class Colours(SimpleTestCase):
    def test_they_are_left_to_the_theme(self):
        package = os.path.dirname(api.__path__[0])
        for folder in ('templates', 'static'):
            for path in pathlib.Path(package, folder).rglob('*.*'):
                found = re.findall(r'(?<![\w-])(?:color|background(?:-color)?|fill|stroke)'
                                   r'(?:\s*:|=")(?!\s*(?:none|currentColor|inherit))[^;"]+',
                                   path.read_text(encoding='utf-8'))
                self.assertEqual(found, [], path)

    def test_what_is_to_be_read_is_not_grey(self):
        """Horizon's grey is too near to white to be read."""
        folder = os.path.join(os.path.dirname(api.__path__[0]), 'templates')
        for path in pathlib.Path(folder).rglob('*.html'):
            text = path.read_text(encoding='utf-8')
            self.assertNotIn('text-muted', text, path)
            for caption in re.findall(r'<caption[^>]*>', text):
                self.assertRegex(caption, 'sr-only|color: inherit', path)


class Resources(SimpleTestCase):
    def test_a_service_that_is_not_there_is_not_asked(self):
        user = types.SimpleNamespace(service_catalog=[], services_region='RegionOne')
        request = types.SimpleNamespace(user=user)
        for listed in (names.servers, names.volumes, names.images):
            self.assertEqual(listed(request), ([], False))
