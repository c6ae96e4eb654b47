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

"""From the record of a backup to the action that brings it back.

Where the data are is taken from the record, and how to get there from the job that made it.
"""

import datetime

from heat.common.i18n import _

from freezer_heat import action_keys
from freezer_heat import service as rest


def build(service, record, options):
    """The action; `options` count more than what is on record."""
    metadata = record['backup_metadata']
    action = {'action': 'restore'}
    action.update(_access(service, metadata))
    action.update(action_keys.taken(metadata, action_keys.PLACE))
    if metadata.get('time_stamp'):
        action['restore_from_date'] = time_text(metadata['time_stamp'])
    action.update({key: value for key, value in options.items() if value is not None})
    if metadata.get('encrypted') and not action.get('encrypt_pass_file'):
        raise rest.BackupServiceError(
            _(
                'The backup is encrypted and the job that made it is gone; '
                'give options: encrypt_pass_file'
            )
        )
    return action


def time_text(seconds):
    return datetime.datetime.utcfromtimestamp(seconds).strftime('%Y-%m-%dT%H:%M:%SZ')


def _access(service, metadata):
    job_id = metadata.get('job_id')
    job = service.find('jobs', job_id) if job_id else None
    groups = (action_keys.REACH, action_keys.SECRETS, action_keys.READING)
    return action_keys.access(job, metadata, *groups)
