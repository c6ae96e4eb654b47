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

"""openstack backup run logs

The service keeps what agents report of a run, and with it the last lines of each attempt's log; the
whole logs stay on the agents' hosts.
"""

import datetime

from osc_lib.cli import parseractions
from osc_lib.command import command
from osc_lib.i18n import _

from freezer_osc import columns
from freezer_osc import find
from freezer_osc import follow
from freezer_osc import run_columns
from freezer_osc import run_step_list


class LogsRun(command.Lister):
    _description = _(
        'Show what the service has noted of a run: begin and end, each attempt at each action with '
        'the last lines of its log, errors, and what could not be saved or restored'
    )

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument('run', metavar='<run>', help=run_columns.RUN_HELP)
        parser.add_argument(
            '--tail',
            metavar='<number>',
            type=int,
            action=parseractions.NonNegativeAction,
            help=_('Only the last entries, this many'),
        )
        return parser

    def take_action(self, parsed_args):
        run = find.run(self.app.client_manager.freezer, parsed_args.run)
        entries = list(of_run(run))
        if parsed_args.tail is not None:
            first = max(0, len(entries) - parsed_args.tail)
            entries = entries[first:]
        return (
            ('Time', 'Action', 'Attempt', 'Message'),
            [(columns.Time(at), action, attempt, text) for at, action, attempt, text in entries],
        )


def of_run(run):
    """Entries of time, number of the action, attempt and text, the oldest first."""
    yield run['created_at'], None, None, _('run made, cause: %s') % run['cause']
    for step in run['steps']:
        yield from _of_step(run, step)
    if run['state'] in follow.FINAL:
        yield run['finished_at'], None, None, follow.standing(run)
    elif run.get('waiting_for'):
        yield None, None, None, _('waits: %s') % run['waiting_for']


def _of_step(run, step):
    number, attempt = step['action_index'] + 1, step['attempt']
    action = run['job_actions'][step['action_index']]['freezer_action']
    said = ' '.join(
        word for word in (action.get('action') or 'backup', action.get('backup_name')) if word
    )
    if step['started_at'] > 0:
        yield step['started_at'], number, attempt, _('%s begins') % said
    # What is being done now has its lines in the run itself.
    lines = step.get('log') or ([] if step['outcome'] else run.get('log') or [])
    for line in lines:
        at, text = _logged(line)
        yield at, number, attempt, text
    for remark in run_step_list.remarks(step.get('result') or {}):
        yield step['finished_at'], number, attempt, remark
    if step['outcome']:
        ended = [said, step['outcome']]
        if step['error']:
            ended.append(step['error'])
        yield step['finished_at'], number, attempt, ': '.join(ended)


def _logged(line):
    """Time in seconds and text of a line that begins with its time."""
    time, _blank, text = line.partition(' ')
    try:
        at = datetime.datetime.fromisoformat(time.replace('Z', '+00:00'))
    except ValueError:
        return None, line
    return int(at.timestamp()), text
