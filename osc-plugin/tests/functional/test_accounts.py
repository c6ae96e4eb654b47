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

"""Quotas and usage: a project's own, and as an administrator sets them."""

from tests.functional import base


class QuotaTest(base.FunctionalTest):

    def test_limits_are_set_hold_and_go(self):
        project = self.world.project_name('own')
        own = self.json('quota', 'show')
        self.assertEqual('', own['set'])
        shown = self.json('quota', 'set', '--project', project, '--jobs', '0', user='admin')
        self.addCleanup(self.do, 'quota', 'unset', '--project', project, user='admin')
        self.assertEqual((0, 'jobs'), (shown['jobs'], shown['set']))
        # What is not named stays.
        shown = self.json('quota', 'set', '--project', project, '--runs', '3', user='admin')
        self.assertEqual((0, 3), (shown['jobs'], shown['runs']))
        usage = {row['Resource']: row for row in self.json('usage', 'show')}
        self.assertEqual((0, 3), (usage['jobs']['Limit'], usage['runs']['Limit']))
        answer = self.world.api('member').post(
            '/jobs', json=self.world.document('limited'), raise_exc=False
        )
        self.assertEqual(403, answer.status_code, answer.text)
        self.do('quota', 'unset', '--project', shown['project_id'], user='admin')
        self.assertEqual(own, self.json('quota', 'show'))

    def test_only_administrators_set_them(self):
        self.refused('quota', 'set', '--jobs', '9', text='(HTTP 403)')
        self.refused('quota', 'unset', text='(HTTP 403)')

    def test_another_project_sees_nothing(self):
        project = self.json('quota', 'show')['project_id']
        for command in (('quota', 'show'), ('usage', 'show')):
            self.refused(*command, '--project', project, user='stranger', text='(HTTP 403)')

    def test_bad_input(self):
        self.refused('quota', 'set', text='Give --jobs, --runs, --stored-bytes or --weight')
        self.refused('quota', 'set', '--jobs', 'many', text='--jobs', status=2)
        self.refused(
            'quota', 'set', '--jobs', '-7', '--project', self.world.project_name('other'),
            user='admin', text='(HTTP 400)',
        )
