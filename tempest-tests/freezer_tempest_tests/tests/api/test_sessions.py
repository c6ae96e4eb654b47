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

"""Sessions: jobs that start together in numbered rounds."""

from tempest.lib import decorators

from freezer_tempest_tests.tests import base


class SessionsTest(base.BackupTest):

    @decorators.idempotent_id('a4c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_create_show_change(self):
        made = self.make('sessions', dict(base.document_of('sessions'), jobs=[], surprise=1))
        session = self.client.show('sessions', made)
        self.assertEqual(
            ({}, 0, 30, 'active', -1),
            tuple(
                session[key] for key in ('jobs', 'session_tag', 'hold_off', 'status', 'time_start')
            ),
        )
        self.client.update('sessions', made, {'description': 'new', 'hold_off': 5})
        self.assertEqual(
            dict(session, description='new', hold_off=5), self.client.show('sessions', made)
        )
        whole = {'schedule': {'schedule_interval': '3 days'}, 'session_tag': 4}
        self.assertEqual(made, self.client.replace('sessions', made, whole)['session_id'])
        session = self.client.show('sessions', made)
        self.assertEqual(
            (4, '3 days'), (session['session_tag'], session['schedule']['schedule_interval'])
        )

    @decorators.idempotent_id('a4c4b6c7-6f06-4c63-8b5c-3a0a1d0e0002')
    def test_members(self):
        session, job = self.make('sessions'), self.make('jobs')
        for _ in range(2):
            self.client.add_job(session, job)
        member = self.client.show('sessions', session)['jobs'][job]
        self.assertEqual(('', -1), (member['status'], member['time_started']))
        joined = self.client.show('jobs', job)
        self.assertEqual((session, 0), (joined['session_id'], joined['session_tag']))
        for _ in range(2):
            self.client.remove_job(session, job)
        self.assertEqual({}, self.client.show('sessions', session)['jobs'])
        left = self.client.show('jobs', job)
        self.assertEqual(('', 'stop'), (left['session_id'], left['job_schedule']['event']))
        # Its plan is still there.
        self.assertEqual('1 days', left['job_schedule']['schedule_interval'])

    @decorators.idempotent_id('a4c4b6c7-6f06-4c63-8b5c-3a0a1d0e0003')
    def test_a_round(self):
        session = self.make('sessions')
        jobs = [self.make('jobs') for _ in range(2)]
        for job in jobs:
            self.client.add_job(session, job)

        def said(action, job, **values):
            answer = self.client.act(session, action, job_id=job, **values)
            return answer['result'], answer['session_tag']

        self.assertEqual(('success', 1), said('start', jobs[0], current_tag=0))
        self.assertEqual(('hold-off', 1), said('start', jobs[0], current_tag=1))
        # The command line sends the tag as text.
        self.assertEqual(('success', 1), said('start', jobs[1], current_tag='0'))
        self.assertEqual('running', self.client.show('sessions', session)['status'])
        self.assertEqual(('success', 1), said('end', jobs[0], result='fail'))
        self.assertEqual('running', self.client.show('sessions', session)['status'])
        self.assertEqual(('success', 1), said('end', jobs[1], result='success'))
        ended = self.client.show('sessions', session)
        self.assertEqual(('completed', 'fail'), (ended['status'], ended['result']))

    @decorators.idempotent_id('a4c4b6c7-6f06-4c63-8b5c-3a0a1d0e0004')
    def test_refused_actions(self):
        session = self.make('sessions')
        path = self.client.path('sessions', session, 'action')
        for body, text in (
            ({}, ''),
            ({'dance': {}}, ''),
            ({'start': {}}, 'job_id'),
            ({'start': {'job_id': 'j', 'current_tag': 'x'}}, 'current_tag'),
            ({'start': {'job_id': 'j', 'current_tag': 0}}, 'job_id not found in session'),
            ({'start': {'job_id': 'j', 'current_tag': 5}}, 'too high'),
            ({'end': {'job_id': 'j'}}, 'result'),
        ):
            self.check_refused(400, self.client.call('POST', path, body), text)
        missing = self.client.path('sessions', 'nothing', 'action')
        start = {'start': {'job_id': 'j', 'current_tag': 0}}
        self.check_refused(404, self.client.call('POST', missing, start))

    @decorators.idempotent_id('a4c4b6c7-6f06-4c63-8b5c-3a0a1d0e0005')
    def test_refused_documents(self):
        path = self.client.path('sessions')
        for body, text in (
            ({'description': 'x'}, 'schedule'),
            ({'schedule': {'surprise': 1}}, 'surprise'),
            ({'schedule': {'schedule_interval': 'often'}}, 'schedule_interval'),
            ({'schedule': {}, 'hold_off': -1}, 'hold_off'),
            ({'schedule': {}, 'hold_off': 'x'}, 'hold_off'),
        ):
            self.check_refused(400, self.client.call('POST', path, body), text)

    @decorators.idempotent_id('a4c4b6c7-6f06-4c63-8b5c-3a0a1d0e0006')
    def test_a_deleted_session_lets_its_jobs_go(self):
        session, job = self.make('sessions'), self.make('jobs')
        self.client.add_job(session, job)
        self.client.remove('sessions', session)
        left = self.client.show('jobs', job)
        self.assertEqual(
            ('', '1 days'), (left['session_id'], left['job_schedule']['schedule_interval'])
        )
