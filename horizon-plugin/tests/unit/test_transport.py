"""How the service is called, against a server that answers what a test wants."""

import http.server
import json
import threading
import types

from django.test import override_settings
from django.test import RequestFactory
from django.test import SimpleTestCase
from horizon import exceptions

from freezer_dashboard import api


class Answering(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self):
        length = int(self.headers.get('Content-Length') or 0)
        body = self.rfile.read(length)
        self.server.seen.append({
            'method': self.command, 'path': self.path, 'headers': dict(self.headers),
            'body': json.loads(body) if body else None})
        status, document = self.server.answers.pop(0)
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer


class Transport(SimpleTestCase):
    def setUp(self):
        self.server = http.server.HTTPServer(('127.0.0.1', 0), Answering)
        self.server.seen, self.server.answers = [], []
        thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.request = RequestFactory().get('/')
        self.use('http://127.0.0.1:%d' % self.server.server_port)

    def use(self, url):
        self.request.user = types.SimpleNamespace(
            project_id='p1', token=types.SimpleNamespace(id='of-the-user'),
            services_region='RegionOne', service_catalog=[{'type': 'backup', 'endpoints': [
                {'interface': 'public', 'region': 'RegionOne', 'url': url}]}])

    def answers(self, *answers):
        self.server.answers.extend(answers)

    def test_the_users_token_and_project_are_used(self):
        self.answers((200, {'job_id': 'j'}))
        self.assertEqual(api.job_get(self.request, 'j'), {'job_id': 'j'})
        seen = self.server.seen[0]
        self.assertEqual(seen['path'], '/v2/p1/jobs/j')
        self.assertEqual(seen['headers']['X-Auth-Token'], 'of-the-user')

    def test_an_endpoint_may_have_a_prefix_and_a_version(self):
        self.use('http://127.0.0.1:%d/backup/v2/' % self.server.server_port)
        self.answers((200, {}))
        api.job_get(self.request, 'j')
        self.assertEqual(self.server.seen[0]['path'], '/backup/v2/p1/jobs/j')

    def test_an_id_cannot_lead_elsewhere(self):
        self.answers((404, b''))
        with self.assertRaises(api.NotThere):
            api.job_get(self.request, '../../p2/jobs/j?x#y')
        self.assertEqual(self.server.seen[0]['path'],
                         '/v2/p1/jobs/..%2F..%2Fp2%2Fjobs%2Fj%3Fx%23y')

    @override_settings(API_RESULT_LIMIT=501)
    def test_lists_are_read_page_by_page_up_to_horizons_limit(self):
        self.answers((200, {'backups': [{}] * 500}), (200, {'backups': [{}]}))
        self.assertEqual(len(api.backup_list(self.request, since=5)), 501)
        self.assertEqual([seen['path'] for seen in self.server.seen],
                         ['/v2/p1/backups?limit=500&offset=0',
                          '/v2/p1/backups?limit=1&offset=500'])
        self.assertEqual(self.server.seen[0]['body'], {'time_after': 5})

    def test_a_refusal_is_in_the_services_words(self):
        self.answers((422, {'title': 'Unprocessable Entity', 'description': 'no such agent'}))
        with self.assertRaises(api.ServiceError) as caught:
            api.job_create(self.request, {})
        self.assertEqual((str(caught.exception), caught.exception.status),
                         ('no such agent', 422))
        self.answers((403, {'title': 'Access Forbidden'}))
        with self.assertRaisesMessage(api.ServiceError, 'Access Forbidden'):
            api.job_delete(self.request, 'j')

    def test_an_expired_login_goes_to_the_login_page(self):
        self.answers((401, {'error': {}}))
        with self.assertRaises(exceptions.NotAuthorized):
            api.job_list(self.request)

    def test_what_is_not_the_service_is_said(self):
        self.answers((200, b'<html>'))
        with self.assertRaisesMessage(api.ServiceError, 'not the backup service'):
            api.job_list(self.request)
        for other in ({'versions': []}, [], {'jobs': 'none'}):
            self.answers((200, other))
            with self.assertRaisesMessage(api.ServiceError, 'not the backup service'):
                api.job_list(self.request)
        self.answers((502, b'<html>'))
        with self.assertRaisesMessage(api.ServiceError, 'status 502'):
            api.job_list(self.request)

    def test_a_service_that_is_away_is_said(self):
        self.use('http://127.0.0.1:9')
        with self.assertRaisesMessage(api.ServiceError, 'cannot be reached'):
            api.job_list(self.request)

    def test_only_an_administrators_calls_name_other_projects(self):
        self.answers((200, {'usage': {}}), (200, {'jobs': []}), (200, {'runs': []}), (202, {}),
                     (200, {'backups': []}), (200, {'clients': []}), (200, {'jobs': []}))
        api.usage_show(self.request, 'p2')
        api.job_list(self.request, all_projects=True)
        api.run_list(self.request, job_id='j', project_id='p2')
        api.job_event(self.request, 'j', 'start', 'p2')
        api.backup_list(self.request, since=5, project_id='p2')
        api.client_list(self.request, project_id='p2')
        api.job_list(self.request, project_id='p2')
        paths = [seen['path'] for seen in self.server.seen]
        self.assertEqual(paths[0], '/v2/p2/usage')
        self.assertIn('all_projects=true', paths[1])
        self.assertTrue(paths[2].startswith('/v2/p2/jobs/j/runs?'), paths)
        self.assertEqual(paths[3], '/v2/p2/jobs/j/event')
        self.assertEqual([path.partition('?')[0] for path in paths[4:]],
                         ['/v2/p2/backups', '/v2/p2/clients', '/v2/p2/jobs'])

    def test_a_plan_of_retention_is_asked_for(self):
        self.answers((200, {'rules': [], 'backups': [], 'notes': []}))
        api.retention_plan(self.request, {'job_id': 'j', 'keep_last': 3})
        seen = self.server.seen[0]
        self.assertEqual((seen['method'], seen['path'], seen['body']),
                         ('POST', '/v2/p1/backups/retention-plan', {'job_id': 'j', 'keep_last': 3}))

    def test_records_are_looked_for_by_time_and_values(self):
        self.answers((200, {'backups': []}))
        api.backup_list(self.request, since=5, until=7, match={'container': 'c'})
        self.assertEqual(self.server.seen[0]['body'], {
            'time_after': 5, 'time_before': 7, 'match': [{'container': 'c'}]})
