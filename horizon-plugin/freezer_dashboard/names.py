"""Names for ids of resources of other services, where those services answer."""

import logging

from openstack_dashboard import api

LOG = logging.getLogger(__name__)


# Which of its keys tells the project of a volume; only administrators are told.
TENANT_OF_A_VOLUME = 'os-vol-tenant-attr:tenant_id'


def servers(request, project_id=None):
    """Pairs of id and name of the project's servers, and whether they could be listed.

    Another project than the user's own is for administrators.
    """
    def listed():
        found = api.nova.server_list(request, search_opts=_search(project_id), detailed=True)[0]
        return _of_project(found, 'tenant_id', project_id)
    return _listed('compute', listed, request)


def volumes(request, project_id=None):
    def listed():
        found = api.cinder.volume_list(request, search_opts=_search(project_id))
        return _of_project(found, TENANT_OF_A_VOLUME, project_id)
    return _listed('volume', listed, request)


def _search(project_id):
    return {'all_tenants': True, 'project_id': project_id} if project_id else None


def _of_project(found, key, project_id):
    """Whom a service does not take for an administrator may be given his own instead."""
    if project_id is None:
        return found
    return [one for one in found if getattr(one, key, None) == project_id]


def images(request):
    return _listed('image', lambda: _own(api.glance.image_list_detailed(request)[0], request),
                   request)


def _own(found, request):
    return [image for image in found if image.owner == request.user.project_id]


def _listed(service, call, request):
    if not _is_there(request, service):
        return [], False
    try:
        return [(one.id, getattr(one, 'name', '') or one.id) for one in call()], True
    except Exception as error:
        # Whatever the other service's client raises: backups are of use without it.
        LOG.warning('resources of %s could not be listed: %s', service, error)
        return [], False


def _is_there(request, service):
    wanted = ('volumev3', 'block-storage') if service == 'volume' else (service,)
    return any(api.base.is_service_enabled(request, one) for one in wanted)


def by_id(request, project_id=None):
    """Names of servers and volumes by id; what cannot be listed is left out."""
    return dict(servers(request, project_id)[0] + volumes(request, project_id)[0])
