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

"""Scenarios: jobs that run, and what came of it."""

import time

from tempest import config
from tempest.lib import exceptions

from freezer_tempest_tests.tests import base

CONF = config.CONF
ENDED = ('success', 'partial', 'fail', 'aborted')


class ScenarioTest(base.BackupTest):
    """Makes jobs for one client, and waits for their runs."""

    # Id of the client that works.
    worker_id = None

    @staticmethod
    def wait_until(what, look):
        """Looks until there is something, and returns it."""
        end = time.monotonic() + CONF.freezer.build_timeout
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > end:
                raise exceptions.TimeoutException('waited in vain until ' + what)
            time.sleep(0.2)

    def start(self, *actions, schedule=None):
        """A job that begins at once; returns its id."""
        return self.make(
            'jobs',
            {
                'client_id': self.worker_id,
                'job_schedule': schedule or {},
                'job_actions': [{'freezer_action': action, 'max_retries': 0} for action in actions],
            },
        )

    def ended_run(self, job_id, number=1):
        """The newest run of a job, when so many have ended."""

        def look():
            runs = self.client.list_runs_of_job(job_id)
            ended = len(runs) >= number and runs[0]['state'] in ENDED
            return ended and self.client.show('runs', runs[0]['run_id'])

        return self.wait_until('run %d of job %s has ended' % (number, job_id), look)

    def done(self, *actions):
        """A job with these actions that ran, and was a success; returns its run."""
        run = self.ended_run(self.start(*actions))
        self.assertEqual('success', run['state'], run['error'])
        return run
