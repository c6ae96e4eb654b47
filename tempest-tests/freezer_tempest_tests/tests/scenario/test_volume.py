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

"""A volume is saved, and comes back as a new one with the same content."""

import io
import os

from tempest import config
from tempest.lib.common.utils import data_utils
from tempest.lib import decorators

from freezer_tempest_tests.tests.scenario import central

CONF = config.CONF


class VolumeTest(central.CentralTest):

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not CONF.service_available.cinder:
            raise cls.skipException('there is no Cinder')

    @decorators.idempotent_id('c4c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_backup_and_restore(self):
        name = data_utils.rand_name('volume')
        content = os.urandom(central.MIB)
        image = self.image_of(name, io.BytesIO(content))
        volume = self.volumes.create_volume(name=name, size=1, imageRef=image)['volume']['id']
        self.remove_volume(volume)
        self.wait_for_volume(volume)
        place = {'mode': 'cinder', 'storage': 'swift', 'container': name, 'backup_name': name}
        saved = self.result(dict(place, action='backup', cinder_vol_id=volume))
        self.assertEqual(volume, saved['backup_metadata']['cinder_vol_id'])
        again = self._restored(place, name + '-again')
        self.assertEqual(self.hash_of_volume(content), self.content_of(again, name))

    def _restored(self, place, name):
        self.result(dict(place, action='restore', restore_name=name))
        listed = self.volumes.list_volumes(detail=True, params={'name': name})['volumes']
        (found,) = [volume for volume in listed if volume['name'] == name]
        self.remove_volume(found['id'])
        self.assertEqual((1, 'available'), (found['size'], found['status']))
        return found['id']
