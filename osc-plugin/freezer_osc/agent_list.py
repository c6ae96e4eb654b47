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

"""openstack backup agent list"""

from osc_lib.command import command
from osc_lib.i18n import _

from freezer_osc import agent_columns


class ListAgent(command.Lister):
    _description = _(
        'List agents: hosts of the project, and central agents that work for all projects'
    )

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--long',
            action='store_true',
            help=_('List additional fields in output: what they can do'),
        )
        return parser

    def take_action(self, parsed_args):
        service = self.app.client_manager.freezer
        wanted = agent_columns.LIST + (agent_columns.LONG if parsed_args.long else ())
        return (
            tuple(name for _key, name in wanted),
            (
                tuple(agent_columns.value(row['client'], key) for key, _name in wanted)
                for row in service.list('clients')
            ),
        )
