"""Pages of jobs."""

from django.urls import reverse
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from horizon import forms
from horizon import tables
from horizon import tabs
from horizon import workflows
from horizon.utils import memoized

from freezer_dashboard import api
from freezer_dashboard import names
from freezer_dashboard import saying
from freezer_dashboard import schedules
from freezer_dashboard.content.jobs import forms as job_forms
from freezer_dashboard.content.jobs import tables as job_tables
from freezer_dashboard.content.jobs import tabs as job_tabs
from freezer_dashboard.content.jobs import workflows as job_workflows

INDEX = 'horizon:project:backup_jobs:index'


class IndexView(tables.DataTableView):
    table_class = job_tables.JobsTable
    page_title = _('Backup Jobs')

    def get_data(self):
        try:
            jobs = api.job_list(self.request)
        except api.ServiceError as error:
            saying.tell(self.request, _('The jobs could not be listed:'), error)
            return []
        known = names.by_id(self.request) if jobs else {}
        return sorted((job_tables.Job(job, known) for job in jobs),
                      key=lambda job: job.name.lower())


class CreateView(saying.Shown, workflows.WorkflowView):
    workflow_class = job_workflows.CreateJob
    page_title = _('Create Backup Job')
    refused_url = INDEX

    def get_initial(self):
        # What the overview suggests to protect.
        return {key: self.request.GET[key] for key in ('kind', 'server', 'volume')
                if key in self.request.GET}


class OneJob(saying.Shown):
    """Views of one job, whose id is in the address."""

    refused_url = INDEX

    @memoized.memoized_method
    def get_job(self):
        return api.job_get(self.request, self.kwargs['job_id'])


class JobForm(OneJob, forms.ModalFormView):
    template_name = 'freezer_dashboard/form.html'
    success_url = reverse_lazy(INDEX)
    form_id = modal_id = 'backup_job_form'

    def get_form_kwargs(self):
        return dict(super().get_form_kwargs(), job_id=self.kwargs['job_id'])

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        context['submit_url'] = reverse(self.submit_url, args=(self.kwargs['job_id'],))
        context['help'] = self.help_text
        return context


class EditView(JobForm):
    form_class = job_forms.EditJob
    page_title = modal_header = _('Edit Backup Job')
    submit_label = _('Save Changes')
    submit_url = 'horizon:project:backup_jobs:edit'
    help_text = _('A changed plan holds from the next run on. What the job saves stays as it '
                  'is: for another thing, make another job.')

    def get_form_kwargs(self):
        plan = schedules.form_values(self.get_job()['job_schedule'])
        return dict(super().get_form_kwargs(), has_form_plan=plan is not None)

    def get_initial(self):
        job = self.get_job()
        values = schedules.form_values(job['job_schedule']) or {}
        for key in ('first', 'last'):
            if key in values:
                values[key] = timezone.localtime(values[key])
        return dict(values, name=job.get('description') or '', agent=job['client_id'])


class CloneView(JobForm):
    form_class = job_forms.CloneJob
    page_title = modal_header = _('Clone Backup Job')
    submit_label = _('Clone Job')
    submit_url = 'horizon:project:backup_jobs:clone'
    help_text = _('The copy does the same by the same plan. It waits until it is started. Both '
                  'add to the same chain of backups, as they save under the same name.')

    def get_initial(self):
        job = self.get_job()
        return {'name': _('%s (copy)') % (job.get('description') or job['job_id'])}


class DetailView(OneJob, tabs.TabbedTableView):
    tab_group_class = job_tabs.JobTabs
    template_name = 'horizon/common/_detail.html'
    page_title = '{{ job.name }}'

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        job = job_tables.Job(self.get_job())
        table = job_tables.JobsTable(self.request)
        context['job'] = job
        context['url'] = reverse(INDEX)
        context['actions'] = table.render_row_actions(job)
        return context

    def get_tabs(self, request, **kwargs):
        return super().get_tabs(request, job=self.get_job(), **kwargs)
