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

"""The mark by which a protection policy finds its servers: a tag, or one pair of metadata."""

from urllib import parse

from heat.common import exception
from heat.common.i18n import _
from keystoneauth1 import adapter

from freezer_heat import service as rest

# The first in which servers have tags.
MICROVERSION = '2.26'


class Marks:
    """Puts one mark on servers of the stack's project, and takes it off again."""

    def __init__(self, context, region_name, interface, tag=None, pair=None):
        self._project_id = context.tenant_id
        self._tag, self._pair = tag, pair
        self._nova = adapter.Adapter(
            session=context.keystone_session,
            service_type='compute',
            interface=interface,
            region_name=region_name,
            default_microversion=MICROVERSION,
            client_name='freezer-heat',
        )

    def put(self, server_id):
        # An administrator sees servers of other projects too; the service would not save them.
        if self._server(server_id)['tenant_id'] != self._project_id:
            raise exception.EntityNotFound(entity=_('Server'), name=server_id)
        if self._tag:
            self._call('PUT', server_id, 'tags', self._tag)
        else:
            self._call('POST', server_id, 'metadata', body={'metadata': dict([self._pair])})

    def take_off(self, server_id):
        """A server that is gone bears none; another value under the same key is another mark."""
        place = ('tags', self._tag) if self._tag else ('metadata', self._pair[0])
        try:
            if self.is_on(server_id):
                self._call('DELETE', server_id, *place)
        except (rest.NotThere, exception.EntityNotFound):
            pass

    def is_on(self, server_id):
        server = self._server(server_id)
        if self._tag:
            return self._tag in server['tags']
        return server['metadata'].get(self._pair[0]) == self._pair[1]

    def _server(self, server_id):
        try:
            return self._call('GET', server_id).json()['server']
        except rest.NotThere:
            raise exception.EntityNotFound(entity=_('Server'), name=server_id)

    def _call(self, method, *path, body=None):
        url = '/servers/' + '/'.join(parse.quote(part, safe='') for part in path)
        answer = self._nova.request(url, method, json=body, raise_exc=False)
        if answer.status_code == 404:
            raise rest.NotThere(_('Server %s has no such mark') % path[0])
        if answer.status_code >= 300:
            raise rest.BackupServiceError(
                _('Nova refused to mark server %(server)s: %(what)s')
                % {'server': path[0], 'what': _told(answer)},
                answer.status_code,
            )
        return answer


def _told(answer):
    try:
        (inner,) = answer.json().values()
        return inner['message']
    except (ValueError, KeyError, TypeError):
        return answer.reason
