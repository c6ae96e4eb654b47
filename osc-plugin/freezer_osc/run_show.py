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

"""openstack backup run show"""

from osc_lib.command import command
from osc_lib.i18n import _

from freezer_osc import find
from freezer_osc import run_columns


class ShowRun(command.ShowOne):
    _description = _('Show a run')

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument('run', metavar='<run>', help=run_columns.RUN_HELP)
        return parser

    def take_action(self, parsed_args):
        run = find.run(self.app.client_manager.freezer, parsed_args.run)
        return run_columns.shown(run)
