"""Pages of sessions."""

from django.urls import reverse
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _
from horizon import forms
from horizon import tables
from horizon.utils import memoized

from freezer_dashboard import api
from freezer_dashboard import saying
from freezer_dashboard.content.jobs import when
from freezer_dashboard.content.sessions import forms as session_forms
from freezer_dashboard.content.sessions import tables as session_tables

INDEX = 'horizon:project:backup_sessions:index'
HELP = _('The jobs of a session start together, by its plan. A round is good when all of them '
         'are.')


class IndexView(tables.DataTableView):
    table_class = session_tables.SessionsTable
    page_title = _('Backup Sessions')

    def get_data(self):
        try:
            sessions = api.session_list(self.request)
        except api.ServiceError as error:
            saying.tell(self.request, _('The sessions could not be listed:'), error)
            return []
        return [session_tables.Session(session) for session in sessions]


class SessionFormView(saying.Shown, forms.ModalFormView):
    template_name = 'freezer_dashboard/form.html'
    success_url = reverse_lazy(INDEX)
    refused_url = INDEX
    form_class = session_forms.SessionForm
    form_id = modal_id = 'backup_session_form'

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        context['submit_url'] = reverse(self.submit_url, kwargs=self.kwargs)
        context['help'] = HELP
        return context


class CreateView(SessionFormView):
    page_title = modal_header = submit_label = _('Create Session')
    submit_url = 'horizon:project:backup_sessions:create'


class OneSession:
    """Views of one session, whose id is in the address."""

    @memoized.memoized_method
    def get_session(self):
        return api.session_get(self.request, self.kwargs['session_id'])


class EditView(OneSession, SessionFormView):
    page_title = modal_header = _('Edit Session')
    submit_label = _('Save Changes')
    submit_url = 'horizon:project:backup_sessions:edit'

    def get_form_kwargs(self):
        plan = when.initial(self.get_session().get('schedule') or {})
        return dict(super().get_form_kwargs(), session_id=self.kwargs['session_id'],
                    has_form_plan=plan is not None)

    def get_initial(self):
        session = self.get_session()
        values = when.initial(session.get('schedule') or {}) or {}
        return dict(values, name=session.get('description') or '',
                    hold_off=session.get('hold_off'))


class AttachView(OneSession, SessionFormView):
    form_class = session_forms.AttachForm
    page_title = modal_header = submit_label = _('Add Job')
    submit_url = 'horizon:project:backup_sessions:attach'

    def get_form_kwargs(self):
        # No form for a session that is not there, or is another project's.
        return dict(super().get_form_kwargs(), session_id=self.get_session()['session_id'])


class DetailView(saying.Shown, OneSession, tables.DataTableView):
    table_class = session_tables.MembersTable
    template_name = 'freezer_dashboard/session.html'
    page_title = _('Session: {{ session.name }}')
    refused_url = INDEX

    def get_data(self):
        names = {job['job_id']: job.get('description') for job in api.job_list(self.request)}
        members = self.get_session().get('jobs') or {}
        return [session_tables.Member(job_id, member, names)
                for job_id, member in members.items()]

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        context['session'] = session_tables.Session(self.get_session())
        return context
