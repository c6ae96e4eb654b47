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

"""What all resources share: the client, and that an object which is gone is made anew."""

import uuid

from heat.common import exception
from heat.common.i18n import _
from heat.engine import resource

from freezer_heat import client_plugin
from freezer_heat import service as rest

NAME_MAX = 255


class FreezerResource(resource.Resource):
    """An object of the backup service.

    Its id is chosen and noted by Heat before the object is made, so that whatever happens
    in between leaves nothing that the stack does not know of.
    """

    default_client_name = client_plugin.CLIENT_NAME
    physical_resource_name_limit = NAME_MAX

    # Where the API has such objects.
    noun = None

    def new_id(self):
        """Chooses the id of what is about to be made."""
        self.resource_id_set(uuid.uuid4().hex)
        return self.resource_id

    def name_wanted(self):
        return self.properties[self.NAME] or self.physical_resource_name()

    def changed(self, body):
        """Writes a change in place."""
        if not body:
            return
        try:
            self.client().patch(self.noun, self.resource_id, body=body)
        except rest.NotThere:
            # Deleted behind the stack's back.
            raise resource.UpdateReplace(self)

    def handle_check(self):
        self.client().get(self.noun, self.resource_id)

    def handle_delete(self):
        if self.resource_id is not None:
            self.client().delete(self.noun, self.resource_id)

    def _show_resource(self):
        return self.client().get(self.noun, self.resource_id)

    def parse_live_resource_data(self, resource_properties, resource_data):
        """Only what the service answers in the properties' own form can be compared."""
        live = self.live(resource_data)
        if resource_properties.get(self.NAME) is None:
            live.pop(self.NAME, None)
        return live

    def live(self, document):
        raise NotImplementedError


def refuse_named_twice(properties, options, names):
    """An option that has a property of its own must be given there."""
    twice = sorted(set(properties.data.get(options) or ()) & set(names))
    if twice:
        raise exception.StackValidationFailed(
            message=_('%(options)s: give %(names)s as properties of their own, not in here')
            % {'options': options, 'names': ', '.join(twice)}
        )
