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

"""All of a project is saved, lost, and comes back."""

import io
import os

from tempest import config
from tempest.lib.common.utils import data_utils
from tempest.lib import decorators

from freezer_tempest_tests.tests.scenario import central

CONF = config.CONF


class ProjectTest(central.CentralTest):

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not CONF.service_available.cinder:
            raise cls.skipException('there is no Cinder')

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        cls.containers = cls.os_project_member.container_client
        cls.objects = cls.os_project_member.object_client

    @decorators.idempotent_id('c7c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_backup_loss_restore(self):
        name = data_utils.rand_name('all')
        content = os.urandom(central.MIB)
        self._furnish(name, content)
        place = {'mode': 'project', 'storage': 'swift', 'container': name, 'backup_name': name}
        saved = self.result(dict(place, action='backup'))['backup_metadata']
        self.assertLessEqual(
            {'image', 'volume', 'container'}, {member['kind'] for member in saved['members']}
        )
        self._lose(name)
        restore = dict(place, action='restore')
        plan = self.result(dict(restore, dry_run=True))['restore']
        made = {step['resource']['kind'] for step in plan['steps'] if 'create' in step['deed']}
        self.assertLessEqual({'image', 'volume', 'container'}, made)
        self.assertEqual([], self._volumes(name))
        self.result(restore)
        (volume,) = self._volumes(name)
        self.remove_volume(volume['id'])
        self.assertEqual((1, 'available'), (volume['size'], volume['status']))
        (image,) = self._images(name)
        self.remove_image(image['id'])
        self.assertEqual(content, self.images.show_image_file(image['id']).data)
        self.assertEqual(content, self.objects.get_object(name + '-photos', 'one')[1])
        # And again: everything is there, so nothing more is made.
        self.result(restore)
        self.assertEqual((1, 1), (len(self._volumes(name)), len(self._images(name))))
        restored = self.content_of(volume['id'], name + '-content')
        self.assertEqual(self.hash_of_volume(content), restored)

    def _furnish(self, name, content):
        image = self.image_of(name, io.BytesIO(content))
        volume = self.volumes.create_volume(name=name, size=1, imageRef=image)['volume']['id']
        self.remove_volume(volume)
        self.wait_for_volume(volume)
        self.containers.create_container(name + '-photos')
        self.objects.create_object(name + '-photos', 'one', content)

    def _lose(self, name):
        # Before the image that it was made from, which may be a part of it.
        for volume in self._volumes(name):
            self.volumes.delete_volume(volume['id'])
            self.volumes.wait_for_resource_deletion(volume['id'])
        for image in self._images(name):
            self.images.delete_image(image['id'])
        self.objects.delete_object(name + '-photos', 'one')
        self.containers.delete_container(name + '-photos')

    def _images(self, name):
        return self.images.list_images({'name': name})['images']

    def _volumes(self, name):
        return self.volumes.list_volumes(detail=True, params={'name': name})['volumes']
