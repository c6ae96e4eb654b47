"""Names of projects, for administrators."""

import logging

from openstack_dashboard import api

LOG = logging.getLogger(__name__)


def names(request):
    """Names by id; without Keystone's list there are none."""
    try:
        projects, _has_more = api.keystone.tenant_list(request)
    except Exception as error:
        # Whatever Keystone's client raises: ids do as well.
        LOG.warning('projects could not be listed: %s', error)
        return {}
    return {project.id: project.name for project in projects}
