"""The jobs of all projects, for an administrator to look at, to start and to stop."""

from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from horizon import tables

from freezer_dashboard import api
from freezer_dashboard import columns
from freezer_dashboard import kinds
from freezer_dashboard import projects
from freezer_dashboard import saying
from freezer_dashboard import searching
from freezer_dashboard.content.jobs import tables as job_tables
from freezer_dashboard.content.runs import tables as run_tables

# Runs shown of one job, the newest.
RUNS = 50


class InItsProject:
    """Events of a job of any project: only an administrator's token is let in there."""

    def act(self, request, job_id):
        project_id = saying.table_of(request).get_object_by_id(job_id).project_id
        api.job_event(request, job_id, self.event, project_id)


class Start(InItsProject, job_tables.Start):
    pass


class Stop(InItsProject, job_tables.Stop):
    pass


class Abort(InItsProject, job_tables.Abort):
    pass


def runs_link(job):
    return reverse('horizon:admin:all_backup_jobs:runs', args=(job.project_id, job.id))


class AllJobsTable(tables.DataTable):
    project = columns.Column('project', verbose_name=_('Project'))
    name = columns.Column('name', verbose_name=_('Name'), link=runs_link)
    what = job_tables.what_column()
    client_id = columns.Column('client_id', verbose_name=_('Agent'), filters=(kinds.agent,))
    plan = columns.Column('plan', verbose_name=_('When'))
    status = columns.Column('status', verbose_name=_('Status'),
                            display_choices=job_tables.STATUSES)
    result = columns.Column('result', verbose_name=_('Last Result'),
                            display_choices=job_tables.RESULTS)
    started = columns.Column('started', verbose_name=_('Last Run'), classes=('text-nowrap',))
    next_run = columns.Column('next_run', verbose_name=_('Next Run'), classes=('text-nowrap',))

    class Meta:
        name = 'all_jobs'
        verbose_name = _('Backup Jobs of All Projects')
        table_actions = (searching.Filter,)
        row_actions = (Start, Stop, Abort)
        multi_select = False


class IndexView(tables.DataTableView):
    table_class = AllJobsTable
    page_title = _('Backup Jobs of All Projects')

    def get_data(self):
        try:
            jobs = api.job_list(self.request, all_projects=True)
        except api.ServiceError as error:
            saying.tell(self.request, _('The jobs could not be listed:'), error)
            return []
        names = projects.names(self.request)
        rows = []
        for document in jobs:
            row = job_tables.Job(document)
            row.project = names.get(row.project_id, row.project_id)
            rows.append(row)
        return sorted(rows, key=lambda row: (row.project, row.name.lower()))


class RunsTable(tables.DataTable):
    """Runs of a job of any project: to read only, as their pages are their project's."""

    created = columns.Column('created', verbose_name=_('Run of'), classes=('text-nowrap',))
    state = columns.Column('state', verbose_name=_('State'), display_choices=run_tables.STATES)
    progress = columns.Column(run_tables.bar, verbose_name=_('Progress'))
    took = columns.Column('took', verbose_name=_('Took'))
    client_id = columns.Column('client_id', verbose_name=_('Agent'), filters=(kinds.agent,))
    words = columns.Column('words', verbose_name=_('What the Service Says'))

    class Meta:
        name = 'runs_of_any'
        verbose_name = _('Runs')
        table_actions = (searching.Filter,)
        multi_select = False


class RunsView(saying.Shown, tables.DataTableView):
    table_class = RunsTable
    page_title = _('Runs of Backup Job {{ job }} of Project {{ project }}')
    refused_url = 'horizon:admin:all_backup_jobs:index'

    def get_data(self):
        runs = api.run_list(self.request, most=RUNS, **self.kwargs)
        return [run_tables.Run(run) for run in runs]

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        project_id, job_id = self.kwargs['project_id'], self.kwargs['job_id']
        context['job'] = api.job_get(self.request, job_id).get('description') or job_id
        context['project'] = projects.names(self.request).get(project_id, project_id)
        return context
