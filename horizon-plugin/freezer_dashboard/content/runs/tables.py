"""The tables of runs."""

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from django.utils.translation import pgettext_lazy
from horizon import tables

from freezer_dashboard import api
from freezer_dashboard import columns
from freezer_dashboard import facts
from freezer_dashboard import kinds
from freezer_dashboard import saying
from freezer_dashboard import schedules
from freezer_dashboard import searching
from freezer_dashboard import times
from freezer_dashboard.content.jobs import tables as job_tables

ENDED = ('success', 'partial', 'fail', 'aborted')
STATES = (
    ('queued', pgettext_lazy('state of a run', 'Waiting')),
    ('dispatched', pgettext_lazy('state of a run', 'Handed Out')),
    ('running', pgettext_lazy('state of a run', 'Running')),
    ('success', pgettext_lazy('state of a run', 'Success')),
    ('partial', pgettext_lazy('state of a run', 'Incomplete')),
    ('fail', pgettext_lazy('state of a run', 'Failed')),
    ('aborted', pgettext_lazy('state of a run', 'Aborted')),
)
PHASES = {
    'planning': _('Planning'), 'scan': _('Looking through the source'),
    'scanning': _('Looking through the source'), 'transferring': _('Moving data'),
    'read': _('Moving data'), 'committing': _('Finishing'), 'commit': _('Finishing'),
    'restore': _('Restoring'), 'prune': _('Removing'), 'exec': _('Running the command'),
}


class Progress:
    """Where a run stands, as far as the agent has said."""

    def __init__(self, document):
        progress = document.get('progress') or {}
        self.done = progress.get('bytes_done') or 0
        self.total = progress.get('bytes_total')
        self.errors = progress.get('errors') or 0
        phase = progress.get('phase') or ''
        self.phase = str(PHASES.get(phase, phase))
        self.rate = progress.get('rate') or 0
        self.path = progress.get('current_path') or ''
        self.is_ended = document['state'] in ENDED
        self.is_good = document['state'] == 'success'
        self.actions = document.get('actions_total') or 1
        # People count from one; after the end the index is behind the last action.
        self.action = min((document.get('action_index') or 0) + 1, self.actions)

    @property
    def percent(self):
        """Whole percent of the action at work; None while the total is not known."""
        if self.is_good:
            return 100
        if not self.total:
            return None
        return max(0, min(100, int(self.done * 100 / self.total)))

    @property
    def text(self):
        """The same in words; for screen readers too."""
        words = []
        if self.actions > 1 and not self.is_ended:
            words.append(str(_('action %(action)d of %(actions)d') %
                             {'action': self.action, 'actions': self.actions}))
        if self.phase and not self.is_ended:
            words.append(self.phase)
        if self.total and (self.done or not self.is_good):
            words.append(str(_('%(done)s of %(total)s') % {
                'done': facts.people(self.done), 'total': facts.people(self.total)}))
        elif self.done:
            words.append(facts.people(self.done))
        if self.rate and not self.is_ended:
            words.append(str(_('%s/s') % facts.people(self.rate)))
        if self.errors:
            words.append(str(_('%d with errors') % self.errors))
        return ', '.join(words)


class Run:
    """A run's document as a row."""

    def __init__(self, document, jobs=None):
        self.document = document
        self.id = document['run_id']
        self.job_id = document['job_id']
        self.project_id = document['project_id']
        self.is_job_known = jobs is None or self.job_id in jobs
        if self.is_job_known:
            self.job = (jobs or {}).get(self.job_id) or self.job_id
        else:
            self.job = _('deleted job %s') % self.job_id[:8]
        self.client_id = document['client_id']
        self.state = document['state']
        self.created = times.shown(document.get('created_at'))
        self.cause = document.get('cause') or ''
        self.progress = Progress(document)
        self.words = document.get('error') or document.get('waiting_for') or ''

    @property
    def name(self):
        return _('%(job)s, %(moment)s') % {'job': self.job, 'moment': self.created}

    @property
    def took(self):
        start, end = self.document.get('started_at', -1), self.document.get('finished_at', -1)
        if start <= 0:
            return '-'
        return schedules.duration(max(0, (end if end > 0 else times.now()) - start))

    @property
    def settled(self):
        """For Horizon: None while the row is asked for again and again."""
        return True if self.state in ENDED else None

    def searched(self):
        return (self.job, self.client_id, self.words, self.id, dict(STATES)[self.state])


def bar(run):
    return render_to_string('freezer_dashboard/_bar.html', {'run': run, 'progress': run.progress})


def job_link(run):
    if not run.is_job_known:
        return None
    return reverse('horizon:project:backup_jobs:detail', args=(run.job_id,))


class UpdateRow(saying.Row):
    def asked(self, request, run_id):
        run = api.run_get(request, run_id)
        return Run(run, job_names(request, [run]))


def job_names(request, runs, project_id=None):
    """Names of the jobs of some runs; deleted jobs are missing. None when they cannot be had."""
    try:
        if len(runs) == 1:
            jobs = [api.job_get(request, runs[0]['job_id'])]
        else:
            jobs = api.job_list(request, project_id=project_id) if runs else []
    except api.NotThere:
        return {}
    except api.ServiceError:
        return None
    return {job['job_id']: job.get('description') for job in jobs}


class Abort(job_tables.Abort):
    """As of a job, whose run it is."""

    @staticmethod
    def action_present(count):
        return ngettext_lazy('Abort Run', 'Abort Runs', count)

    @staticmethod
    def action_past(count):
        return ngettext_lazy('Asked to abort Run', 'Asked to abort Runs', count)

    def act(self, request, run_id):
        api.job_event(request, saying.table_of(request).get_object_by_id(run_id).job_id, 'abort')

    def allowed(self, request, run=None):
        return run is None or run.state not in ENDED


class JobRunsTable(tables.DataTable):
    created = columns.Column('created', verbose_name=_('Run of'), classes=('text-nowrap',),
                             link='horizon:project:backup_runs:detail')
    state = columns.Column('state', verbose_name=_('State'), display_choices=STATES)
    progress = columns.Column(bar, verbose_name=_('Progress'))
    took = columns.Column('took', verbose_name=_('Took'))
    client_id = columns.Column('client_id', verbose_name=_('Agent'), filters=(kinds.agent,))
    words = columns.Column('words', verbose_name=_('What the Service Says'))
    settled = columns.Column('settled', status=True, hidden=True)

    class Meta:
        name = 'runs'
        verbose_name = _('Runs')
        status_columns = ('settled',)
        row_class = UpdateRow
        row_actions = (Abort,)
        multi_select = False


class RunsTable(JobRunsTable):
    job = columns.Column('job', verbose_name=_('Job'), link=job_link)

    class Meta(JobRunsTable.Meta):
        columns = ('created', 'job', 'state', 'progress', 'took', 'client_id', 'words', 'settled')
        table_actions = (searching.Filter,)
