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

"""An image is saved, deleted, and comes back byte for byte."""

import io
import os

from tempest.lib.common.utils import data_utils
from tempest.lib import decorators

from freezer_tempest_tests.tests.scenario import central


class ImageTest(central.CentralTest):

    @decorators.idempotent_id('c5c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_backup_delete_restore(self):
        name = data_utils.rand_name('image')
        content = os.urandom(2**20)
        image = self.image_of(name, io.BytesIO(content))
        place = {'mode': 'glance', 'storage': 'swift', 'container': name, 'backup_name': name}
        saved = self.result(dict(place, action='backup', glance_image_id=image))
        self.assertEqual(image, saved['backup_metadata']['glance_image_id'])
        self.images.delete_image(image)
        again = name + '-again'
        self.result(dict(place, action='restore', restore_name=again))
        (found,) = self.images.list_images({'name': again})['images']
        self.remove_image(found['id'])
        self.assertEqual('private', found['visibility'])
        self.assertEqual(content, self.images.show_image_file(found['id']).data)
