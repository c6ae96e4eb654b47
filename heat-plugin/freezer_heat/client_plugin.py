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

"""How Heat reaches the backup service: with the session of the stack's owner, nothing else."""

from heat.common import exception
from heat.common.i18n import _
from heat.engine.clients import client_plugin
from heat.engine import constraints
from keystoneauth1 import adapter

from freezer_heat import find
from freezer_heat import service

CLIENT_NAME = 'freezer'


class FreezerClientPlugin(client_plugin.ClientPlugin):

    exceptions_module = service

    service_types = [BACKUP] = ['backup']

    def _create(self, version=None):
        return service.Service(
            adapter.Adapter(
                session=self.context.keystone_session,
                service_type=self.BACKUP,
                interface=self._get_client_option(CLIENT_NAME, 'endpoint_type'),
                region_name=self._get_region_name(),
                client_name='freezer-heat',
            )
        )

    def is_not_found(self, ex):
        return isinstance(ex, service.NotThere)

    def is_conflict(self, ex):
        return isinstance(ex, service.BackupServiceError) and ex.code == 409

    def get_action(self, action_id):
        return self._existing('actions', action_id, _('Backup action'))

    def get_session(self, session_id):
        return self._existing('sessions', session_id, _('Backup session'))

    def get_agent(self, client_id):
        return self._existing('clients', client_id, _('Backup agent'))

    def get_backup(self, backup):
        return find.backup(self.client(), backup)

    def _existing(self, noun, object_id, what):
        found = self.client().find(noun, object_id)
        if found is None:
            raise exception.EntityNotFound(entity=what, name=object_id)
        return found


class FreezerConstraint(constraints.BaseCustomConstraint):
    """Refuses a template that names what its owner's project does not have."""

    resource_client_name = CLIENT_NAME
    expected_exceptions = (exception.EntityNotFound, service.BackupServiceError)


class ActionConstraint(FreezerConstraint):
    resource_getter_name = 'get_action'


class SessionConstraint(FreezerConstraint):
    resource_getter_name = 'get_session'


class AgentConstraint(FreezerConstraint):
    resource_getter_name = 'get_agent'


class BackupConstraint(FreezerConstraint):
    resource_getter_name = 'get_backup'
