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

"""OS::Freezer::RestoredVolume"""

from heat.common import exception
from heat.common.i18n import _
from heat.engine import attributes

from freezer_heat import restored


class RestoredVolume(restored.Restored):
    """A volume of Cinder whose content comes from a backup of mode cinder.

    It is complete when all data are there, so that what depends on it starts from the backup.
    """

    ATTRIBUTES = (BACKUP_ID_ATTR, SIZE, STATUS) = ('backup_id', 'size', 'status')

    properties_schema = restored.common_schema(_('Name of the volume.'))

    attributes_schema = {
        BACKUP_ID_ATTR: attributes.Schema(
            _('Id of the backup that it comes from.'), type=attributes.Schema.STRING
        ),
        SIZE: attributes.Schema(_('Size in GiB.'), type=attributes.Schema.INTEGER),
        STATUS: attributes.Schema(
            _('Status in Cinder.'),
            cache_mode=attributes.Schema.CACHE_NONE,
            type=attributes.Schema.STRING,
        ),
    }

    default_client_name = 'cinder'
    entity = 'volumes'
    mode = 'cinder'
    made_key = 'volume_id'

    def needs_replace_failed(self):
        """A volume that is there is kept: by now it may hold more than the backup."""
        if self.resource_id is None or self.data().get(restored.JOB_ID):
            return True
        with self.client_plugin().ignore_not_found:
            return self.client().volumes.get(self.resource_id).status in ('error', 'deleting')
        return True

    def handle_update(self, json_snippet, tmpl_diff, prop_diff):
        if self.NAME in prop_diff:
            name = prop_diff[self.NAME] or self.physical_resource_name()
            self.client().volumes.update(self.resource_id, name=name)

    def handle_check(self):
        volume = self.client().volumes.get(self.resource_id)
        self._verify_check_conditions(
            [
                {
                    'attr': 'status',
                    'expected': ['available', 'in-use'],
                    'current': volume.status,
                }
            ]
        )

    def remove_made(self):
        with self.client_plugin().ignore_not_found:
            volume = self.client().volumes.get(self.resource_id)
            if volume.status == 'in-use':
                raise exception.Error(_('Volume in use'))
            if volume.status == 'available' or volume.status.startswith('error'):
                self.client().volumes.delete(self.resource_id)
            else:
                # On its way to another status, such as a copy that is being made of it.
                return volume.status == 'deleting'
        return True

    def is_made_gone(self):
        try:
            volume = self.client().volumes.get(self.resource_id)
        except Exception as error:
            self.client_plugin().ignore_not_found(error)
            return True
        if volume.status == 'error_deleting':
            raise exception.ResourceInError(
                resource_status=volume.status, status_reason=_('delete')
            )
        return False

    def _resolve_attribute(self, name):
        if name == self.BACKUP_ID_ATTR:
            return self.data().get(self.BACKUP_ID)
        if self.resource_id is None:
            return None
        return getattr(self.client().volumes.get(self.resource_id), name)

    def parse_live_resource_data(self, resource_properties, resource_data):
        if resource_properties.get(self.NAME) is None:
            return {}
        return {self.NAME: resource_data.get('name')}


def resource_mapping():
    return {'OS::Freezer::RestoredVolume': RestoredVolume}
