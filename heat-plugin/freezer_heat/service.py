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

from urllib import parse

from heat.common.i18n import _

PAGE = 500
# Reading is tried again while the service or its database is away for a moment; writing is not.
AGAIN = {'connect_retries': 3, 'status_code_retries': 3, 'retriable_status_codes': (503,)}


class BackupServiceError(Exception):
    """A refusal, as it is shown to the owner of the stack."""

    def __init__(self, text, code=0):
        super().__init__(text)
        self.code = code


class NotThere(BackupServiceError):
    """Nothing under this id in the project of the stack."""

    def __init__(self, text):
        super().__init__(text, 404)


class Service:
    """The backup service, for the project of the adapter's session."""

    def __init__(self, adapter):
        self._adapter = adapter
        self._base = None

    def get(self, *path):
        return self._call('GET', path)

    def find(self, *path):
        """As get, but None where nothing is."""
        try:
            return self.get(*path)
        except NotThere:
            return None

    def post(self, *path, body):
        return self._call('POST', path, body=body)

    def put(self, *path):
        self._call('PUT', path)

    def patch(self, *path, body):
        self._call('PATCH', path, body=body)

    def delete(self, *path):
        """What is not there is deleted already."""
        try:
            self._call('DELETE', path)
        except NotThere:
            pass

    def list(self, *path, search=None, limit=None):
        """Elements of a list, as many as are wanted, in the service's order."""
        key, offset = path[-1], 0
        while limit is None or offset < limit:
            size = PAGE if limit is None else min(PAGE, limit - offset)
            page = self._call('GET', path, body=search, params={'limit': size, 'offset': offset})
            yield from page[key]
            offset += len(page[key])
            if not page[key]:
                return

    def _call(self, method, path, body=None, params=None):
        if any(part in ('', '.', '..') for part in path):
            # They would lead to another path, and can be nobody's id.
            raise NotThere(_('Nothing has the id "%s"') % path[-1])
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
                raise BackupServiceError(
                    _('The catalog has no endpoint of type "backup" that this stack can use')
                )
            self._base = endpoint.rstrip('/')
            if '/v2' not in parse.urlsplit(self._base).path:
                self._base += '/v2/' + parse.quote(self._adapter.get_project_id() or '-', safe='')
        return self._base


def _error(answer):
    text = _('%(what)s (HTTP %(status)d)') % {
        'what': _told(answer) or answer.reason,
        'status': answer.status_code,
    }
    request_id = answer.headers.get('x-openstack-request-id')
    if request_id and answer.status_code >= 500:
        # Messages of Heat that wait for their language cannot be added to.
        text = '%s, %s' % (text, request_id)
    if answer.status_code == 404:
        return NotThere(text)
    return BackupServiceError(text, answer.status_code)


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
