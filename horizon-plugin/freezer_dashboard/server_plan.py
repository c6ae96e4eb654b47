"""What becomes of a server's parts in a restore: from its record, what is wished, and the cloud. Pure.

The record tells of disks only; flavor and interfaces are in the backup itself, which may be encrypted
and which only the agent reads. They are told here as far as the old server is still there to tell.
"""

import collections

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from freezer_dashboard import facts

ROOT = 'root'
GIB = 1 << 30

# What the cloud says: `flavors` by id, `networks` as names by id, `volumes` as names by id; `server` is
# the old one's flavor and ports, or None when it is gone. `left` of quotas by their names.
Cloud = collections.namedtuple('Cloud', 'flavors networks volumes server left')
Flavor = collections.namedtuple('Flavor', 'id name vcpus ram disk')
Old = collections.namedtuple('Old', 'flavor ports')
Port = collections.namedtuple('Port', 'network_id addresses mac')


def saved(record, action):
    """What the record says of the one server that an action is about."""
    metadata = record['backup_metadata']
    servers = metadata.get('servers') or {}
    return servers.get(action.get('nova_inst_id')) or metadata


def id_of(metadata, action):
    return metadata.get('nova_inst_id') or action.get('nova_inst_id')


def plan(metadata, action, cloud):
    """Rows of parts, and rows of quotas."""
    flavor, flavor_row = _flavor(action, cloud)
    disks = _disks(metadata)
    parts = [_server(metadata, action), flavor_row]
    parts += [_disk(disk, metadata, cloud) for disk in disks]
    parts += _interfaces(action, cloud)
    return {'parts': parts, 'quotas': _quotas(disks, flavor, cloud)}


def _row(part, was, made, remark='', is_open=False):
    return {'part': part, 'was': was, 'made': made, 'remark': remark, 'is_open': is_open}


def _server(metadata, action):
    name = metadata.get('server_name') or metadata.get('nova_inst_id') or '-'
    usual = '%s~%s' % (name, metadata.get('time_stamp'))
    remark = _('Beside the old one, if that is still there.')
    if metadata.get('consistency'):
        remark += ' ' + _('Its disks are %s.') % metadata['consistency']
    return _row(_('Server'), name, action.get('restore_name') or usual, remark)


def _flavor(action, cloud):
    """The flavor, if it is known, and its row."""
    was = cloud.server.flavor if cloud.server else None
    shown = _size(was) if was else _('as the backup says')
    wished = action.get('nova_restore_flavor')
    if not wished:
        remark = '' if was and was.id in cloud.flavors else _(
            'If it is gone, one that is like it; without one nothing is made: choose another.')
        return was, _row(_('Flavor'), shown, shown, remark)
    found = cloud.flavors.get(wished) or next(
        (one for one in cloud.flavors.values() if one.name == wished), None)
    if found is None:
        return None, _row(_('Flavor'), shown, wished, _('Not to be seen here: the restore would '
                                                         'end before anything is made.'), True)
    return found, _row(_('Flavor'), shown, _size(found))


def _size(flavor):
    return ngettext('%(name)s: %(vcpus)d VCPU, %(ram)s MiB, disk of %(disk)s GiB',
                    '%(name)s: %(vcpus)d VCPUs, %(ram)s MiB, disk of %(disk)s GiB',
                    flavor.vcpus) % flavor._asdict()


def _disks(metadata):
    """Pairs of role and what is known, the one of the image first."""
    disks = metadata.get('disks')
    pairs = list(disks.items()) if isinstance(disks, dict) else []
    return sorted((pair for pair in pairs if isinstance(pair[1], dict)),
                  key=lambda pair: pair[0] != ROOT)


def _gib(disk):
    return -(-(disk.get('size_bytes') or 0) // GIB)


def _disk(pair, metadata, cloud):
    role, disk = pair
    size = facts.people(disk.get('size_bytes'))
    name = metadata.get('server_name') or '-'
    if role == ROOT:
        return _row(_('Disk'), _("the server's own, %s") % size,
                    _('its disk, from the private image %s') % (name + '~disk'),
                    _('The image stays: Nova needs it.'))
    volume = cloud.volumes.get(role)
    return _row(_('Disk'), _('volume %(name)s, %(size)s') % {'name': volume or role, 'size': size},
                _('a new volume of %d GiB, attached') % _gib(disk),
                _('The old volume stays as it is.') if volume else '')


def _interfaces(action, cloud):
    choice = _choice(action.get('nova_restore_network') or '')
    if cloud.server is None:
        made = ', '.join('%s → %s' % (cloud.networks.get(old, old) or _('all'),
                                      cloud.networks.get(new, new))
                         for old, new in choice.items()) or _('as the backup says')
        rows = [_row(_('Interfaces'), _('as the backup says'), made, _(
            'The old server is gone. The agent reads them from the backup; a network that is gone '
            'ends the restore before anything is made: choose another. Addresses come back if '
            'they are free and the network is of this project.'))]
        unknown = [new for new in choice.values() if not _is_network(new, cloud)]
        return rows + [_row(_('Network'), '-', new, _unseen(), True) for new in unknown]
    return [_interface(port, choice, cloud) for port in cloud.server.ports] + [_row(
        _('Floating IPs'), '-', _('none'), _('They are not moved: associate them yourself.'))]


def _interface(port, choice, cloud):
    name = cloud.networks.get(port.network_id, port.network_id)
    was = ', '.join([name] + port.addresses + [port.mac])
    new = choice.get(port.network_id) or choice.get(name) or choice.get('')
    if new and not _is_network(new, cloud):
        return _row(_('Interface'), was, new, _unseen(), True)
    if new and cloud.networks.get(new, new) != name:
        return _row(_('Interface'), was, cloud.networks.get(new, new), _('With any address there.'))
    if port.network_id not in cloud.networks:
        return _row(_('Interface'), was, '-', _('The network is not to be seen here: choose '
                                                'another in its place.'), True)
    return _row(_('Interface'), was, name, _('Its addresses are taken while the old server has '
                                             'them: another of the same subnet.'))


def _unseen():
    return _('No network of this name or ID is to be seen here: the restore would end before '
             'anything is made.')


def _is_network(text, cloud):
    return text in cloud.networks or text in cloud.networks.values()


def _choice(text):
    """New networks by old ones, as the agent reads the option; under '' the one for all."""
    if '=' not in text:
        return {'': text.strip()} if text.strip() else {}
    pairs = (pair.split('=', 1) for pair in text.split(',') if '=' in pair)
    return {old.strip(): new.strip() for old, new in pairs}


def _quotas(disks, flavor, cloud):
    volumes = [disk for role, disk in disks if role != ROOT]
    needed = [('instances', _('Servers'), 1)]
    if flavor:
        needed += [('cores', _('VCPUs'), flavor.vcpus), ('ram', _('MiB of RAM'), flavor.ram)]
    needed += [('volumes', _('Volumes'), len(volumes)),
               ('gigabytes', _('GiB of volumes'), sum(_gib(disk) for disk in volumes))]
    if cloud.server:
        needed.append(('port', _('Ports'), len(cloud.server.ports)))
    rows = []
    for key, label, count in needed:
        left = cloud.left.get(key)
        if count and left is not None:
            rows.append({'label': label, 'needed': count, 'is_short': count > left,
                         'left': _('no limit') if left == float('inf') else left})
    return rows
