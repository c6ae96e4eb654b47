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

"""openstack backup agent show"""

from osc_lib.command import command
from osc_lib.i18n import _

from freezer_osc import agent_columns
from freezer_osc import find

KEYS = (
    'client_id',
    'hostname',
    'description',
    'is_central',
    'link',
    'agent_version',
    'last_seen_at',
    'supported_actions',
    'supported_modes',
    'supported_storages',
    'supported_engines',
    'uuid',
)


class ShowAgent(command.ShowOne):
    _description = _('Show an agent')

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument('agent', metavar='<agent>', help=_('Agent to show (id or host name)'))
        return parser

    def take_action(self, parsed_args):
        client = find.agent(self.app.client_manager.freezer, parsed_args.agent)
        return KEYS, tuple(agent_columns.value(client, key) for key in KEYS)
