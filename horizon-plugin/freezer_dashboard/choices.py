"""Choices of forms that are asked of the services."""

from django.utils.translation import gettext as _

from freezer_dashboard import api
from freezer_dashboard import kinds
from freezer_dashboard import names


# How the service's own agents get their work. Others are schedulers of Freezer in Python.
DRIVEN = ('amqp', 'http')


def of_agents(request, mode=None, action=None):
    """Agents that may be given work; those that serve all projects first."""
    found = [one['client'] for one in api.client_list(request)]
    if mode:
        found = [client for client in found if supports(client, mode)]
    if action:
        found = [client for client in found if action in (client.get('supported_actions') or [])]
    found.sort(key=lambda client: (not client['is_central'], client['client_id']))
    return [(client['client_id'], shown(client)) for client in found]


def shown(client):
    if client['is_central']:
        return _('%s (serves all projects)') % client['client_id']
    return kinds.agent(client['client_id'])


def supports(client, mode):
    """Whether an agent says that it can do a mode; one that says nothing can do all."""
    modes = client.get('supported_modes')
    return not modes or mode in modes


def has_action(request, client_id, action):
    """Whether an agent says that it can do an action; older ones do not know all of them."""
    return any(one['client']['client_id'] == client_id and
               action in (one['client'].get('supported_actions') or [])
               for one in api.client_list(request))


def is_driven(request, client_id):
    """Whether an agent does what it is told: one that polls could take a plan for an order to do it."""
    return all(one['client'].get('link') in DRIVEN for one in api.client_list(request)
               if one['client']['client_id'] == client_id)


def resources(pair, empty):
    """Choices from `names`: pairs of id and name, and whether they could be listed."""
    found, is_there = pair
    if not is_there:
        return [('', _('(could not be listed)'))]
    if not found:
        return [('', empty)]
    return [('', _('Select one'))] + sorted(found, key=lambda one: one[1])


def servers(request):
    return resources(names.servers(request), _('(no servers in this project)'))


def volumes(request):
    return resources(names.volumes(request), _('(no volumes in this project)'))


def images(request):
    return resources(names.images(request), _('(no images in this project)'))
