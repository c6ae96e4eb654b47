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

"""openstack backup run step list"""

from osc_lib.command import command
from osc_lib.i18n import _

from freezer_osc import columns
from freezer_osc import find
from freezer_osc import run_columns


class ListRunStep(command.Lister):
    _description = _('List what a run did: each attempt at each of its actions, with its error')

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument('run', metavar='<run>', help=run_columns.RUN_HELP)
        parser.add_argument(
            '--long',
            action='store_true',
            help=_('List additional fields in output: what could not be saved or restored, notes'),
        )
        return parser

    def take_action(self, parsed_args):
        run = find.run(self.app.client_manager.freezer, parsed_args.run)
        names = (
            'Action',
            'Kind',
            'Backup Name',
            'Attempt',
            'Outcome',
            'Started',
            'Finished',
            'Error',
        )
        if parsed_args.long:
            names += ('Exit Code', 'Remarks')
        return names, [_row(run, step, parsed_args.long) for step in run['steps']]


def _row(run, step, is_long):
    action = run['job_actions'][step['action_index']]['freezer_action']
    row = (
        step['action_index'] + 1,
        action.get('action'),
        action.get('backup_name'),
        step['attempt'],
        step['outcome'] or 'running',
        columns.Time(step['started_at']),
        columns.Time(step['finished_at']),
        step['error'],
    )
    if is_long:
        row += (step['exit_code'], columns.Words(remarks(step.get('result') or {})))
    return row


def remarks(result):
    """What the step noted beside its numbers."""
    lines = []
    for part in ('report', 'restore'):
        document = result.get(part) or {}
        lines += ['%(kind)s %(path)s: %(reason)s' % row for row in document.get('problems') or []]
        lines += [
            str(note) for key in ('warnings', 'notes', 'failed') for note in document.get(key) or []
        ]
    lines += [str(what) for what in (result.get('backup_metadata') or {}).get('failed') or []]
    return lines
