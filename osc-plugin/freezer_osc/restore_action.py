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

Where the data are is taken from the record, and how to get there (pass phrase file, keys) from the
job that made it.
"""

from osc_lib import exceptions
from osc_lib.cli import parseractions
from osc_lib.i18n import _

from freezer_osc import action_keys
from freezer_osc import columns
from freezer_osc import find
from freezer_osc import when

# Come back as a folder on the agent's host; those whose increments are logs in an empty one alone.
INTO_EMPTY = ('postgresql', 'sqlserver')
FILES = ('fs', 'cloud', 'stream', 'mysql', 'mongo') + INTO_EMPTY
# Option of this command, key of the action, modes that know it.
TARGETS = (
    ('to', 'restore_abs_path', FILES),
    (
        'overwrite',
        'overwrite',
        tuple(mode for mode in FILES if mode not in INTO_EMPTY) + ('cindernative',),
    ),
    ('name', 'restore_name', ('cinder', 'glance', 'nova')),
    ('volume_to', 'cinder_restore_to', ('cinder',)),
    ('flavor', 'nova_restore_flavor', ('nova',)),
    ('network', 'nova_restore_network', ('nova',)),
    ('select', 'project_select', ('project',)),
    ('map', 'project_map', ('project',)),
    ('into_project', 'project_restore_to', ('project',)),
)
# Records of several resources, whose backups have names of their own.
SEVERAL = ('servers', 'images')


def add_backup_arguments(parser):
    """Which backup, and who works."""
    parser.add_argument(
        'backup',
        metavar='<backup>',
        help=_('Backup to use (id, or name: the newest one of that name)'),
    )
    parser.add_argument(
        '--not-after',
        metavar='<time>',
        type=when.seconds,
        help=_('With a name: the newest backup not after this time (YYYY-MM-DDThh:mm:ss, UTC)'),
    )
    parser.add_argument(
        '--container', metavar='<container>', help=_('With a name: only backups in this container')
    )
    parser.add_argument(
        '--resource',
        metavar='<id>',
        help=_('Of a backup of several servers or images: the one that is meant'),
    )
    parser.add_argument(
        '--agent',
        metavar='<agent>',
        help=_('Agent that works (id or host name; default: the one that made the backup)'),
    )
    parser.add_argument(
        '--pass-phrase-file',
        metavar='<path>',
        help=_(
            'File with the pass phrase of an encrypted backup, on the agent\'s host '
            '(default: the one in the job that made the backup)'
        ),
    )


def add_target_arguments(parser):
    """Where it comes back. What does not fit the backup's mode is refused."""
    parser.add_argument(
        '--to',
        metavar='<path>',
        help=_('Files, databases: folder on the agent\'s host, made when missing'),
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help=_(
            'Files: the folder need not be empty; volume of Cinder\'s own backup: write over it'
        ),
    )
    parser.add_argument(
        '--name', metavar='<name>', help=_('Volume, image, server: name of the new one')
    )
    parser.add_argument(
        '--volume-to',
        choices=('new', 'over', 'replace'),
        default=None,
        help=_('Volume: a new one, over the old one, or a new one attached in its place'),
    )
    parser.add_argument(
        '--flavor', metavar='<flavor>', help=_('Server: another flavor (name or id)')
    )
    parser.add_argument(
        '--network',
        metavar='<network>',
        help=_('Server: network for all interfaces, or old=new,old=new (names or ids)'),
    )
    parser.add_argument(
        '--select',
        metavar='<kind[/name-or-id]>',
        action='append',
        help=_('Project: only this, with what it needs (repeat option for more)'),
    )
    parser.add_argument(
        '--map',
        metavar='<kind/old=new-id>',
        action='append',
        help=_('Project: what takes the place of an old resource (repeat option for more)'),
    )
    parser.add_argument(
        '--into-project', metavar='<project-id>', help=_('Project: restore into this other project')
    )
    parser.add_argument(
        '--property',
        metavar='<key=value>',
        dest='properties',
        action=parseractions.KeyValueAction,
        help=_('Any other option of the agent (repeat option for more)'),
    )


def chosen(service, parsed_args):
    """The record that the arguments mean."""
    return find.backup(service, parsed_args.backup, parsed_args.not_after, parsed_args.container)


def build(service, record, parsed_args):
    """The action, without a target."""
    metadata = record['backup_metadata']
    action = {'action': 'restore'}
    action.update(_access(service, metadata))
    action.update(action_keys.taken(metadata, action_keys.PLACE, ('cindernative_vol_id',)))
    action['backup_name'] = _name(metadata, parsed_args.resource)
    if metadata.get('time_stamp'):
        action['restore_from_date'] = columns.time_text(metadata['time_stamp'])
    if parsed_args.pass_phrase_file:
        action['encrypt_pass_file'] = parsed_args.pass_phrase_file
    elif metadata.get('encrypted') and not action.get('encrypt_pass_file'):
        raise exceptions.CommandError(
            _('The backup is encrypted and the job that made it is gone; give --pass-phrase-file')
        )
    return action


def add_target(action, parsed_args):
    """Writes into the action where it comes back; refuses what its mode does not know."""
    mode = action.get('mode', 'fs')
    for option, key, modes in TARGETS:
        value = getattr(parsed_args, option)
        if not value:
            continue
        if mode not in modes:
            raise exceptions.CommandError(
                _('--%(option)s is not for backups of mode %(mode)s')
                % {'option': option.replace('_', '-'), 'mode': mode}
            )
        action[key] = ','.join(value) if isinstance(value, list) else value
    action.update(parsed_args.properties or {})
    # Into a SQL Server the agent finds its way without.
    is_loaded = mode == 'sqlserver' and action.get('load_into_server')
    if mode in FILES and not is_loaded and not action.get('restore_abs_path'):
        raise exceptions.CommandError(_('Say with --to where the files shall be restored to'))
    return action


def title(verb, action):
    """Name of the job."""
    return '%s of %s as of %s' % (
        verb,
        action['backup_name'],
        action.get('restore_from_date', 'now'),
    )


def _name(metadata, resource):
    several = next((metadata[key] for key in SEVERAL if metadata.get(key)), None)
    if several is None:
        if resource:
            raise exceptions.CommandError(_('The backup is of one resource; leave --resource out'))
        return metadata['backup_name']
    if resource not in several:
        raise exceptions.CommandError(
            _('The backup is of several resources; name one by --resource: %s') % ', '.join(several)
        )
    return several[resource]['backup_name']


def _access(service, metadata):
    job_id = metadata.get('job_id')
    job = service.find('jobs', job_id) if job_id else None
    groups = (action_keys.REACH, action_keys.SECRETS, action_keys.READING)
    return action_keys.access(job, metadata, *groups)


def other_time(record, restored):
    """Says so when another state came back than the one that was meant, which is gone then."""
    meant, found = record['backup_metadata'].get('time_stamp'), restored.get('timestamp')
    if meant is None or found in (None, meant):
        return None
    return _(
        'The state as of %(meant)s is not in the storage any more; this is the one as of %(found)s'
    ) % {'meant': columns.time_text(meant), 'found': columns.time_text(found)}
