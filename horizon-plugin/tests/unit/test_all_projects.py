"""An administrator's view of the backups of all projects, with the service's answers given."""

import threading
import types
from unittest import mock

from django.test import override_settings
from django.test import SimpleTestCase
from horizon import exceptions
from keystoneauth1 import exceptions as keystone_exceptions

from freezer_dashboard import api
from freezer_dashboard import asking
from freezer_dashboard import names
from freezer_dashboard import projects
from freezer_dashboard import times
from tests.unit import answers
from tests.unit.panel import AdministratorTest
from tests.unit.panel import AWAY

SUMS = ('job_list', 'client_list', 'backup_list', 'usage_show')
TABS = (('coverage', 'backup_list'), ('jobs', 'job_list'), ('runs', 'run_list'),
        ('backups', 'backup_list'), ('agents', 'client_list'))


def seen(client_id, at, **changes):
    client = answers.client(client_id, False, ('fs',))
    client['client'].update(changes, last_seen_at=at)
    return client


@override_settings(API_RESULT_LIMIT=1000, API_RESULT_PAGE_SIZE=20)
class List(AdministratorTest):
    def rows(self, **data):
        """Texts of the rows of the list, by the names of their projects."""
        response = self.client.get(self.at('backup_projects'), data)
        self.assertEqual(response.status_code, 200)
        self.text = response.content.decode()
        self.assertNotIn('Traceback', self.text)
        table = response.context['table']
        found = {}
        for row in table.get_rows():
            found[row.datum.name] = [str(row.cells[name].value) for name in (
                'jobs', 'failed', 'agents', 'newest', 'stored_bytes')]
        return found

    def test_it_tells_how_each_project_stands(self):
        failed = answers.job('job2', job_schedule={'result': 'fail'})
        self.api['job_list'].return_value = [answers.job(), failed]
        self.api['client_list'].return_value = [
            answers.client(), seen('here', times.now()), seen('gone', times.now() - 999),
            seen('polls', -1, link='poll')]
        self.api['backup_list'].return_value = [
            answers.backup('good', time_stamp=1795686001),
            answers.backup('bad', time_stamp=1795689601, is_partial=True)]
        jobs, failed, agents, newest, stored = self.rows()['demo']
        self.assertEqual(jobs, '2')
        self.assertIn('>1<', failed)
        # Those that serve all projects do not count, and who polls is not away.
        self.assertIn('3, 1 away', agents)
        self.assertEqual(newest, times.shown(1795686001))
        self.assertEqual(stored, '1.0 MiB, no limit')
        self.assertIn(self.at('backup_projects', 'detail', answers.PROJECT), self.text)
        for name in SUMS:
            asked = self.api[name].call_args
            self.assertIn(answers.PROJECT, asked[0][1:] + tuple(asked[1].values()), name)

    def test_without_a_recent_backup_it_looks_further_back_and_says_so(self):
        self.api['backup_list'].return_value = [answers.backup(is_partial=True)]
        self.assertIn('<span class="text-danger">none in 30 days', self.rows()['demo'][3])
        hours, days = (call[1]['since'] for call in self.api['backup_list'].call_args_list)
        self.assertAlmostEqual(hours - days, 30 * 86400 - 26 * 3600, delta=60)
        # That is only worth a look where something is to be saved.
        self.api['job_list'].return_value = []
        self.assertEqual(self.rows()['demo'][3], 'none in 30 days')

    @override_settings(API_RESULT_LIMIT=1)
    def test_what_lies_behind_the_end_of_a_list_is_not_said_to_be_not_there(self):
        jobs, failed, _agents, newest, _stored = self.rows()['demo']
        self.assertEqual((jobs, failed), ('1 or more', 'not known'))
        self.assertEqual(newest, times.shown(1795686001) + ' or later')
        self.api['backup_list'].return_value = [answers.backup(is_partial=True)]
        self.assertEqual(self.rows()['demo'][3], 'not known')

    def test_what_the_service_refuses_is_not_known_and_the_rest_is_shown(self):
        for name in SUMS:
            with self.subTest(refused=name):
                with mock.patch.object(api, name, side_effect=AWAY):
                    cells = self.rows()['demo']
                self.assertEqual(cells.count('not known'), 2 if name == 'job_list' else 1, cells)
                self.assertEqual(self.text.count('the service says why'), 1)
        for name in SUMS:
            self.api[name].side_effect = AWAY
        self.assertEqual(set(self.rows()['demo']), {'not known'})

    def test_who_is_late_is_not_waited_for(self):
        released = threading.Event()
        self.addCleanup(released.set)
        self.api['usage_show'].side_effect = lambda *_args: released.wait(60) and answers.USAGE
        with mock.patch.object(asking, 'PATIENCE_SECONDS', 1):
            cells = self.rows()['demo']
        self.assertEqual((cells[0], cells[4]), ('1', 'not known'))
        self.assertIn('did not answer in time', self.text)

    def test_an_expired_login_is_none_of_the_answers(self):
        self.api['client_list'].side_effect = exceptions.NotAuthorized('expired')
        response = self.client.get(self.at('backup_projects'))
        self.assertNotIn('not known', response.content.decode())
        self.assertNotEqual(response.status_code, 200)

    def test_hundreds_of_projects_are_shown_page_by_page(self):
        self.listed.return_value = [('p%03d' % number, 'name %03d' % number)
                                    for number in range(300)]
        rows = self.rows()
        self.assertEqual((len(rows), 'name 019' in rows, 'name 020' in rows), (20, True, False))
        self.assertEqual(self.api['usage_show'].call_count, 20)
        self.assertIn('href="?marker=p019"', self.text)
        self.assertNotIn('prev_marker=', self.text)
        rows = self.rows(marker='p019')
        self.assertEqual((len(rows), 'name 020' in rows), (20, True))
        self.assertIn('href="?prev_marker=p020"', self.text)
        self.assertEqual(list(self.rows(prev_marker='p020')), ['name %03d' % one
                                                               for one in range(20)])
        with override_settings(API_RESULT_PAGE_SIZE=1000):
            self.assertEqual(len(self.rows()), 50)

    def test_a_project_is_found_by_its_name(self):
        self.listed.return_value = [('p%03d' % number, 'name %03d' % number)
                                    for number in range(300)]
        self.assertEqual(list(self.rows(project='E 250')), ['name 250'])
        self.assertIn('value="E 250"', self.text)
        self.assertEqual(list(self.rows(project='p007')), ['name 007'])
        self.rows(project='name 1')
        self.assertIn('href="?marker=p119&amp;project=name+1"', self.text)

    def test_without_keystones_list_it_says_so(self):
        self.listed.return_value = None
        self.assertEqual(self.rows(), {})
        self.assertIn('could not be listed by Keystone', self.text)


@override_settings(API_RESULT_LIMIT=1000)
class OneProject(AdministratorTest):
    def tab(self, name):
        response = self.client.get(self.at('backup_projects', 'detail', answers.PROJECT),
                                   {'tab': 'backup_project_tabs__' + name})
        self.assertEqual(response.status_code, 200)
        text = response.content.decode()
        self.assertNotIn('Traceback', text)
        return text

    def test_each_tab_shows_what_the_project_has(self):
        self.api['run_list'].return_value = [answers.run(state='fail', error='no such folder')]
        self.api['backup_list'].return_value = [
            answers.backup(), answers.backup('b2', mode='nova', nova_inst_id='s1', server_name='web',
                                             time_stamp=times.now())]
        for tab, words in (
                ('coverage', ('1 of 2 protected', 'data', 'No backup', '/admin/instances/s1/')),
                ('jobs', ('nightly', '/etc', 'Every day', 'Success',
                          self.at('all_backup_jobs', 'runs', answers.PROJECT, 'job1'))),
                ('runs', ('nightly', 'Failed', 'no such folder',
                          self.at('all_backup_jobs', 'runs', answers.PROJECT, 'job1'))),
                ('backups', ('/etc', '1.0 MiB', 'Available', times.shown(1795686001))),
                ('agents', ('central', 'All projects', 'db1', 'This project'))):
            text = self.tab(tab)
            for word in words + ('Backups of Project demo',):
                self.assertIn(word, text, tab)
            # To read only: the pages of these are the project's own.
            for view in (('backups', 'detail', 'backup1'), ('backups', 'restore', 'backup1'),
                         ('backups', 'delete', 'backup1'), ('runs', 'detail', 'run1'),
                         ('jobs', 'detail', 'job1'), ('jobs', 'create')):
                self.assertNotIn(self.url(*view), text, tab)
            self.assertNotIn('name="action"', text, tab)

    def test_it_is_the_project_that_is_asked_about(self):
        for tab, name in TABS:
            self.api[name].reset_mock()
            self.tab(tab)
            for call in self.api[name].call_args_list:
                self.assertEqual(call[1]['project_id'], answers.PROJECT, tab)
            self.assertTrue(self.api[name].called, tab)
        for found in (names.servers, names.volumes):
            self.assertEqual(found.call_args[0][1], answers.PROJECT)

    def test_a_tab_that_is_not_looked_at_asks_for_nothing(self):
        self.tab('agents')
        for name in ('backup_list', 'job_list', 'run_list'):
            self.assertFalse(self.api[name].called, name)

    def test_what_the_service_refuses_is_said_in_its_words(self):
        for tab, name in TABS:
            with mock.patch.object(api, name, side_effect=AWAY):
                text = self.tab(tab)
            self.assertIn('the service says why', text, tab)
        # Nothing is said of what nobody knows.
        with mock.patch.object(api, 'backup_list', side_effect=AWAY):
            text = self.tab('coverage')
        self.assertNotIn('protected', text)
        self.assertNotIn('has no servers', text)

    def test_coverage_says_what_it_does_not_know(self):
        with mock.patch.object(names, 'servers', return_value=([], False)):
            text = self.tab('coverage')
        self.assertIn('These could not be listed: servers', ' '.join(text.split()))
        with override_settings(API_RESULT_LIMIT=1):
            self.assertIn('Only the first 1 of these backups', self.tab('coverage'))

    def test_a_project_that_is_not_there_leads_back(self):
        self.name.return_value = None
        response = self.client.get(self.at('backup_projects', 'detail', 'x'))
        self.assertRedirects(response, self.at('backup_projects'), fetch_redirect_response=False)
        self.assertIn('There is no such project', self.said(response))

    def test_members_do_not_get_there(self):
        self.becomes_a_member()
        for where in (self.at('backup_projects'),
                      self.at('backup_projects', 'detail', answers.PROJECT)):
            response = self.client.get(where)
            self.assertEqual(response.status_code, 403, where)
            self.assertNotIn('demo', response.content.decode())
        for name in self.api:
            self.assertFalse(self.api[name].called, name)
        # Nor do they see that it is there.
        self.assertNotIn(self.at('backup_projects'), self.shown('overview'))


class Names(SimpleTestCase):
    def setUp(self):
        self.request = types.SimpleNamespace(user=None)

    def listed(self, listing, call, attribute, found):
        with mock.patch.object(names, '_is_there', return_value=True), \
                mock.patch('openstack_dashboard.api.' + call, return_value=found) as called:
            rows = listing(self.request, 'p2')
        self.assertEqual(called.call_args[1]['search_opts'],
                         {'all_tenants': True, 'project_id': 'p2'})
        return rows

    def test_resources_of_another_project_are_that_projects(self):
        """Whoever is no administrator for Cinder is given his own, without a word."""
        for listing, call, key in (
                (names.servers, 'nova.server_list', 'tenant_id'),
                (names.volumes, 'cinder.volume_list', names.TENANT_OF_A_VOLUME)):
            theirs = types.SimpleNamespace(id='1', name='theirs', **{key: 'p2'})
            ours = types.SimpleNamespace(id='2', name='ours', **{key: 'p1'})
            untold = types.SimpleNamespace(id='3', name='untold')
            found = [theirs, ours, untold]
            rows = self.listed(listing, call, key, (found, False) if 'nova' in call else found)
            self.assertEqual(rows, ([('1', 'theirs')], True), call)

    def test_keystone_tells_of_projects(self):
        tenants = [types.SimpleNamespace(id='2', name='b'), types.SimpleNamespace(id='1', name='A')]
        keystone = 'openstack_dashboard.api.keystone.'
        with mock.patch(keystone + 'tenant_list', return_value=(tenants, False)):
            self.assertEqual(projects.listed(self.request), [('1', 'A'), ('2', 'b')])
        with mock.patch(keystone + 'tenant_list', side_effect=RuntimeError('away')):
            self.assertIsNone(projects.listed(self.request))
            self.assertEqual(projects.names(self.request), {})
        for error, wanted in ((keystone_exceptions.NotFound(), None), (RuntimeError('away'), '1')):
            with mock.patch(keystone + 'tenant_get', side_effect=error):
                self.assertEqual(projects.name(self.request, '1'), wanted)

    def test_pages_go_on_where_the_last_one_ended(self):
        found = [(str(number), 'n') for number in range(5)]
        for asked, wanted in (
                ({}, ('01', False, True)), ({'after': '1'}, ('23', True, True)),
                ({'after': '3'}, ('4', True, False)), ({'before': '2'}, ('01', False, True)),
                ({'before': '1'}, ('01', False, True)), ({'after': 'gone'}, ('01', False, True))):
            shown, has_before, has_behind = projects.page(found, 2, **asked)
            self.assertEqual((''.join(one[0] for one in shown), has_before, has_behind), wanted)
