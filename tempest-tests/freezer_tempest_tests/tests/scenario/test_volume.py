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

"""A volume is saved by a central agent under a trust, and comes back as a new one."""

from tempest import config
from tempest.lib.common.utils import data_utils
from tempest.lib import decorators

from freezer_tempest_tests.tests.scenario import base

CONF = config.CONF


class VolumeTest(base.ScenarioTest):

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not CONF.freezer.central_client or not CONF.service_available.cinder:
            raise cls.skipException('no [freezer] central_client, or no Cinder')

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        cls.volumes = cls.os_project_member.volumes_client_latest

    @decorators.idempotent_id('c4c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_backup_and_restore(self):
        name = data_utils.rand_name('volume')
        volume = self.volumes.create_volume(name=name, size=1)['volume']['id']
        self.addCleanup(self._remove, volume)
        self._wait(volume, 'available')
        place = {
            'mode': 'cinder',
            'engine_name': 'image',
            'storage': 'swift',
            'container': name,
            'backup_name': name,
        }
        saved = self._run(dict(place, action='backup', cinder_vol_id=volume))
        self.assertEqual(volume, saved['backup_metadata']['cinder_vol_id'])
        restored = self._run(dict(place, action='restore', restore_name=name + '-again'))['restore']
        again = [
            found
            for found in self.volumes.list_volumes(detail=True)['volumes']
            if found['name'] == name + '-again'
        ]
        for found in again:
            self.addCleanup(self._remove, found['id'])
        self.assertEqual(
            [(1, 'available')], [(found['size'], found['status']) for found in again], restored
        )

    def _run(self, action):
        run = self.ended_run(self.start(action, client_id=CONF.freezer.central_client))
        self.assertEqual('success', run['state'], run['error'])
        return run['steps'][0]['result']

    def _wait(self, volume, status):
        self.wait_until(
            'the volume is ' + status,
            lambda: self.volumes.show_volume(volume)['volume']['status'] == status,
        )

    def _remove(self, volume):
        self.volumes.delete_volume(volume)
        self.volumes.wait_for_resource_deletion(volume)
