"""What a project may use and uses. Limits are for administrators to set."""

from freezer_dashboard.api.transport import call
from freezer_dashboard.api.transport import path


def usage_show(request, project_id=None):
    return call(request, 'GET', path(request, 'usage', project_id=project_id))['usage']


def quota_show(request, project_id):
    return call(request, 'GET', path(request, 'quotas', project_id=project_id))


def quota_set(request, project_id, limits):
    return call(request, 'PUT', path(request, 'quotas', project_id=project_id), body=limits)


def quota_reset(request, project_id):
    call(request, 'DELETE', path(request, 'quotas', project_id=project_id))
