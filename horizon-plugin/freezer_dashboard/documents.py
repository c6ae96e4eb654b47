"""The documents that are sent to the service: jobs that save, restore, check or are a copy.

Pure: nothing here talks to a service.
"""

import datetime
import uuid

from django.utils.text import slugify

from freezer_dashboard import kinds
from freezer_dashboard import schedules

NAME_MAX = 255


def backup_action(kind, resource, how):
    """The `freezer_action` that saves a resource of a kind."""
    action = {'action': 'backup', 'mode': kind.mode, 'storage': how['storage']}
    if kind.key:
        action[kind.key] = resource
    if how.get('container'):
        action['container'] = how['container']
    if kind is kinds.FILES:
        action['backup_name'] = chain_name(how['name'])
    if how.get('incremental'):
        action['incremental'] = True
        if how.get('max_level'):
            action['max_level'] = how['max_level']
    return action


def chain_name(name):
    """A name for the chain of a job that saves files.

    The service's own default is one for all folders of a machine, and would mix their chains.
    """
    return '%s_%s' % (slugify(name)[:NAME_MAX - 9] or 'files', uuid.uuid4().hex[:8])


def rotation_action(backup, keep_last):
    """The `freezer_action` that removes what is older than the newest `keep_last` backups."""
    kept = {key: value for key, value in backup.items()
            if key not in ('incremental', 'max_level', 'path_to_backup')}
    kept['action'] = 'admin'
    kept['fullbackup_rotation' if backup['mode'] == 'cindernative' else 'keep_last'] = keep_last
    return kept


def backup_job(name, client_id, backup, plan, keep_last=None, is_started=True):
    """A job that saves, and afterwards removes what is too old."""
    actions = [{'freezer_action': backup}]
    if keep_last:
        actions.append({'freezer_action': rotation_action(backup, keep_last)})
    schedule = dict(plan)
    if not is_started:
        schedule['event'] = 'stop'
    return {'description': name[:NAME_MAX], 'client_id': client_id, 'job_actions': actions,
            'job_schedule': schedule}


def copy_of(job, name):
    """A job like another one, stopped until somebody starts it."""
    actions = [{key: action[key] for key in
                ('freezer_action', 'max_retries', 'max_retries_interval', 'mandatory')
                if key in action} for action in job['job_actions']]
    schedule = dict(schedules.plan_of(job['job_schedule']), event='stop')
    return {'description': name[:NAME_MAX], 'client_id': job['client_id'],
            'job_actions': actions, 'job_schedule': schedule}


def restore_action(record, wishes):
    """The `freezer_action` that brings a record's point in time back, and no other one."""
    metadata = record['backup_metadata']
    mode = kinds.mode_of(metadata)
    action = {'action': 'restore', 'mode': mode,
              'restore_from_date': iso(metadata['time_stamp'])}
    for key in ('backup_name', 'container', 'hostname', 'storage', 'ssh_host', 'ssh_port',
                'ssh_username'):
        if metadata.get(key) not in (None, ''):
            action[key] = metadata[key]
    if mode == 'cindernative':
        action['cindernative_vol_id'] = metadata.get('cindernative_vol_id')
        action['cindernative_backup_id'] = metadata.get('cinder_backup_id')
        del action['restore_from_date']
    action.update({key: value for key, value in wishes.items() if value not in (None, '')})
    return action


def once(name, client_id, action, max_retries=0):
    """A job that runs once, at once."""
    return {'description': name[:NAME_MAX], 'client_id': client_id, 'job_schedule': {},
            'job_actions': [{'freezer_action': action, 'max_retries': max_retries}]}


def iso(epoch):
    when = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    return when.strftime('%Y-%m-%dT%H:%M:%SZ')
