"""The jobs of all projects, for an administrator to look at and to stop."""

from django.utils.translation import gettext_lazy as _
from horizon import tables

from freezer_dashboard import api
from freezer_dashboard import kinds
from freezer_dashboard import projects
from freezer_dashboard import saying
from freezer_dashboard.content.jobs import tables as job_tables


class InItsProject:
    """Events of a job of any project: only an administrator's token is let in there."""

    def act(self, request, job_id):
        project_id = self.table.get_object_by_id(job_id).project_id
        api.job_event(request, job_id, self.event, project_id)


class Stop(InItsProject, job_tables.Stop):
    pass


class Abort(InItsProject, job_tables.Abort):
    pass


class AllJobsTable(tables.DataTable):
    project = tables.Column('project', verbose_name=_('Project'))
    name = tables.Column('name', verbose_name=_('Name'))
    what = job_tables.what_column()
    client_id = tables.Column('client_id', verbose_name=_('Agent'), filters=(kinds.agent,))
    plan = tables.Column('plan', verbose_name=_('When'))
    status = tables.Column('status', verbose_name=_('Status'),
                           display_choices=job_tables.STATUSES)
    result = tables.Column('result', verbose_name=_('Last Result'),
                           display_choices=job_tables.RESULTS)
    started = tables.Column('started', verbose_name=_('Last Run'), classes=('text-nowrap',))
    next_run = tables.Column('next_run', verbose_name=_('Next Run'), classes=('text-nowrap',))

    class Meta:
        name = 'all_jobs'
        verbose_name = _('Backup Jobs of All Projects')
        table_actions = (job_tables.Filter,)
        row_actions = (Stop, Abort)
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
