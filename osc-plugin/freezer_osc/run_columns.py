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

"""How a run is shown."""

from osc_lib.i18n import _

from freezer_osc import columns

LIST = (
    ('run_id', 'ID'),
    ('job_id', 'Job'),
    ('client_id', 'Agent'),
    ('state', 'State'),
    ('due_at', 'Due'),
    ('finished_at', 'Finished'),
    ('error', 'Error'),
)
LONG = (
    ('cause', 'Cause'),
    ('attempt', 'Attempt'),
    ('bytes_done', 'Read'),
    ('bytes_stored', 'Stored'),
    ('started_at', 'Started'),
    ('waiting_for', 'Waiting For'),
)
TIMES = ('due_at', 'created_at', 'started_at', 'finished_at')
SIZES = ('bytes_done', 'bytes_total', 'bytes_stored')
SHOW = (
    'run_id',
    'job_id',
    'client_id',
    'state',
    'error',
    'cause',
    'waiting_for',
    'abort_requested',
    'actions_total',
    'action_index',
    'attempt',
    'losses',
    'due_at',
    'created_at',
    'started_at',
    'finished_at',
    'phase',
    'bytes_done',
    'bytes_total',
    'bytes_stored',
    'files_done',
    'files_total',
    'errors',
    'current_path',
    'project_id',
    'request_id',
)


def value(run, key):
    """One value of a run or of its progress."""
    found = run[key] if key in run else (run.get('progress') or {}).get(key)
    if key in TIMES:
        return columns.Time(found)
    if key in SIZES:
        return columns.Size(found)
    return found


def shown(run):
    """Names and values for a command that shows one run."""
    return SHOW, tuple(value(run, key) for key in SHOW)


RUN_HELP = _('Run (id), or job (name or id) whose newest run is meant')
