"""Names for ids of resources of other services, where those services answer."""

import logging

from openstack_dashboard import api

LOG = logging.getLogger(__name__)


def servers(request):
    """Pairs of id and name of the project's servers, and whether they could be listed."""
    return _listed('compute', lambda: api.nova.server_list(request, detailed=True)[0], request)


def volumes(request):
    return _listed('volume', lambda: api.cinder.volume_list(request), request)


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


def by_id(request):
    """Names of servers and volumes by id; what cannot be listed is left out."""
    return dict(servers(request)[0] + volumes(request)[0])
