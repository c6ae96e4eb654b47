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

"""openstack backup run list"""

from osc_lib.cli import parseractions
from osc_lib.command import command
from osc_lib.i18n import _

from freezer_osc import find
from freezer_osc import run_columns

STATES = ('queued', 'dispatched', 'running', 'success', 'partial', 'fail', 'aborted')


class ListRun(command.Lister):
    _description = _('List runs of jobs, the newest first')

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument('--job', metavar='<job>', help=_('Only runs of this job (name or id)'))
        parser.add_argument(
            '--agent', metavar='<agent>', help=_('Only runs of this agent (id or host name)')
        )
        parser.add_argument(
            '--state',
            metavar='<state>',
            choices=STATES,
            help=_('Only runs in this state: %s') % ', '.join(STATES),
        )
        parser.add_argument(
            '--limit',
            metavar='<number>',
            type=int,
            default=100,
            action=parseractions.NonNegativeAction,
            help=_('Most runs to list; 0 lists all (default: 100)'),
        )
        parser.add_argument(
            '--long', action='store_true', help=_('List additional fields in output')
        )
        return parser

    def take_action(self, parsed_args):
        service = self.app.client_manager.freezer
        match = []
        if parsed_args.job:
            match.append({'job_id': job_id(service, parsed_args.job)})
        if parsed_args.agent:
            match.append({'client_id': find.agent(service, parsed_args.agent)['client_id']})
        if parsed_args.state:
            match.append({'state': parsed_args.state})
        wanted = run_columns.LIST + (run_columns.LONG if parsed_args.long else ())
        runs = service.list(
            'runs', search={'match': match} if match else None, limit=parsed_args.limit or None
        )
        names = tuple(name for _key, name in wanted)
        return names, (tuple(run_columns.value(run, key) for key, _name in wanted) for run in runs)


def job_id(service, text):
    """Also the id of a job that was deleted: its runs are still there."""
    if find.newest_run(service, text) is not None:
        return text
    return find.job(service, text)['job_id']
