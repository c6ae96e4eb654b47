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

"""What properties mean: backups by id or name, volumes by metadata, the agent that shall work."""

import datetime

from heat.common import exception
from heat.common.i18n import _

from freezer_heat import runs
from freezer_heat import service as rest

# How the service's own agents get their work. Others are schedulers that poll: they make no runs.
DRIVEN = ('amqp', 'http')


def backup(service, text, not_after=None):
    """The record with this id, else the newest good one with this name."""
    found = service.find('backups', text)
    if found is not None:
        return found
    search = {'match': [{'backup_name': text}, {'status': 'available'}]}
    if not_after is not None:
        search['time_before'] = _seconds(not_after)
    named = [
        record
        for record in service.list('backups', search=search)
        # A dry run leaves a record without data.
        if not record['backup_metadata'].get('dry_run')
    ]
    places = sorted({_place(record) for record in named})
    if len(places) > 1:
        raise rest.BackupServiceError(
            _('More than one place holds backups named "%(name)s": %(places)s; give an id')
            % {'name': text, 'places': '; '.join(places)}
        )
    if not named:
        raise exception.EntityNotFound(entity=_('Backup'), name=text)
    return max(named, key=lambda record: record['backup_metadata'].get('time_stamp') or 0)


def _place(record):
    metadata = record['backup_metadata']
    return _('host %(hostname)s, container %(container)s (%(storage)s)') % {
        key: metadata.get(key) or '-' for key in ('hostname', 'container', 'storage')
    }


def _seconds(text):
    """Seconds since 1970 of a time that is UTC unless it names a zone."""
    time = datetime.datetime.fromisoformat(text.replace('Z', '+00:00'))
    if time.tzinfo is None:
        time = time.replace(tzinfo=datetime.timezone.utc)
    return int(time.timestamp())


def volumes(cinder, pair):
    """Ids of the project's volumes with this pair of metadata, in an order that stays."""
    key, value = pair[0], str(pair[1])
    # Cinder's database may take one case of letters for the other.
    return sorted(
        volume.id
        for volume in cinder.volumes.list(search_opts={'metadata': {key: value}})
        if volume.metadata.get(key) == value and volume.status != 'deleting'
    )


def agent_of(service, record):
    """The agent that made a backup, by its job or one of the job's runs, which outlive it."""
    job_id = record['backup_metadata'].get('job_id')
    job = service.find('jobs', job_id) if job_id else None
    if job is None and job_id and service.find('jobs', job_id, 'runs'):
        job = runs.newest(service, job_id)
    if job is None:
        raise rest.BackupServiceError(
            _('The job that made this backup is gone, so the agent is not known; give "client"')
        )
    return job['client_id']


def ensure_driven(service, client_id):
    """Refuses an agent of which the stack would not hear again."""
    agent = service.get('clients', client_id)['client']
    if agent.get('link') not in DRIVEN:
        raise rest.BackupServiceError(
            _('Agent %s fetches its work itself and reports no runs; give another "client"')
            % client_id
        )


def central_agent(service, modes, storage):
    """An agent that works for all projects, the one heard of last among those that can do it."""
    agents = [entry['client'] for entry in service.list('clients')]
    able = [
        agent
        for agent in agents
        if agent['is_central']
        and agent.get('link') in DRIVEN
        and set(modes) <= set(agent.get('supported_modes') or modes)
        and storage in (agent.get('supported_storages') or [storage])
    ]
    if not able:
        raise rest.BackupServiceError(
            _(
                'No central backup agent can do mode %(modes)s with storage %(storage)s; '
                'give "client"'
            )
            % {'modes': ', '.join(sorted(modes)), 'storage': storage}
        )
    return max(able, key=lambda agent: agent.get('last_seen_at') or 0)['client_id']
