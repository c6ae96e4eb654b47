"""What can be protected: each kind's mode of the service, and the key that names the resource.

Pure: nothing here talks to a service.
"""

import collections
import re

from django.utils.translation import gettext_lazy as _

Kind = collections.namedtuple('Kind', 'slug mode key label')

SERVER = Kind('server', 'nova', 'nova_inst_id', _('Server with all its disks'))
TAGGED = Kind('tagged', 'nova', 'nova_inst_tag', _('All servers with a tag'))
VOLUME = Kind('volume', 'cinder', 'cinder_vol_id', _('Volume'))
NATIVE = Kind('native', 'cindernative', 'cindernative_vol_id',
              _("Volume, through Cinder's own backup service"))
IMAGE = Kind('image', 'glance', 'glance_image_id', _('Image'))
PROJECT = Kind('project', 'project', None, _('Everything of this project'))
FILES = Kind('files', 'fs', 'path_to_backup', _('Files on a machine with an agent'))

# In the order in which they are offered.
KINDS = (SERVER, TAGGED, VOLUME, PROJECT, FILES, IMAGE, NATIVE)
BY_SLUG = {kind.slug: kind for kind in KINDS}

MODES = {
    'nova': _('Server'), 'cinder': _('Volume'), 'cindernative': _('Volume (Cinder backup)'),
    'glance': _('Image'), 'project': _('Project'), 'fs': _('Files'), 'rbd': _('Ceph image'),
    'cloud': _('Control plane'), 'mysql': _('MySQL'), 'postgresql': 'PostgreSQL', 'mongo': _('MongoDB'),
    'sqlserver': _('SQL Server'), 'mssql': _('SQL Server'),
    'stream': _('Output of a command'),
}
ACTIONS = {
    'backup': _('Back up'), 'restore': _('Restore'), 'admin': _('Remove old backups'),
    'verify': _('Check'), 'info': _('List backups'), 'exec': _('Run a command'),
    'hold': _('Pin a backup'), 'release': _('Let a pinned backup go'), 'adopt': _('Adopt backups'),
}
# What is done with a backup, not with what it is of.
OF_A_BACKUP = ('restore', 'verify', 'hold', 'release')
# Keys of an action or a record that name what it is about, the telling ones first.
NAMING = ('server_name', 'volume_name', 'image_name', 'nova_inst_name', 'cinder_vol_name',
          'glance_image_name', 'nova_inst_id', 'cinder_vol_id', 'cindernative_vol_id',
          'glance_image_id', 'nova_inst_tag', 'nova_inst_metadata', 'path_to_backup', 'rbd_image')


def agent(client_id):
    """An agent's name without the id of its project, which is in front of it by custom."""
    return re.sub(r'^[0-9a-f]{32}_(?=.)', '', client_id or '')


def mode_of(document):
    """The mode an action or a record says, or the service's default."""
    return document.get('mode') or document.get('backup_media') or 'fs'


def resource(document, names=None):
    """The name of what an action or a record is about; `names` gives names for ids."""
    for key in NAMING:
        if document.get(key):
            return (names or {}).get(document[key], document[key])
    return ''


def describe(action, names=None):
    """One `freezer_action` in a few words."""
    parts = [ACTIONS.get(action.get('action') or 'backup', action.get('action'))]
    if action.get('action') == 'exec':
        parts.append(action.get('command', ''))
    else:
        parts.append(MODES.get(mode_of(action), mode_of(action)))
        parts.append(resource(action, names) if action.get('action') not in OF_A_BACKUP
                     else action.get('backup_name') or '')
    return ' · '.join(str(part) for part in parts if part)
