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

"""Jobs run when they are due, stop when they are told to, and end when they are aborted."""

from tempest.lib import decorators

from freezer_tempest_tests.tests.scenario import agent


class ScheduleTest(agent.AgentTest):

    @decorators.idempotent_id('c2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_an_interval_until_stop(self):
        source = self.source('often')
        job = self.start(
            self.action('often', path_to_backup=source), schedule={'schedule_interval': '1 seconds'}
        )
        self.ended_run(job, number=3)
        self.assertGreater(self.client.show('jobs', job)['next_run_at'], 0)
        self.client.send_event(job, 'stop')
        self.wait_until(
            'the job is stopped',
            lambda: self.client.show('jobs', job)['job_schedule']['status']
            in ('stop', 'completed'),
        )
        runs = self.client.list_runs_of_job(job, limit=1000)
        self.assertEqual({'schedule'}, {run['cause'] for run in runs})
        search = {'match': [{'job_id': job}, {'state': 'success'}]}
        self.assertEqual(len(runs), len(self.client.list('runs', search=search, limit=1000)))
        self.client.send_event(job, 'start')
        self.ended_run(job, number=len(runs) + 1)

    @decorators.idempotent_id('c2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0002')
    def test_a_date_that_is_past_is_made_good_once(self):
        source = self.source('once')
        job = self.start(
            self.action('once', path_to_backup=source),
            schedule={'schedule_date': '2020-01-01T00:00:00'},
        )
        run = self.ended_run(job)
        self.assertEqual('success', run['state'])
        self.wait_until(
            'the job has completed',
            lambda: self.client.show('jobs', job)['job_schedule']['status'] == 'completed',
        )
        self.client.send_event(job, 'start')
        self.assertEqual('success', self.ended_run(job, number=2)['state'])

    @decorators.idempotent_id('c2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0003')
    def test_abort(self):
        sleeper = {'action': 'exec', 'command': 'sleep 300'}
        after = {'action': 'exec', 'command': 'true'}
        job = self.start(sleeper, after)
        self.wait_until(
            'it runs',
            lambda: [run for run in self.client.list_runs_of_job(job) if run['state'] == 'running'],
        )
        self.client.send_event(job, 'abort')
        run = self.ended_run(job)
        self.assertEqual('aborted', run['state'])
        self.assertEqual(['aborted'], [step['outcome'] for step in run['steps']])
        self.wait_until(
            'the job shows it',
            lambda: self.client.show('jobs', job)['job_schedule']['result'] == 'aborted',
        )

    @decorators.idempotent_id('c2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0004')
    def test_after_a_failure_only_mandatory_actions_run(self):
        actions = [('false', False), ('true', False), ('true', True)]
        job = self.make(
            'jobs',
            {
                'client_id': self.worker_id,
                'job_schedule': {},
                'job_actions': [
                    {
                        'freezer_action': {'action': 'exec', 'command': command},
                        'max_retries': 0,
                        'mandatory': mandatory,
                    }
                    for command, mandatory in actions
                ],
            },
        )
        run = self.ended_run(job)
        self.assertEqual('fail', run['state'])
        self.assertEqual(['fail', 'skipped', 'success'], [step['outcome'] for step in run['steps']])
        self.client.remove('jobs', job)
        # Runs outlive their job.
        self.assertEqual(
            [run['run_id']], [left['run_id'] for left in self.client.list_runs_of_job(job)]
        )
