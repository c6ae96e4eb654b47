"""The tables of sessions and of the jobs in one."""

from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from django.utils.translation import pgettext_lazy
from horizon import tables

from freezer_dashboard import api
from freezer_dashboard import columns
from freezer_dashboard import kinds
from freezer_dashboard import saying
from freezer_dashboard import schedules
from freezer_dashboard import times
from freezer_dashboard.content.jobs import tables as job_tables

STATUSES = (
    ('active', pgettext_lazy('status of a session', 'Waiting')),
    ('running', pgettext_lazy('status of a session', 'Running')),
    ('completed', pgettext_lazy('status of a session', 'Completed')),
)


class Session:
    """A session's document as a row."""

    def __init__(self, document):
        self.document = document
        self.id = document['session_id']
        self.name = document.get('description') or self.id
        self.status = document.get('status') or ''
        self.result = document.get('result') or ''
        self.plan = schedules.describe(document.get('schedule') or {})
        self.hold_off = document.get('hold_off')
        self.jobs = len(document.get('jobs') or {})
        self.round = document.get('session_tag')
        self.started = times.shown(document.get('time_start'))
        self.ended = times.shown(document.get('time_end'))


class Create(tables.LinkAction):
    name = 'create'
    verbose_name = _('Create Session')
    url = 'horizon:project:backup_sessions:create'
    classes = ('ajax-modal',)
    icon = 'plus'


class Edit(tables.LinkAction):
    name = 'edit'
    verbose_name = _('Edit Session')
    url = 'horizon:project:backup_sessions:edit'
    classes = ('ajax-modal',)
    icon = 'pencil'


class Attach(tables.LinkAction):
    name = 'attach'
    verbose_name = _('Add Job')
    url = 'horizon:project:backup_sessions:attach'
    classes = ('ajax-modal',)
    icon = 'link'


class Delete(saying.Told, tables.DeleteAction):
    failed = _('Not deleted')
    help_text = _('Its jobs stay and run by themselves.')

    @staticmethod
    def action_present(count):
        return ngettext_lazy('Delete Session', 'Delete Sessions', count)

    @staticmethod
    def action_past(count):
        return ngettext_lazy('Deleted Session', 'Deleted Sessions', count)

    def act(self, request, session_id):
        api.session_delete(request, session_id)


class SessionsTable(tables.DataTable):
    name = columns.Column('name', verbose_name=_('Name'),
                          link='horizon:project:backup_sessions:detail')
    plan = columns.Column('plan', verbose_name=_('When'))
    jobs = columns.Column('jobs', verbose_name=_('Jobs'))
    status = columns.Column('status', verbose_name=_('Status'), display_choices=STATUSES)
    result = columns.Column('result', verbose_name=_('Last Result'),
                            display_choices=job_tables.RESULTS)
    started = columns.Column('started', verbose_name=_('Last Begun'), classes=('text-nowrap',))
    ended = columns.Column('ended', verbose_name=_('Last Ended'), classes=('text-nowrap',))

    class Meta:
        name = 'sessions'
        verbose_name = _('Sessions')
        table_actions = (tables.NameFilterAction, Create, Delete)
        row_actions = (Attach, Edit, Delete)


class Member:
    """A job of a session as a row."""

    def __init__(self, job_id, document, names):
        self.id = job_id
        self.name = names.get(job_id) or job_id
        self.client_id = document.get('client_id')
        self.status = document.get('status') or ''
        self.result = document.get('result') or ''
        self.started = times.shown(document.get('time_started'))
        self.ended = times.shown(document.get('time_ended'))


class AttachHere(Attach):
    def get_link_url(self, datum=None):
        return reverse(self.url, args=(self.table.kwargs['session_id'],))


class Detach(saying.Told, tables.DeleteAction):
    name = 'detach'
    failed = _('Not taken out')
    help_text = _('The job stays, stopped, until somebody starts it.')

    @staticmethod
    def action_present(count):
        return ngettext_lazy('Take Job out', 'Take Jobs out', count)

    @staticmethod
    def action_past(count):
        return ngettext_lazy('Took Job out', 'Took Jobs out', count)

    def act(self, request, job_id):
        api.session_remove_job(request, saying.table_of(request).kwargs['session_id'], job_id)


def job_link(member):
    return reverse('horizon:project:backup_jobs:detail', args=(member.id,))


class MembersTable(tables.DataTable):
    name = columns.Column('name', verbose_name=_('Job'), link=job_link)
    client_id = columns.Column('client_id', verbose_name=_('Agent'), filters=(kinds.agent,))
    status = columns.Column('status', verbose_name=_('Status'),
                            display_choices=job_tables.STATUSES)
    result = columns.Column('result', verbose_name=_('Result'), display_choices=job_tables.RESULTS)
    started = columns.Column('started', verbose_name=_('Begun'), classes=('text-nowrap',))
    ended = columns.Column('ended', verbose_name=_('Ended'), classes=('text-nowrap',))

    class Meta:
        name = 'members'
        verbose_name = _('Jobs of this Session')
        table_actions = (AttachHere, Detach)
        row_actions = (Detach,)
