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

"""What the service is, and what it answers to whom it does not know."""

from tempest.lib import decorators

from freezer_tempest_tests.tests import base


class VersionsTest(base.BackupTest):

    @decorators.idempotent_id('a0c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_versions_are_for_everybody(self):
        status, _headers, document = self.client.call('GET', '/', is_anonymous=True)
        self.assertEqual(300, status)
        (version,) = document['versions']
        self.assertEqual(('v2', 'CURRENT'), (version['id'], version['status']))
        self.assertIn('/v2/', version['links'][0]['href'])

    @decorators.idempotent_id('a0c4b6c7-6f06-4c63-8b5c-3a0a1d0e0002')
    def test_home_document(self):
        status, headers, document = self.client.call('GET', '/v2', headers={'Accept': '*/*'})
        self.assertEqual((200, 'application/json-home'), (status, headers['content-type']))
        backups = document['resources']['rel/backups']
        self.assertEqual('/v2/{project_id}/backups/{backup_id}', backups['href-template'])

    @decorators.idempotent_id('a0c4b6c7-6f06-4c63-8b5c-3a0a1d0e0003')
    def test_without_a_token(self):
        for path in ('/v2', self.client.path('jobs'), '/v2/x/nowhere'):
            status, headers, document = self.client.call('GET', path, is_anonymous=True)
            self.assertEqual(401, status, path)
            self.assertIn('Keystone uri=', headers['www-authenticate'])
            self.assertEqual(401, document['error']['code'])

    @decorators.idempotent_id('a0c4b6c7-6f06-4c63-8b5c-3a0a1d0e0004')
    def test_unknown_paths_and_methods(self):
        self.assertEqual(404, self.client.call('GET', self.client.path('nowhere'))[0])
        self.assertEqual(404, self.client.call('GET', '/v1/jobs')[0])
        status, headers, _document = self.client.call('PUT', self.client.path('jobs'), {})
        self.assertEqual(405, status)
        self.assertEqual('GET, POST, OPTIONS', headers['allow'])
        headers = {'Accept': 'text/html'}
        self.assertEqual(406, self.client.call('GET', self.client.path('jobs'), None, headers)[0])

    @decorators.idempotent_id('a0c4b6c7-6f06-4c63-8b5c-3a0a1d0e0005')
    def test_health(self):
        status, _headers, text = self.client.call(
            'GET', '/healthcheck', headers={'Accept': 'text/plain'}, is_anonymous=True
        )
        self.assertEqual((200, 'OK'), (status, text.strip()))
