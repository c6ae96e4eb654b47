"""Clients: the agents that do the work."""

from freezer_dashboard.api.transport import call
from freezer_dashboard.api.transport import items
from freezer_dashboard.api.transport import path


def client_list(request, project_id=None):
    return items(request, path(request, 'clients', project_id=project_id), 'clients')


def client_delete(request, client_id):
    call(request, 'DELETE', path(request, 'clients', client_id))
