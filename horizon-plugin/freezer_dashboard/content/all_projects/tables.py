"""The table of projects, and those of one of them: as in its own panels, but to read only.

Their links lead to pages for administrators; those of the project panels show the user's own project.
"""

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from horizon import tables

from freezer_dashboard import columns
from freezer_dashboard import searching
from freezer_dashboard.content.agents import tables as agent_tables
from freezer_dashboard.content.all_jobs import views as all_jobs
from freezer_dashboard.content.backups import tables as backup_tables
from freezer_dashboard.content.overview import tables as overview_tables


class ProjectsTable(tables.DataTable):
    name = columns.Column('name', verbose_name=_('Project'),
                          link='horizon:admin:backup_projects:detail')
    jobs = columns.Column('jobs', verbose_name=_('Jobs'))
    failed = columns.Column('failed', verbose_name=_('Last Run Failed'),
                            help_text=_('Jobs whose last run has failed.'))
    agents = columns.Column('agents', verbose_name=_('Own Agents'),
                            help_text=_('Without those that serve all projects.'))
    newest = columns.Column('newest', verbose_name=_('Newest Good Backup'),
                            classes=('text-nowrap',))
    stored_bytes = columns.Column('stored_bytes', verbose_name=_('Stored'))

    def get_prev_pagination_string(self):
        return self._found(super().get_prev_pagination_string())

    def get_pagination_string(self):
        return self._found(super().get_pagination_string())

    def _found(self, query):
        """The next page is one of what was looked for, too."""
        wanted = self.request.GET.get('project')
        return '%s&%s' % (query, urlencode({'project': wanted})) if wanted else query

    class Meta:
        name = 'backup_projects'
        verbose_name = _('Backups of All Projects')
        multi_select = False


def resource_link(resource):
    if resource.kind_slug == 'server':
        return reverse('horizon:admin:instances:detail', args=(resource.resource_id,))
    return reverse('horizon:admin:volumes:detail', args=(resource.resource_id,))


class CoverageTable(overview_tables.CoverageTable):
    name = columns.Column('name', verbose_name=_('Name'), link=resource_link)

    class Meta:
        name = 'project_coverage'
        verbose_name = _('Servers and Volumes')
        status_columns = ('good',)
        table_actions = (tables.NameFilterAction,)
        multi_select = False


class JobsTable(all_jobs.AllJobsTable):
    class Meta:
        name = 'project_jobs'
        verbose_name = _('Backup Jobs')
        columns = ('name', 'what', 'client_id', 'plan', 'status', 'result', 'started', 'next_run')
        table_actions = (searching.Filter,)
        multi_select = False


def runs_link(run):
    """The runs of the same job."""
    if not run.is_job_known:
        return None
    return reverse('horizon:admin:all_backup_jobs:runs', args=(run.project_id, run.job_id))


class RunsTable(all_jobs.RunsTable):
    job = columns.Column('job', verbose_name=_('Job'), link=runs_link)

    class Meta:
        name = 'project_runs'
        verbose_name = _('Runs')
        columns = ('created', 'job', 'state', 'progress', 'took', 'client_id', 'words')
        table_actions = (searching.Filter,)
        multi_select = False


class BackupsTable(backup_tables.BackupsTable):
    moment = columns.Column('moment', verbose_name=_('Point in Time'), classes=('text-nowrap',))

    class Meta:
        name = 'project_backups'
        verbose_name = _('Backups')
        table_actions = (searching.Filter,)
        multi_select = False


class AgentsTable(agent_tables.AgentsTable):
    class Meta:
        name = 'project_agents'
        verbose_name = _('Agents')
        table_actions = (tables.NameFilterAction,)
        multi_select = False
