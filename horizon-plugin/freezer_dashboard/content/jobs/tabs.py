"""What the page of a job shows."""

from django.utils.translation import gettext_lazy as _
from horizon import tabs

from freezer_dashboard import api
from freezer_dashboard import facts
from freezer_dashboard import kinds
from freezer_dashboard import names
from freezer_dashboard import saying
from freezer_dashboard.content.jobs import tables as job_tables
from freezer_dashboard.content.runs import tables as run_tables

# Runs shown of one job; the others are in the panel of runs.
RUNS = 50


class OverviewTab(tabs.Tab):
    name = _('Overview')
    slug = 'overview'
    template_name = 'freezer_dashboard/job.html'

    def get_context_data(self, request):
        job = self.tab_group.kwargs['job']
        known = names.by_id(request)
        work = [dict(action, words=kinds.describe(action['freezer_action'], known),
                     facts=facts.of(action['freezer_action']))
                for action in job['job_actions']]
        schedule = facts.of(job['job_schedule'], {
            'status': dict(job_tables.STATUSES), 'result': dict(job_tables.RESULTS)})
        return {'job': job_tables.Job(job, known), 'work': work, 'schedule': schedule,
                'document': job}


class RunsTab(tabs.TableTab):
    name = _('Runs')
    slug = 'runs'
    table_classes = (run_tables.JobRunsTable,)
    template_name = 'horizon/common/_detail_table.html'
    preload = False

    def get_runs_data(self):
        job_id = self.tab_group.kwargs['job_id']
        try:
            runs = api.run_list(self.request, job_id=job_id, most=RUNS)
        except api.ServiceError as error:
            saying.tell(self.request, _('The runs could not be listed:'), error)
            return []
        return [run_tables.Run(run) for run in runs]


class JobTabs(tabs.TabGroup):
    slug = 'job_tabs'
    tabs = (OverviewTab, RunsTab)
    sticky = True
