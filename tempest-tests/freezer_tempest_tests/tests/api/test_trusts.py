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

"""Trusts: a central client acts for a project because a member of it has made a job."""

from tempest.lib import decorators

from freezer_tempest_tests.tests import base


class TrustsTest(base.BackupTest):
    credentials = ['project_member', 'project_reader', 'project_admin']

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        cls.admin = cls.os_project_admin.freezer.BackupClient()
        cls.reader = cls.os_project_reader.freezer.BackupClient()

    def setUp(self):
        super().setUp()
        document = dict(base.document_of('clients'), is_central=True)
        self.central = self.make('clients', document, self.admin)

    def trust_of(self, job, client=None):
        return (client or self.client).show('jobs', job).get('user_credentials')

    @decorators.idempotent_id('a9c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_jobs_of_one_user_share_a_trust(self):
        jobs = [self.make('jobs', {'client_id': self.central}) for _ in range(2)]
        first, second = (self.trust_of(job) for job in jobs)
        self.assertEqual(first, second)
        self.assertEqual(self.client.user_id, first['trustor_user_id'])
        # It is of no use to anybody who may only look.
        self.assertIsNone(self.trust_of(jobs[0], self.reader))
        self.client.remove('jobs', jobs[0])
        self.assertEqual(second, self.trust_of(jobs[1]))
        self.client.remove('jobs', jobs[1])
        after = self.make('jobs', {'client_id': self.central})
        self.assertNotEqual(first['trust_id'], self.trust_of(after)['trust_id'])

    @decorators.idempotent_id('a9c4b6c7-6f06-4c63-8b5c-3a0a1d0e0002')
    def test_a_trust_comes_and_goes_with_the_client(self):
        ordinary = self.make('clients')
        job = self.make('jobs', {'client_id': ordinary})
        self.assertIsNone(self.trust_of(job))
        self.client.update('jobs', job, {'client_id': self.central})
        self.assertIn('trust_id', self.trust_of(job))
        self.client.update('jobs', job, {'client_id': ordinary})
        self.assertIsNone(self.trust_of(job))
