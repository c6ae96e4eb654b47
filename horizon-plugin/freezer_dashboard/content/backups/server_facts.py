"""What Nova, Neutron and Cinder say for the plan of a server's restore, each as far as it answers."""

import logging

from openstack_dashboard import api as openstack
from openstack_dashboard.usage import quotas

from freezer_dashboard import api
from freezer_dashboard import kinds
from freezer_dashboard import names
from freezer_dashboard import schedules
from freezer_dashboard import server_plan

LOG = logging.getLogger(__name__)
QUOTAS = ('instances', 'cores', 'ram', 'volumes', 'gigabytes', 'port')


def plan(request, action):
    """The plan of the one server that an action restores; None when there is no such, or no record."""
    if action.get('action') != 'restore' or kinds.mode_of(action) != 'nova':
        return None
    record = _record(request, action)
    if record is None:
        return None
    metadata = server_plan.saved(record, action)
    return server_plan.plan(metadata, action, _cloud(request, server_plan.id_of(metadata, action)))


def _record(request, action):
    """The record that an action was made from: it names the same backup and the same time."""
    moment = schedules.parse(action.get('restore_from_date'))
    if moment is None:
        return None
    at = int(moment.timestamp())
    found = api.backup_list(request, since=at, until=at,
                            match={'container': action.get('container') or ''})
    return next((record for record in found if _is_of(record['backup_metadata'], action)), None)


def _is_of(metadata, action):
    servers = metadata.get('servers') or {}
    held = [metadata] + [one for one in servers.values() if isinstance(one, dict)]
    return kinds.mode_of(metadata) == 'nova' and any(
        one.get('backup_name') == action.get('backup_name') for one in held)


def _cloud(request, server_id):
    found = {flavor.id: _flavor(flavor) for flavor in
             _asked(lambda: openstack.nova.flavor_list(request), [])}
    networks = _asked(lambda: openstack.neutron.network_list_for_tenant(
        request, request.user.project_id), [])
    left = _asked(lambda: quotas.tenant_quota_usages(request, targets=QUOTAS), {})
    return server_plan.Cloud(
        flavors=found, networks={net.id: net.name_or_id for net in networks},
        volumes=dict(names.volumes(request)[0]),
        server=_asked(lambda: _old(request, server_id, found), None),
        left={key: left[key]['available'] for key in QUOTAS
              if key in left and 'available' in left[key]})


def _old(request, server_id, flavors):
    """The old server; Nova refuses when it is gone."""
    if not server_id:
        return None
    flavor = openstack.nova.server_get(request, server_id).flavor
    flavor = flavors.get(flavor.get('id')) or next(
        (one for one in flavors.values() if one.name == flavor.get('original_name')), None)
    return server_plan.Old(flavor, [
        server_plan.Port(port.network_id, [one['ip_address'] for one in port.fixed_ips],
                         port.mac_address)
        for port in openstack.neutron.port_list(request, device_id=server_id)])


def _flavor(flavor):
    return server_plan.Flavor(flavor.id, flavor.name, flavor.vcpus, flavor.ram, flavor.disk)


def _asked(call, otherwise):
    try:
        return call()
    except Exception as error:
        # Whatever the other service's client raises: the plan is of use without it.
        LOG.info('for a plan of a restore: %s', error)
        return otherwise
