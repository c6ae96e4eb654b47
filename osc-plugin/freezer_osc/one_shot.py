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

"""A job for one run: what restore, verify, plans and rotation are to the service.

The service fires a job without a plan once. When the command has waited for the end, the job and
its actions are removed again; the run stays, as runs outlive their jobs.
"""

from osc_lib import exceptions
from osc_lib.i18n import _

from freezer_osc import find
from freezer_osc import follow

# How the service's own agents get their work. Others are schedulers that poll: they make no runs.
DRIVEN = ('amqp', 'http')
NAME_MAX = 255


def agent_for(service, metadata, wanted=None):
    """The agent that shall work: the wanted one, else the one that made the backup."""
    if wanted:
        return find.agent(service, wanted)
    job_id = metadata.get('job_id')
    job = service.find('jobs', job_id) if job_id else None
    if job is None and job_id:
        job = find.newest_run(service, job_id)
    if job is None:
        raise exceptions.CommandError(
            _(
                'The job that made this backup is gone, so the agent is not known; give --agent '
                '(see "openstack backup agent list")'
            )
        )
    return find.agent(service, job['client_id'])


def ensure_driven(agent, why):
    """Refuses an agent of which the command would not hear again, or which would not obey."""
    if agent.get('link') not in DRIVEN:
        raise exceptions.CommandError(
            _(
                'Agent %(agent)s fetches its work itself, as schedulers of Freezer in Python do: '
                '%(why)s'
            )
            % {'agent': agent['client_id'], 'why': why}
        )


def start(service, agent, action, name):
    """Makes the job; returns its id."""
    job = {
        'client_id': agent['client_id'],
        'description': name[:NAME_MAX],
        'job_schedule': {},
        'job_actions': [{'freezer_action': action, 'max_retries': 0}],
    }
    return service.post('jobs', body=job)['job_id']


def run(service, agent, action, name):
    """Makes the job, waits for its run to end, removes the job; returns the run."""
    job_id = start(service, agent, action, name)
    follower = follow.Follower(service)
    ended = follower.to_end(follower.first_run(job_id)['run_id'])
    remove(service, job_id)
    return ended


def remove(service, job_id):
    """Removes a job with the actions that came with it."""
    job = service.find('jobs', job_id)
    if job is None:
        return
    service.delete('jobs', job_id)
    for action in job['job_actions']:
        service.delete('actions', action['action_id'])


def last_result(run):
    """What the run's last step gave."""
    results = [step['result'] for step in run['steps'] if step.get('result')]
    return results[-1] if results else {}
