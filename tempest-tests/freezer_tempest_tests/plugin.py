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

"""What tempest asks of a plugin: its tests, its options, its clients."""

import os

from tempest import config
from tempest.test_discover import plugins

from freezer_tempest_tests import config as own_config


class FreezerTempestTests(plugins.TempestPlugin):
    def load_tests(self):
        package = os.path.dirname(os.path.abspath(__file__))
        return os.path.join(package, 'tests'), os.path.dirname(package)

    def register_opts(self, conf):
        conf.register_opt(own_config.service_option, group='service_available')
        config.register_opt_group(conf, own_config.group, own_config.options)

    def get_opt_lists(self):
        return [
            ('service_available', [own_config.service_option]),
            (own_config.group.name, own_config.options),
        ]

    def get_service_clients(self):
        client = {
            'name': 'freezer',
            'service_version': 'freezer.v2',
            'module_path': 'freezer_tempest_tests.services.backup_client',
            'client_names': ['BackupClient'],
        }
        client.update(config.service_client_config('freezer'))
        return [client]
