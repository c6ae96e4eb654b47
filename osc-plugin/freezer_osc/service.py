#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""The REST API: requests, lists page by page, and errors in the service's own words."""

import copy
import re
from urllib import parse

from keystoneauth1 import adapter
from osc_lib import exceptions
from osc_lib.i18n import _

SERVICE_TYPE = 'backup'
PAGE = 500
# Reading is tried again while the service or its database is away for a moment; writing is not.
AGAIN = {'connect_retries': 3, 'status_code_retries': 3, 'retriable_status_codes': (503,)}


class NotThere(exceptions.CommandError):
    """Nothing under this id in the caller's project."""


class Service:
    """The backup service, for the project of the session."""

    def __init__(self, session, interface=None, region_name=None, endpoint=None):
        self._adapter = adapter.Adapter(
            session=session,
            service_type=SERVICE_TYPE,
            interface=interface,
            region_name=region_name,
            endpoint_override=endpoint or None,
            client_name='freezer-osc',
        )
        self._base = None

    def of_project(self, project_id):
        """The same service for another project; it refuses whoever is no administrator."""
        other = copy.copy(self)
        other._base = re.sub(r'/v2(/.*)?$', '', self._project_url())
        other._base += '/v2/' + parse.quote(project_id, safe='')
        return other

    def get(self, *path):
        """The document at this path; its parts may be any text."""
        return self._call('GET', path)

    def find(self, *path):
        """As get, but None where nothing is."""
        try:
            return self.get(*path)
        except NotThere:
            return None

    def post(self, *path, body):
        return self._call('POST', path, body=body)

    def put(self, *path, body):
        return self._call('PUT', path, body=body)

    def patch(self, *path, body):
        return self._call('PATCH', path, body=body)

    def delete(self, *path):
        self._call('DELETE', path)

    def list(self, *path, search=None, limit=None):
        """Elements of a list, as many as are wanted, in the service's order."""
        key, offset = path[-1], 0
        while limit is None or offset < limit:
            size = PAGE if limit is None else min(PAGE, limit - offset)
            page = self._call('GET', path, body=search, params={'limit': size, 'offset': offset})[
                key
            ]
            yield from page
            offset += len(page)
            if not page:
                return

    def _call(self, method, path, body=None, params=None):
        if any(part in ('', '.', '..') for part in path):
            # They would lead to another path, and can be nobody's id.
            raise NotThere(_('Nothing has the name or id "%s"') % path[-1])
        url = '/'.join([self._project_url()] + [parse.quote(part, safe='') for part in path])
        again = AGAIN if method == 'GET' else {}
        answer = self._adapter.request(
            url, method, json=body, params=params, raise_exc=False, **again
        )
        if answer.status_code >= 300:
            raise _error(answer)
        return answer.json() if answer.content else None

    def _project_url(self):
        """Catalogues hold the address with or without version and project."""
        if self._base is None:
            endpoint = self._adapter.get_endpoint()
            if not endpoint:
                raise exceptions.CommandError(
                    _(
                        'The catalog has no endpoint of type "backup" that you can use; '
                        'see "openstack catalog list"'
                    )
                )
            self._base = endpoint.rstrip('/')
            if '/v2' not in parse.urlsplit(self._base).path:
                self._base += '/v2/' + parse.quote(self._adapter.get_project_id() or '-', safe='')
        return self._base


def _error(answer):
    """The refusal as an exception that the openstack command prints and ends with status 1."""
    kind = NotThere if answer.status_code == 404 else exceptions.CommandError
    text = _('%(what)s (HTTP %(status)d)') % {
        'what': _told(answer) or answer.reason,
        'status': answer.status_code,
    }
    request_id = answer.headers.get('x-openstack-request-id')
    if request_id and answer.status_code >= 500:
        text += ', ' + request_id
    return kind(text)


def _told(answer):
    try:
        document = answer.json()
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    inner = document.get('error')
    if isinstance(inner, dict):
        return inner.get('message')
    return document.get('description') or document.get('title')
