"""What the service refuses is said in its words at every form, which keeps what was filled in."""

from unittest import mock

from freezer_dashboard import api
from freezer_dashboard import restores
from tests.unit import answers
from tests.unit.panel import AdministratorTest
from tests.unit.panel import AWAY
from tests.unit.panel import PanelTest
from tests.unit.test_keeping import able

PLAN = {'repeat': '1 days'}
# Panel, view, ids, what is filled in, and the call that is refused.
FORMS = (
    ('jobs', 'edit', ('job1',), dict(PLAN, name='kept words', agent='central'), 'job_update'),
    ('jobs', 'clone', ('job1',), {'name': 'kept words'}, 'job_create'),
    ('sessions', 'create', (), dict(PLAN, name='kept words', hold_off='10'), 'session_create'),
    ('sessions', 'edit', ('session1',), dict(PLAN, name='kept words', hold_off='10'),
     'session_update'),
    ('sessions', 'attach', ('session1',), {'job': 'job1'}, 'session_add_job'),
    ('backups', 'check', ('backup1',), {'agent': 'central'}, 'job_create'),
    ('backups', 'pin', ('backup1',), {'agent': 'central', 'reason': 'kept words'}, 'job_create'),
    ('backups', 'unpin', ('backup1',), {'agent': 'central'}, 'job_create'),
    ('backups', 'delete', ('backup1',), {}, 'backup_delete'),
)


class Forms(PanelTest):
    def setUp(self):
        super().setUp()
        self.api['client_list'].return_value = able('hold', 'release')
        self.api['job_list'].return_value = [answers.job(), answers.pinning()]
        patcher = mock.patch.object(api, 'session_add_job')
        self.api['session_add_job'] = patcher.start()
        self.addCleanup(patcher.stop)

    def test_each_form_stays_open_with_the_reason(self):
        for panel, view, ids, data, refused in FORMS:
            for status in (400, 403, 404, 409, 413, 422, 503):
                with self.subTest(form=(panel, view), status=status):
                    kind = api.NotThere if status == 404 else api.ServiceError
                    said = 'the service says %d' % status
                    with mock.patch.object(api, refused, side_effect=kind(said, status)) as call:
                        response = self.client.post(self.url(panel, view, *ids), data)
                    self.assertTrue(call.called)
                    self.assertEqual(response.status_code, 200)
                    text = response.content.decode()
                    self.assertIn(said, text)
                    if 'kept words' in data.values():
                        self.assertIn('kept words', text)

    def test_a_form_that_cannot_be_made_leads_back_with_the_reason(self):
        for name in ('client_list', 'job_get', 'session_get', 'backup_get', 'job_list'):
            self.api[name].side_effect = AWAY
        for panel, view, ids, _data, _refused in FORMS:
            if (panel, view) == ('sessions', 'create'):
                continue
            response = self.client.get(self.url(panel, view, *ids))
            self.assertRedirects(response, self.url(panel), fetch_redirect_response=False)
            self.assertIn('the service says why', self.said(response), (panel, view))
        response = self.client.get(self.url('jobs', 'create'))
        self.assertRedirects(response, self.url('jobs'), fetch_redirect_response=False)
        self.assertIn('the service says why', self.said(response))

    def test_a_confirmation_without_its_agents_leads_back(self):
        self.api['client_list'].side_effect = AWAY
        sealed = restores.sealed('central', {'action': 'restore', 'mode': 'fs'})
        response = self.client.get(self.url('backups', 'confirm'), {'restore': sealed})
        self.assertRedirects(response, self.url('backups'), fetch_redirect_response=False)
        self.assertIn('the service says why', self.said(response))

    def test_a_row_that_is_gone_meanwhile_is_taken_away(self):
        for panel, table, name in (('jobs', 'jobs', 'job_get'), ('runs', 'runs', 'run_get')):
            for error, status in ((api.NotThere('gone', 404), 404), (AWAY, 422),
                                  (api.ServiceError('away'), 502)):
                self.api[name].side_effect = error
                response = self.client.get(
                    self.url(panel), {'action': 'row_update', 'table': table, 'obj_id': 'x'},
                    HTTP_X_REQUESTED_WITH='XMLHttpRequest')
                self.assertEqual(response.status_code, status, (panel, error))


class Administrators(AdministratorTest):
    def test_a_job_of_any_project_is_started_and_stopped_there(self):
        self.api['job_list'].return_value = [answers.job(job_schedule={'status': 'stop'})]
        where = self.at('all_backup_jobs')
        for event, status in (('start', 'stop'), ('stop', 'scheduled'), ('abort', 'running')):
            self.api['job_list'].return_value = [answers.job(job_schedule={'status': status})]
            self.client.post(where, {'action': 'all_jobs__%s__job1' % event})
            self.assertEqual(self.sent('job_event'), ('job1', event, answers.PROJECT))
            self.api['job_event'].reset_mock()
        self.api['job_event'].side_effect = AWAY
        response = self.client.post(where, {'action': 'all_jobs__abort__job1'})
        self.assertIn('the service says why', self.said(response))

    def test_its_runs_are_shown(self):
        where = self.at('all_backup_jobs', 'runs', answers.PROJECT, 'job1')
        self.assertIn(where, self.client.get(self.at('all_backup_jobs')).content.decode())
        self.api['run_list'].return_value = [answers.run(state='fail', error='no such folder')]
        text = self.client.get(where).content.decode()
        for word in ('no such folder', 'Failed', 'Job nightly of Project demo'):
            self.assertIn(word, text)
        self.assertEqual(self.api['run_list'].call_args[1],
                         {'most': 50, 'project_id': answers.PROJECT, 'job_id': 'job1'})
        self.api['run_list'].side_effect = AWAY
        response = self.client.get(where)
        self.assertRedirects(response, self.at('all_backup_jobs'), fetch_redirect_response=False)
        self.assertIn('the service says why', self.said(response))

    def test_refused_limits_are_said_in_the_form(self):
        where = self.at('backup_quotas', 'edit', answers.PROJECT)
        self.client.post(where, {'jobs': '5', 'weight': '2'})
        self.assertEqual(self.sent('quota_set'), (answers.PROJECT, {'jobs': 5, 'weight': 2}))
        self.api['quota_set'].side_effect = AWAY
        response = self.client.post(where, {'jobs': '5'})
        self.assertEqual(response.status_code, 200)
        self.assertIn('the service says why', response.content.decode())
        self.api['quota_show'].side_effect = AWAY
        self.assertRedirects(self.client.get(where), self.at('backup_quotas'),
                             fetch_redirect_response=False)

    def test_others_do_not_get_there(self):
        self.becomes_a_member()
        self.api['run_list'].return_value = [answers.run(state='fail', error='no such folder')]
        for where in (self.at('all_backup_jobs'),
                      self.at('all_backup_jobs', 'runs', answers.PROJECT, 'job1')):
            response = self.client.get(where, follow=True)
            self.assertNotIn('no such folder', response.content.decode())
        self.assertFalse(self.api['run_list'].called)
