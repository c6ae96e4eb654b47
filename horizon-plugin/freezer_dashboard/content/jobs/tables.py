"""The table of jobs."""

from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from django.utils.translation import pgettext_lazy
from horizon import tables

from freezer_dashboard import api
from freezer_dashboard import columns
from freezer_dashboard import kinds
from freezer_dashboard import names
from freezer_dashboard import saying
from freezer_dashboard import schedules
from freezer_dashboard import searching
from freezer_dashboard import times

UNSETTLED = ('running', 'aborting')
# A job that is due this soon is looked at all the time.
SOON_SECONDS = 30
STATUSES = (
    ('', pgettext_lazy('state of a backup job', 'New')),
    ('completed', pgettext_lazy('state of a backup job', 'Completed')),
    ('stop', pgettext_lazy('state of a backup job', 'Stopped')),
    ('scheduled', pgettext_lazy('state of a backup job', 'Scheduled')),
    ('running', pgettext_lazy('state of a backup job', 'Running')),
    ('aborting', pgettext_lazy('state of a backup job', 'Aborting')),
    ('removed', pgettext_lazy('state of a backup job', 'Removed')),
)
RESULTS = (
    ('', '-'),
    ('success', pgettext_lazy('result of a backup job', 'Success')),
    ('fail', pgettext_lazy('result of a backup job', 'Failed')),
    ('aborted', pgettext_lazy('result of a backup job', 'Aborted')),
)


class Job:
    """A job's document as a row."""

    def __init__(self, document, known=None):
        self.document = document
        self.id = document['job_id']
        self.name = document.get('description') or self.id
        self.project_id = document['project_id']
        self.client_id = document['client_id']
        schedule = document['job_schedule']
        self.event = schedule.get('event') or ''
        self.status = schedule.get('status') or ''
        self.result = schedule.get('result') or ''
        self.plan = schedules.describe(schedule)
        self.started = times.shown(schedule.get('time_started'))
        self.next_run = times.shown(document.get('next_run_at'))
        actions = [action['freezer_action'] for action in document['job_actions']]
        self.is_saving = any(action.get('action', 'backup') in ('backup', 'admin')
                             for action in actions)
        self.what = [kinds.describe(action, known) for action in actions] or ['-']

    @property
    def unsettled(self):
        """For Horizon: None while the row is asked for again and again."""
        due = self.document.get('next_run_at') or -1
        is_due = self.status == 'scheduled' and 0 < due <= times.now() + SOON_SECONDS
        return None if self.event or is_due or self.status in UNSETTLED else True

    def searched(self):
        return [self.name, self.client_id, self.id] + self.what


class UpdateRow(saying.Row):
    def asked(self, request, job_id):
        return Job(api.job_get(request, job_id), names.by_id(request))


class Create(tables.LinkAction):
    name = 'create'
    verbose_name = _('Create Job')
    url = 'horizon:project:backup_jobs:create'
    classes = ('ajax-modal',)
    icon = 'plus'


class Event(saying.Told, tables.BatchAction):
    """One of the events that the service takes."""

    event = None

    def act(self, request, job_id):
        api.job_event(request, job_id, self.event)


class Start(Event):
    name = event = 'start'
    icon = 'play'
    failed = _('Not started')
    help_text = _('A job that runs once runs now. A job that repeats runs at its next time.')

    @staticmethod
    def action_present(count):
        return ngettext_lazy('Start Job', 'Start Jobs', count)

    @staticmethod
    def action_past(count):
        return ngettext_lazy('Asked to start Job', 'Asked to start Jobs', count)

    def allowed(self, request, job=None):
        return job is None or job.status in ('', 'stop', 'completed')


class Stop(Event):
    name = event = 'stop'
    icon = 'stop'
    failed = _('Not stopped')
    help_text = _('What runs is finished; after that the job does not run any more until '
                  'somebody starts it.')

    @staticmethod
    def action_present(count):
        return ngettext_lazy('Stop Job', 'Stop Jobs', count)

    @staticmethod
    def action_past(count):
        return ngettext_lazy('Asked to stop Job', 'Asked to stop Jobs', count)

    def allowed(self, request, job=None):
        return job is None or job.status in ('', 'scheduled', 'running')


class Abort(Event):
    name = event = 'abort'
    icon = 'ban'
    action_type = 'danger'
    failed = _('Not aborted')
    help_text = _('What runs is broken off; a backup that is being made is not kept.')

    @staticmethod
    def action_present(count):
        return ngettext_lazy('Abort Job', 'Abort Jobs', count)

    @staticmethod
    def action_past(count):
        return ngettext_lazy('Asked to abort Job', 'Asked to abort Jobs', count)

    def allowed(self, request, job=None):
        return job is None or job.status == 'running'


class Edit(tables.LinkAction):
    name = 'edit'
    verbose_name = _('Edit Job')
    url = 'horizon:project:backup_jobs:edit'
    classes = ('ajax-modal',)
    icon = 'pencil'


class Clone(tables.LinkAction):
    name = 'clone'
    verbose_name = _('Clone Job')
    url = 'horizon:project:backup_jobs:clone'
    classes = ('ajax-modal',)
    icon = 'clone'


class Retention(tables.LinkAction):
    name = 'retention'
    verbose_name = _('Show What Retention Removes')
    url = 'horizon:project:backup_jobs:retention'
    icon = 'calendar-times-o'

    def allowed(self, request, job=None):
        return job is None or job.is_saving


class Delete(saying.Told, tables.DeleteAction):
    failed = _('Not deleted')
    help_text = _('The job goes; backups it has made stay and can be restored.')

    @staticmethod
    def action_present(count):
        return ngettext_lazy('Delete Job', 'Delete Jobs', count)

    @staticmethod
    def action_past(count):
        return ngettext_lazy('Deleted Job', 'Deleted Jobs', count)

    def act(self, request, job_id):
        api.job_delete(request, job_id)


def _lines(texts):
    return format_html_join(
        '', '<div style="overflow-wrap: anywhere">{}</div>', ((text,) for text in texts))


def what_column():
    """The actions of a job, one line each."""
    return columns.Column('what', verbose_name=_('What'), filters=(_lines,))


class JobsTable(tables.DataTable):
    name = columns.Column('name', verbose_name=_('Name'), link='horizon:project:backup_jobs:detail')
    what = what_column()
    client_id = columns.Column('client_id', verbose_name=_('Agent'), filters=(kinds.agent,))
    plan = columns.Column('plan', verbose_name=_('When'))
    status = columns.Column('status', verbose_name=_('Status'), display_choices=STATUSES)
    result = columns.Column('result', verbose_name=_('Last Result'), display_choices=RESULTS)
    started = columns.Column('started', verbose_name=_('Last Run'), classes=('text-nowrap',))
    next_run = columns.Column('next_run', verbose_name=_('Next Run'), classes=('text-nowrap',))
    unsettled = columns.Column('unsettled', status=True, hidden=True)

    class Meta:
        name = 'jobs'
        verbose_name = _('Backup Jobs')
        status_columns = ('unsettled',)
        row_class = UpdateRow
        table_actions = (searching.Filter, Create, Start, Stop, Delete)
        row_actions = (Start, Stop, Abort, Edit, Clone, Retention, Delete)
