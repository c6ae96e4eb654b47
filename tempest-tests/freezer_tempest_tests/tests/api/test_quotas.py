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

"""Quotas: how much of the service a project may use."""

from tempest.lib import decorators

from freezer_tempest_tests.tests import base


class QuotasTest(base.BackupTest):
    credentials = ['project_member', 'project_admin']

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        cls.admin = cls.os_project_admin.freezer.BackupClient()

    def setUp(self):
        super().setUp()
        self.path = self.admin.path('quotas')
        self.addCleanup(self.admin.call, 'DELETE', self.path)

    @decorators.idempotent_id('a7c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_a_limit_holds_until_it_is_taken_back(self):
        used = self.client.call('GET', self.client.path('usage'))[2]['usage']['jobs']['used']
        status, _headers, answer = self.admin.call('PUT', self.path, {'jobs': used + 1})
        self.assertEqual((200, used + 1), (status, answer['quota']['jobs']))
        made = self.make('jobs')
        usage = self.client.call('GET', self.client.path('usage'))[2]['usage']['jobs']
        self.assertEqual({'used': used + 1, 'limit': used + 1}, usage)
        another = self.job_of()
        self.check_refused(
            403,
            self.client.call('POST', self.client.path('jobs'), another),
            'Quota exceeded for jobs',
        )
        self.client.remove('jobs', made)
        self.make('jobs', another)
        self.assertEqual(204, self.admin.call('DELETE', self.path)[0])
        self.make('jobs')

    @decorators.idempotent_id('a7c4b6c7-6f06-4c63-8b5c-3a0a1d0e0002')
    def test_refused_limits(self):
        for body in ({'jobs': -2}, {'jobs': 'many'}, {'surprise': 1}, {'weight': 0}, [], ''):
            self.check_refused(400, self.admin.call('PUT', self.path, body))
