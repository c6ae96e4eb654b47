"""Projects, for administrators: their names, and the pages of their list."""

import logging

from keystoneauth1 import exceptions as keystone_exceptions
from openstack_dashboard import api

LOG = logging.getLogger(__name__)


def listed(request):
    """Pairs of id and name, by their names; None without Keystone's list."""
    try:
        projects, _has_more = api.keystone.tenant_list(request)
    except Exception as error:
        # Whatever Keystone's client raises.
        LOG.warning('projects could not be listed: %s', error)
        return None
    return sorted(((project.id, project.name) for project in projects),
                  key=lambda one: (one[1].lower(), one[0]))


def names(request):
    """Names by id; without Keystone's list there are none: ids do as well."""
    return dict(listed(request) or [])


def name(request, project_id):
    """A project's name, or its id where Keystone does not tell; None when there is no such project."""
    try:
        return api.keystone.tenant_get(request, project_id).name
    except keystone_exceptions.NotFound:
        return None
    except Exception as error:
        LOG.warning('project %s could not be asked for: %s', project_id, error)
        return project_id


def page(found, size, after=None, before=None):
    """Part of a list of pairs of id and name, and whether there are others before and behind it.

    It begins behind the id `after`, or ends before the id `before`; Keystone gives its list as a whole.
    """
    ids = [project_id for project_id, _name in found]
    start = 0
    if after in ids:
        start = ids.index(after) + 1
    elif before in ids:
        start = max(0, ids.index(before) - size)
    return found[start:start + size], start > 0, start + size < len(found)
