"""The documents that are sent to the service: jobs that save, restore, check or are a copy.

Pure: nothing here talks to a service.
"""

import datetime
import uuid

from django.utils.text import slugify

from freezer_dashboard import action_keys
from freezer_dashboard import kinds
from freezer_dashboard import schedules

NAME_MAX = 255
# How a storage by SSH is reached: its keys of an action. No password: an action can be read by the
# whole project.
SSH = ('ssh_host', 'ssh_port', 'ssh_username', 'ssh_key', 'ssh_known_hosts')
# What is about making a backup, not about which one it is.
OF_MAKING = ('incremental', 'max_level', 'path_to_backup', 'encrypt_pass_file')


def backup_action(kind, resource, how):
    """The `freezer_action` that saves a resource of a kind."""
    action = {'action': 'backup', 'mode': kind.mode, 'storage': how['storage']}
    if kind.key:
        action[kind.key] = resource
    wanted = ('container', 'encrypt_pass_file') + (SSH if how['storage'] == 'ssh' else ())
    action.update((key, how[key]) for key in wanted if how.get(key))
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
            if key not in OF_MAKING}
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


def access(job, metadata):
    """What the action of a job that made a backup says of how to get at it: files on the agent's
    machine and the like. No secret: what is wished travels in an address."""
    return action_keys.access(job, metadata, action_keys.REACH, action_keys.READING)


def restore_action(record, wishes):
    """The `freezer_action` that brings a record's point in time back, and no other one."""
    metadata = record['backup_metadata']
    mode = kinds.mode_of(metadata)
    action = {'action': 'restore', 'mode': mode,
              'restore_from_date': iso(metadata['time_stamp'])}
    action.update(action_keys.taken(metadata, action_keys.PLACE), mode=mode)
    if mode == 'cindernative':
        action['cindernative_vol_id'] = metadata.get('cindernative_vol_id')
        action['cindernative_backup_id'] = metadata.get('cinder_backup_id')
        del action['restore_from_date']
    action.update({key: value for key, value in wishes.items() if value not in (None, '')})
    return action


def of_server(metadata, server_id):
    """Keys of an action about one of the servers that were saved together."""
    saved = metadata['servers'][server_id] or {}
    keys = {'nova_inst_id': server_id}
    if saved.get('backup_name'):
        keys['backup_name'] = saved['backup_name']
    if saved.get('time_stamp'):
        keys['restore_from_date'] = iso(saved['time_stamp'])
    return keys


def once(name, client_id, *actions):
    """A job that runs once, at once."""
    return {'description': name[:NAME_MAX], 'client_id': client_id, 'job_schedule': {},
            'job_actions': [{'freezer_action': action, 'max_retries': 0} for action in actions]}


def iso(epoch):
    when = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    return when.strftime('%Y-%m-%dT%H:%M:%SZ')
