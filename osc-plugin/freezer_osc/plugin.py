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

"""What python-openstackclient asks of a plugin: a name, versions, and a client.

The name is not ``backup``: that is python-freezerclient's, and both stand side by side.
"""

from freezer_osc import service

API_NAME = 'freezer'
API_VERSION_OPTION = 'os_freezer_api_version'
API_VERSIONS = {'2': 'freezer_osc.service.Service'}
DEFAULT_API_VERSION = '2'


def make_client(instance):
    """The service as the user of this command line reaches it."""
    return service.Service(
        session=instance.session,
        interface=instance.interface,
        region_name=instance.region_name,
        endpoint=instance.sdk_connection.config.get_endpoint('backup'),
    )


def build_option_parser(parser):
    """The service has one version, so there is nothing to choose."""
    return parser
