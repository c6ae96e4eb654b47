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

"""Waits for a run, showing how far it is: a bar on a terminal, a line at each change elsewhere."""

import sys
import time

from osc_lib import exceptions
from osc_lib.i18n import _

from freezer_osc import columns
from freezer_osc import find

FINAL = ('success', 'partial', 'fail', 'aborted')
BAR = 30
# Seconds between two looks: soon at first, as most runs are short.
PAUSES = (0.5, 1, 1, 2)
PAUSE = 3


class Follower:
    """Follows runs of a service; says what it sees on standard error, so that output stays data."""

    def __init__(self, service, stream=None, sleep=time.sleep):
        self.service = service
        self.stream = stream or sys.stderr
        self.sleep = sleep
        self._last = None

    def first_run(self, job_id):
        """The newest run of a job that was just made, as soon as there is one."""
        for pause in _pauses():
            run = find.newest_run(self.service, job_id)
            if run is not None:
                return run
            self._show(_('waiting for the run to begin'))
            self.sleep(pause)

    def to_end(self, run_id):
        """The whole run, when it has ended."""
        for pause in _pauses():
            run = self.service.get('runs', run_id)
            self._show(standing(run), share(run), figures(run))
            if run['state'] in FINAL:
                self._end_line()
                return run
            self.sleep(pause)

    def _show(self, text, done=None, numbers=''):
        if self.stream.isatty():
            line = ', '.join(part for part in (text, numbers) if part)
            self.stream.write('\r\033[K' + bar(done) + line)
        elif text != self._last:
            self.stream.write(text + '\n')
        self._last = text
        self.stream.flush()

    def _end_line(self):
        if self.stream.isatty():
            self.stream.write('\n')


def _pauses():
    yield from PAUSES
    while True:
        yield PAUSE


def share(run):
    """How much of the current action is done, 0 to 1; None where nobody knows."""
    if run['state'] in FINAL:
        return 1 if run['state'] in ('success', 'partial') else None
    progress = run.get('progress') or {}
    for what in ('bytes', 'files'):
        total = progress.get(what + '_total')
        if total:
            return min(progress.get(what + '_done', 0) / total, 1)
    return None


def bar(done):
    """A bar for the share that is done, or nothing."""
    if done is None:
        return ''
    filled = int(done * BAR)
    return '[%s%s] %3d%% ' % ('=' * filled, ' ' * (BAR - filled), int(done * 100))


def standing(run):
    """One line without figures, so that it changes only when something happens."""
    words = [run['state']]
    if run['state'] in FINAL:
        if run.get('error'):
            words.append(run['error'])
        return ': '.join(words)
    if run['actions_total'] > 1:
        words.append(
            _('action %(one)d of %(all)d')
            % {'one': run['action_index'] + 1, 'all': run['actions_total']}
        )
    if run['attempt'] > 1:
        words.append(_('attempt %d') % run['attempt'])
    if run.get('waiting_for'):
        words.append(run['waiting_for'])
    phase = (run.get('progress') or {}).get('phase')
    if phase and run['state'] == 'running':
        words.append(phase)
    return ', '.join(words)


def figures(run):
    """The numbers of the progress, for people."""
    progress = run.get('progress') or {}
    words = []
    if progress.get('bytes_done'):
        words.append(columns.size_text(progress['bytes_done']))
    if progress.get('files_done'):
        words.append(_('%d files') % progress['files_done'])
    if progress.get('errors'):
        words.append(_('%d errors') % progress['errors'])
    return ', '.join(words)


def failure(run):
    """Why a run that has ended did not end well, or None. Partial is not success."""
    if run['state'] == 'success':
        return None
    return _('Run %(run)s ended as %(state)s: %(error)s') % {
        'run': run['run_id'],
        'state': run['state'],
        'error': run.get('error') or _('see its steps'),
    }


def ensure_success(run):
    """Ends the command with the run's own error unless the run was a success."""
    text = failure(run)
    if text:
        raise exceptions.CommandError(text)
