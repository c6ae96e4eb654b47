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

"""Runs of jobs: waiting for their end, and what they say when they fail."""

from heat.common.i18n import _

ACTIVE = ('queued', 'dispatched', 'running')


def newest(service, job_id):
    """The newest run of a job; None as long as it never fired."""
    return next(service.list('jobs', job_id, 'runs', limit=1), None)


def is_active(run):
    return run is not None and run['state'] in ACTIVE


def failure(run):
    """Why a run that has ended is no success; None if it is one."""
    if run['state'] == 'success':
        return None
    return _('run %(run)s ended as %(state)s: %(cause)s') % {
        'run': run['run_id'],
        'state': run['state'],
        'cause': run.get('error') or _('the service gives no cause'),
    }


def last_result(run):
    """What the run's last step gave."""
    results = [step['result'] for step in run['steps'] if step.get('result')]
    return results[-1] if results else {}


class Removal:
    """Deletes a job, but not under a run: that is aborted first, and its end awaited.

    What a run holds meanwhile (snapshots of volumes) would keep other resources of the stack from
    being deleted. Heat asks again and again until `step` says that it is done.
    """

    def __init__(self, service, job_id):
        self._service, self._job_id = service, job_id
        self._is_asked = False
        self._run = None

    def step(self):
        """Whether the job is gone."""
        if self._service.find('jobs', self._job_id) is None:
            return True
        self._run = newest(self._service, self._job_id)
        if is_active(self._run):
            if not self._is_asked:
                self._service.post('jobs', self._job_id, 'event', body={'abort': None})
                self._is_asked = True
            return False
        self._service.delete('jobs', self._job_id)
        return True

    def ended_run(self):
        """The run that had ended when the job was removed, if there was one."""
        return self._run
