"""How the backup service is reached: always with the token of the user whose request it is.

The address is the catalogue's. There is no other login, so what the service does not show to
the user cannot be shown here either.
"""

import re
from urllib import parse

from django.conf import settings
from django.utils.translation import gettext as _
from horizon import exceptions
from keystoneauth1 import adapter
from keystoneauth1 import exceptions as keystone_exceptions
from keystoneauth1 import token_endpoint
from openstack_auth import utils as auth_utils
from openstack_dashboard.api import base

SERVICE_TYPE = 'backup'
# Items asked for at once; the service has a largest number of its own.
PAGE = 500


class ServiceError(exceptions.BadRequest):
    """What the backup service refused or could not do, in its own words."""

    def __init__(self, message, status=None):
        super().__init__(message)
        self.status = status


class NotThere(ServiceError):
    """The thing is not there, or belongs to another project: the service does not say which."""


def path(request, *parts, project_id=None):
    """The path of a noun; only administrators have use for another project than their own."""
    parts = (project_id or request.user.project_id,) + parts
    return '/v2/' + '/'.join(parse.quote(part, safe='') for part in parts)


def call(request, method, where, body=None, params=None):
    """One call; returns the answer's document, or None when it has none."""
    try:
        answer = _adapter(request).request(
            where, method, json=body, params=params, raise_exc=False,
            headers={'Accept': 'application/json'})
    except keystone_exceptions.ConnectTimeout:
        raise ServiceError(_('The backup service did not answer in time. Try again later.'))
    except keystone_exceptions.ClientException:
        raise ServiceError(_('The backup service cannot be reached. Try again later, or tell '
                             'your administrator.'))
    if answer.status_code >= 400:
        raise _refusal(answer)
    return _document(answer)


def items(request, where, key, search=None, params=None, most=None):
    """All items of a list, page by page, at most as many as Horizon shows."""
    most = most or settings.API_RESULT_LIMIT
    found = []
    while len(found) < most:
        wanted = min(PAGE, most - len(found))
        page = call(request, 'GET', where, body=search,
                    params=dict(params or {}, limit=wanted, offset=len(found)))
        if not isinstance(page, dict) or not isinstance(page.get(key), list):
            raise _not_the_service()
        page = page[key]
        found.extend(page)
        if len(page) < wanted:
            break
    return found


def _adapter(request):
    # Endpoints are registered with or without the version.
    endpoint = re.sub(r'/v2(/.*)?$', '', base.url_for(request, SERVICE_TYPE).rstrip('/'))
    auth = token_endpoint.Token(endpoint, request.user.token.id)
    return adapter.Adapter(
        auth_utils.get_session(timeout=getattr(settings, 'FREEZER_TIMEOUT', 30)),
        auth=auth, endpoint_override=endpoint, user_agent='freezer-dashboard',
        global_request_id=getattr(request, 'id', None))


def _document(answer):
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        raise _not_the_service(answer.status_code)


def _not_the_service(status=None):
    return ServiceError(_('What answers at the address of the backup service is not the backup '
                          'service. Tell your administrator.'), status)


def _refusal(answer):
    """The service's own words; Horizon's only where it says nothing."""
    status = answer.status_code
    if status == 401:
        return exceptions.NotAuthorized(_('Your login has expired.'))
    try:
        document = answer.json()
        said = document.get('description') or document.get('title')
    except (ValueError, AttributeError):
        said = None
    if status == 404:
        return NotThere(said or _('It is not there (any more).'), status)
    return ServiceError(said or _('The backup service answered with status %s.') % status, status)
