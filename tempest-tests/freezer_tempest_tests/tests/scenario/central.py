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

"""A central agent of the cloud works for the project, under a trust that the job's maker gives."""

import hashlib

from tempest.common import waiters
from tempest import config
from tempest.lib.common.utils import test_utils

from freezer_tempest_tests.tests.scenario import base

CONF = config.CONF
GIB = 2**30
MIB = 2**20


class CentralTest(base.ScenarioTest):
    """Saves resources of the cloud in Swift."""

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not CONF.freezer.central_client:
            raise cls.skipException('[freezer] central_client is not set')

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        cls.worker_id = CONF.freezer.central_client
        cls.images = cls.os_project_member.image_client_v2
        cls.volumes = cls.os_project_member.volumes_client_latest
        cls.servers = cls.os_project_member.servers_client

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        cls.addClassResourceCleanup(cls._empty_account)

    @classmethod
    def _empty_account(cls):
        """Removes what was stored."""
        login, of_json = cls.os_project_member, {'format': 'json'}
        for container in login.account_client.list_account_containers(of_json)[1]:
            name = container['name']
            for item in login.container_client.list_container_objects(name, of_json)[1]:
                login.object_client.delete_object(name, item['name'])
            login.container_client.delete_container(name)

    def remove_image(self, image):
        """At the end of the test."""
        self.addCleanup(test_utils.call_and_ignore_notfound_exc, self.images.delete_image, image)

    def remove_volume(self, volume):
        """At the end of the test."""
        self.addCleanup(self.volumes.wait_for_resource_deletion, volume)
        self.addCleanup(test_utils.call_and_ignore_notfound_exc, self.volumes.delete_volume, volume)

    def remove_server(self, server):
        """At the end of the test."""
        self.addCleanup(waiters.wait_for_server_termination, self.servers, server)
        self.addCleanup(test_utils.call_and_ignore_notfound_exc, self.servers.delete_server, server)

    def wait_for_volume(self, volume):
        self.wait_until(
            'the volume is available',
            lambda: self.volumes.show_volume(volume)['volume']['status'] == 'available',
        )

    def image_of(self, name, data):
        """A private image of these bytes; returns its id."""
        image = self.images.create_image(
            name=name, disk_format='raw', container_format='bare', visibility='private'
        )['id']
        self.remove_image(image)
        self.images.store_image_file(image, data)
        return image

    def content_of(self, volume, name):
        """The hash of all of it, which Glance computes when the volume becomes an image."""
        image = self.volumes.upload_volume(
            volume, image_name=name, disk_format='raw', container_format='bare'
        )['os-volume_upload_image']['image_id']
        self.remove_image(image)
        self.wait_until(
            'the image is active', lambda: self.images.show_image(image)['status'] == 'active'
        )
        self.wait_for_volume(volume)
        return self.images.show_image(image)['os_hash_value']

    @staticmethod
    def hash_of_volume(content):
        """The hash of a volume of 1 GiB that was made from an image with whole MiB of content."""
        total = hashlib.sha512(content)
        zeros = bytes(MIB)
        for _ in range(GIB // MIB - len(content) // MIB):
            total.update(zeros)
        return total.hexdigest()

    def result(self, action):
        """What an action gave that was a success."""
        return self.done(action)['steps'][0]['result']
