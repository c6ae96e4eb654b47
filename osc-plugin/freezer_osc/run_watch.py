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

"""openstack backup run watch"""

from osc_lib.i18n import _

from freezer_osc import find
from freezer_osc import follow
from freezer_osc import run_columns
from freezer_osc import verdict


class WatchRun(verdict.ShowVerdict):
    _description = _('Follow a run to its end; the exit status is 0 only if it was a success')

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument('run', metavar='<run>', help=run_columns.RUN_HELP)
        return parser

    def take_action(self, parsed_args):
        service = self.app.client_manager.freezer
        run = find.run(service, parsed_args.run)
        ended = follow.Follower(service).to_end(run['run_id'])
        self.failure = follow.failure(ended)
        return run_columns.shown(ended)
