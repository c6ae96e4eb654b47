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

"""From what a user types, a name or an id, to the one thing that is meant.

What is not in the caller's project is not there; what several things are called is refused, with
what tells them apart.
"""

from osc_lib import exceptions
from osc_lib.i18n import _

from freezer_osc import columns


def job(service, text):
    """A job by id, or by its description, which is what people call its name."""
    found = service.find('jobs', text)
    if found is not None:
        return found
    search = {'match': [{'description': text}]}
    named = [job for job in service.list('jobs', search=search) if job.get('description') == text]
    return _only(named, 'job', text, lambda job: job['job_id'])


def agent(service, text):
    """An agent by the id it is registered under, or by its host name."""
    found = service.find('clients', text)
    if found is not None:
        return found['client']
    search = {'match': [{'hostname': text}]}
    named = [row['client'] for row in service.list('clients', search=search)]
    named = [client for client in named if client.get('hostname') == text]
    return _only(named, 'agent', text, lambda client: client['client_id'])


def run(service, text):
    """A run by id, or the newest one of a job by the job's name or id."""
    found = service.find('runs', text)
    if found is not None:
        return found
    try:
        newest = newest_run(service, text) or newest_run(service, job(service, text)['job_id'])
    except Missing:
        raise Missing(_('No run, and no job, with a name or id of "%s" exists') % text)
    if newest is None:
        raise Missing(_('Job "%s" has not run yet') % text)
    return service.get('runs', newest['run_id'])


def newest_run(service, job_id):
    """The newest run of a job, also of one that was deleted."""
    if service.find('jobs', job_id, 'runs') is None:
        return None
    return next(service.list('jobs', job_id, 'runs', limit=1), None)


def backup(service, text, not_after=None, container=None):
    """A record by id, or the newest one of this name that is good to restore from."""
    found = service.find('backups', text)
    if found is not None:
        return found
    search = {'match': [{'backup_name': text}, {'status': 'available'}]}
    if container:
        search['match'].append({'container': container})
    if not_after is not None:
        search['time_before'] = not_after
    named = [row for row in service.list('backups', search=search) if is_data(row)]
    places = sorted({_place(row) for row in named})
    if len(places) > 1:
        raise exceptions.CommandError(
            _(
                'More than one place holds backups with the name "%(name)s": %(places)s. '
                'Give --container, or the id of one backup'
            )
            % {'name': text, 'places': '; '.join(places)}
        )
    if not named:
        raise Missing(
            _('No backup with a name or id of "%s" exists%s')
            % (
                text,
                (
                    ''
                    if not_after is None
                    else _(' that is not newer than %s') % columns.time_text(not_after)
                ),
            )
        )
    return max(named, key=lambda row: row['backup_metadata'].get('time_stamp') or 0)


def is_data(record):
    """Whether there are data behind a record: a dry run leaves none."""
    return not record['backup_metadata'].get('dry_run')


class Missing(exceptions.CommandError):
    """Nothing of that name or id."""


def _only(found, kind, text, key):
    if len(found) == 1:
        return found[0]
    if not found:
        raise Missing(
            _('No %(kind)s with a name or id of "%(text)s" exists') % {'kind': kind, 'text': text}
        )
    raise exceptions.CommandError(
        _('More than one %(kind)s has the name "%(text)s"; give one of the ids %(ids)s')
        % {'kind': kind, 'text': text, 'ids': ', '.join(sorted(map(key, found)))}
    )


def _place(record):
    metadata = record['backup_metadata']
    return _('host %(hostname)s, container %(container)s (%(storage)s)') % {
        key: metadata.get(key) or '-' for key in ('hostname', 'container', 'storage')
    }
