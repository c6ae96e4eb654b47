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

"""A server is saved, and comes back beside the old one, as it was."""

from tempest.common import waiters
from tempest import config
from tempest.lib.common import api_microversion_fixture
from tempest.lib.common.utils import data_utils
from tempest.lib import decorators

from freezer_tempest_tests.tests.scenario import central

CONF = config.CONF


class ServerTest(central.CentralTest):

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not CONF.service_available.nova:
            raise cls.skipException('there is no Nova')

    def setUp(self):
        super().setUp()
        # The first version in which a server may have no network.
        self.useFixture(
            api_microversion_fixture.APIMicroversionFixture(compute_microversion='2.37')
        )

    @decorators.idempotent_id('c6c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_backup_and_restore(self):
        name = data_utils.rand_name('server')
        server = self._made(name)
        self._has_booted(server, 1)
        place = {'mode': 'nova', 'storage': 'swift', 'container': name, 'backup_name': name}
        saved = self.result(dict(place, action='backup', nova_inst_id=server))['backup_metadata']
        self.assertEqual((server, name), (saved['nova_inst_id'], saved['server_name']))
        # The plan makes nothing.
        again = name + '-again'
        restore = dict(place, action='restore', restore_name=again)
        self.result(dict(restore, dry_run=True))
        self.assertEqual([], self._named(again))
        self.result(restore)
        (found,) = self._named(again)
        self.remove_server(found['id'])
        # Its disk is an image of the project now.
        for image in self.images.list_images({'owner': self.client.tenant_id})['images']:
            self.remove_image(image['id'])
        before, after = (self.servers.show_server(one)['server'] for one in (server, found['id']))
        self.assertEqual('ACTIVE', after['status'])
        self.assertEqual(before['flavor'], after['flavor'])
        self.assertEqual('web', after['metadata']['role'])
        # It comes from the disk that was saved: the guest counts on from there.
        self._has_booted(found['id'], 2)

    def _made(self, name):
        server = self.servers.create_server(
            name=name,
            imageRef=CONF.compute.image_ref,
            flavorRef=CONF.compute.flavor_ref,
            networks='none',
            metadata={'role': 'web'},
        )['server']['id']
        self.remove_server(server)
        waiters.wait_for_server_status(self.servers, server, 'ACTIVE')
        return server

    def _has_booted(self, server, times):
        """Waits until the guest says so, if it is one that does."""
        if not CONF.freezer.boot_line:
            return
        line = CONF.freezer.boot_line % times
        self.wait_until(
            'the console shows ' + line,
            lambda: line in self.servers.get_console_output(server)['output'],
        )

    def _named(self, name):
        return self.servers.list_servers(name='^%s$' % name)['servers']
