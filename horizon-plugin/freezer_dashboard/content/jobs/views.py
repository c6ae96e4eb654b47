"""Pages of jobs."""

from django import shortcuts
from django.urls import reverse
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _
from horizon import forms
from horizon import messages
from horizon import tables
from horizon import tabs
from horizon import views
from horizon import workflows
from horizon.utils import memoized

from freezer_dashboard import api
from freezer_dashboard import choices
from freezer_dashboard import facts
from freezer_dashboard import kinds
from freezer_dashboard import names
from freezer_dashboard import restores
from freezer_dashboard import retention
from freezer_dashboard import saying
from freezer_dashboard.content.jobs import forms as job_forms
from freezer_dashboard.content.jobs import tables as job_tables
from freezer_dashboard.content.jobs import tabs as job_tabs
from freezer_dashboard.content.jobs import when
from freezer_dashboard.content.jobs import workflows as job_workflows

INDEX = 'horizon:project:backup_jobs:index'
RULE_KEYS = [key for key, _label in retention.RULES]


class IndexView(saying.Refreshed, tables.DataTableView):
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
        plan = when.initial(self.get_job()['job_schedule'])
        return dict(super().get_form_kwargs(), has_form_plan=plan is not None)

    def get_initial(self):
        job = self.get_job()
        values = when.initial(job['job_schedule']) or {}
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


class RetentionView(OneJob, views.HorizonTemplateView):
    """What would be removed of what a job has saved, by its own rules or by others that are tried."""

    template_name = 'freezer_dashboard/retention.html'
    page_title = _('Retention: {{ job.name }}')

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        job, asked = self.get_job(), self.request.GET
        form = job_forms.RulesForm(asked if any(key in asked for key in RULE_KEYS) else None)
        rules = form.rules() if form.is_valid() else {}
        own = retention.of_job(job)
        context.update(job=job_tables.Job(job), form=form, is_own=bool(own) and not rules,
                       own=[retention.words(action) for action in own])
        if not form.errors and (rules or own):
            context.update(self.get_plan(job, rules))
            context['can_set'] = bool(rules) and retention.can_be_set(job)
        return context

    def post(self, request, *args, **kwargs):
        """Gives the job the rules that were tried."""
        job, form = self.get_job(), job_forms.RulesForm(request.POST)
        rules = form.rules() if form.is_valid() else {}
        if rules and retention.can_be_set(job):
            api.job_update(request, job['job_id'], {'job_actions': retention.replaced(job, rules)})
            messages.success(request, _('The job removes by these rules after each run.'))
        return shortcuts.redirect(reverse('horizon:project:backup_jobs:retention',
                                          args=(job['job_id'],)))

    def get_plan(self, job, rules):
        question = dict(rules, job_id=job['job_id'])
        try:
            plan = api.retention_plan(self.request, question)
        except api.NotThere:
            raise
        except api.ServiceError as error:
            return {'refused': str(error)}
        backups, size = retention.totals(plan)
        is_driven = choices.is_driven(self.request, job['client_id'])
        return {
            'plan': retention.recorded(plan), 'notes': plan['notes'], 'backups': backups,
            'size': facts.people(size), 'polls': None if is_driven else restores.POLLS,
            'removals': [(action.get('backup_name') or kinds.describe(action),
                          restores.confirm_url(job['client_id'], action))
                         for action in retention.removals(job, rules)] if is_driven else []}


class DetailView(saying.Refreshed, OneJob, tabs.TabbedTableView):
    tab_group_class = job_tabs.JobTabs
    template_name = 'freezer_dashboard/tabs.html'
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
