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

"""The resources load as heat-engine loads them, and their schemas are sound."""

import os
import unittest

from heat.common import plugin_loader
from heat.engine import resource

import freezer_heat

TYPES = {
    'OS::Freezer::Action',
    'OS::Freezer::Job',
    'OS::Freezer::ProtectionPolicy',
    'OS::Freezer::RestoredVolume',
    'OS::Freezer::Session',
}


def loaded():
    folder = os.path.join(os.path.dirname(freezer_heat.__file__), 'resources')
    package = plugin_loader.create_subpackage([folder], 'heat.engine', 'freezer_under_test')
    mapping = {}
    for module in plugin_loader.load_modules(package):
        mapping.update(module.resource_mapping())
    return mapping


class LoadingTest(unittest.TestCase):

    def test_every_type_is_there_and_explains_itself(self):
        mapping = loaded()
        self.assertEqual(TYPES, set(mapping))
        for name, kind in mapping.items():
            self.assertTrue(issubclass(kind, resource.Resource), name)
            self.assertTrue(kind.__doc__, name)
            for key, schema in kind.properties_schema.items():
                self.assertTrue(schema.description, (name, key))
                schema.validate()
            for key, schema in kind.attributes_schema.items():
                self.assertTrue(schema.description, (name, key))

    def test_nothing_that_heat_needs_is_hidden(self):
        for name, kind in loaded().items():
            for key in ('ACTIONS', 'STATUSES', 'BASE_ATTRIBUTES'):
                self.assertIs(getattr(kind, key), getattr(resource.Resource, key), (name, key))
