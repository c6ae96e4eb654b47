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

"""Keys of an action, by what they say.

This file is the same in the plugins for the openstack command, Heat and Horizon, which share no
library; osc-plugin/run-tests compares the copies, and the keys with those that the agent knows.
"""

# Where the data are: a record has these, too.
PLACE = (
    'mode',
    'mysql_form',
    'engine_name',
    'storage',
    'container',
    'backup_name',
    'hostname',
    'ssh_host',
    'ssh_port',
    'ssh_username',
    'ftp_host',
    'ftp_port',
    'ftp_username',
    'endpoint',
    's3_region',
)
# How an agent gets there; the list of several storages has all of it for each.
REACH = (
    'storages',
    'storage_secret_ref',
    'ssh_key',
    'ssh_key_passphrase_file',
    'ssh_password_file',
    'ssh_known_hosts',
    'ftp_password_file',
    'ftp_keyfile',
    'ftp_certfile',
    's3_bucket_in_host',
    's3_credentials_file',
    'insecure',
    'proxy',
)
# The same, where somebody has put it into the action itself.
SECRETS = ('ssh_password', 'ftp_password', 'access_key', 'secret_key')
# What it takes to read the data.
READING = ('encrypt_pass_file', 'encrypt_secret_ref', 'download_limit')
# Which resource it is about.
RESOURCE = (
    'project_id',
    'nova_inst_id',
    'nova_inst_name',
    'nova_inst_tag',
    'nova_inst_metadata',
    'cinder_vol_id',
    'cinder_vol_name',
    'cindernative_vol_id',
    'cindernative_freezer_only',
    'glance_image_id',
    'glance_image_name',
    'glance_image_name_filter',
    'rbd_pool',
    'rbd_image',
    'path_to_backup',
)


def taken(source, *groups):
    """What a document says of some groups of keys."""
    found = {
        key: source[key] for group in groups for key in group if source.get(key) not in (None, '')
    }
    several = found.get('storages')
    if isinstance(several, list) and SECRETS not in groups:
        found['storages'] = [
            {key: value for key, value in place.items() if key not in SECRETS} for place in several
        ]
    return found


def access(job, metadata, *groups):
    """Of those keys, what the job that made a backup says: how to get at it again.

    `job` is None when the job is gone.
    """
    for entry in (job or {}).get('job_actions', []):
        action = entry['freezer_action']
        several = action.get('storages')
        places = several if isinstance(several, list) and several else [action]
        is_same = action.get('backup_name') in (None, metadata.get('backup_name')) and any(
            place.get('container') in (None, metadata.get('container')) for place in places
        )
        if action.get('action', 'backup') == 'backup' and is_same:
            return taken(action, *groups)
    return {}
