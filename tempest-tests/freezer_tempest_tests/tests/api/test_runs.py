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

"""Runs where there are none; those that are, are in the scenarios."""

from tempest.lib import decorators

from freezer_tempest_tests.tests import base


class RunsTest(base.BackupTest):

    @decorators.idempotent_id('a8c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_none(self):
        job = self.make('jobs')
        self.assertEqual([], self.client.list_runs_of_job(job))
        self.assertEqual([], self.client.list('runs', search={'match': [{'job_id': job}]}))
        self.assertEqual([], self.client.list('runs', search={'match': [{'state': 'asleep'}]}))
        self.assertEqual((404, ''), self.client.call('GET', self.client.path('runs', 'none'))[::2])
        missing = self.client.path('jobs', 'none', 'runs')
        self.assertEqual((404, ''), self.client.call('GET', missing)[::2])
        self.assertEqual(405, self.client.call('POST', self.client.path('runs'), {})[0])
