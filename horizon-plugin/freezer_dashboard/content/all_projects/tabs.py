"""What the page of one project shows."""

from django.utils.translation import gettext_lazy as _
from horizon import tabs

from freezer_dashboard import api
from freezer_dashboard import coverage
from freezer_dashboard import names
from freezer_dashboard import pins
from freezer_dashboard import saying
from freezer_dashboard import times
from freezer_dashboard.content.agents import tables as agent_tables
from freezer_dashboard.content.all_projects import summary
from freezer_dashboard.content.all_projects import tables as project_tables
from freezer_dashboard.content.backups import tables as backup_tables
from freezer_dashboard.content.backups import views as backup_views
from freezer_dashboard.content.jobs import tables as job_tables
from freezer_dashboard.content.overview import tables as overview_tables
from freezer_dashboard.content.runs import tables as run_tables

# Runs shown at once, the newest.
RUNS = 200


class OfProject(tabs.TableTab):
    """A table of one project, which is read when its tab is looked at."""

    template_name = 'horizon/common/_detail_table.html'
    preload = False

    @property
    def project_id(self):
        return self.tab_group.kwargs['project_id']

    def asked(self, call, refused, **kwargs):
        """What a call gives for the project; None when it was refused, which is said."""
        try:
            return call(self.request, project_id=self.project_id, **kwargs)
        except api.ServiceError as error:
            saying.tell(self.request, refused, error)
            return None


class CoverageTab(OfProject):
    name = _('Coverage')
    slug = 'coverage'
    table_classes = (project_tables.CoverageTable,)
    template_name = 'freezer_dashboard/_coverage.html'

    def get_project_coverage_data(self):
        self.records = self.asked(api.backup_list, _('The backups could not be listed:'),
                                  since=times.now() - summary.DAYS * 86400)
        servers, has_servers = names.servers(self.request, self.project_id)
        volumes, has_volumes = names.volumes(self.request, self.project_id)
        self.unseen = [kind for kind, is_there in ((_('servers'), has_servers),
                                                   (_('volumes'), has_volumes)) if not is_there]
        if self.records is None:
            return []
        covered = coverage.coverage(servers, volumes, self.records, times.now(),
                                    summary.recent_seconds())
        return [overview_tables.Resource(one) for one in covered]

    def get_context_data(self, request, **kwargs):
        context = super().get_context_data(request, **kwargs)
        rows = context['table'].data
        context.update(
            is_known=self.records is not None, unseen=self.unseen,
            is_cut=summary.is_cut(self.records or []), looked_at=len(self.records or []),
            protected=sum(1 for row in rows if row.good), resources=len(rows),
            days=summary.DAYS, hours=summary.recent_seconds() // 3600)
        return context


class JobsTab(OfProject):
    name = _('Jobs')
    slug = 'jobs'
    table_classes = (project_tables.JobsTable,)

    def get_project_jobs_data(self):
        jobs = self.asked(api.job_list, _('The jobs could not be listed:')) or []
        known = names.by_id(self.request, self.project_id) if jobs else {}
        return sorted((job_tables.Job(job, known) for job in jobs),
                      key=lambda job: job.name.lower())


class RunsTab(OfProject):
    name = _('Runs')
    slug = 'runs'
    table_classes = (project_tables.RunsTable,)

    def get_project_runs_data(self):
        runs = self.asked(api.run_list, _('The runs could not be listed:'), most=RUNS) or []
        jobs = run_tables.job_names(self.request, runs, self.project_id)
        return [run_tables.Run(run, jobs) for run in runs]


class BackupsTab(OfProject):
    name = _('Backups')
    slug = 'backups'
    table_classes = (project_tables.BackupsTable,)

    def get_project_backups_data(self):
        records = self.asked(api.backup_list, _('The backups could not be listed:'))
        if not records:
            return []
        known = names.by_id(self.request, self.project_id)
        pinned = backup_views.pins_known(self.request, self.project_id)
        backups = [backup_tables.Backup(record, known, pins.of(record, pinned, times.now()))
                   for record in records]
        return sorted(backups, key=lambda backup: -backup.time_stamp)


class AgentsTab(OfProject):
    name = _('Agents')
    slug = 'agents'
    table_classes = (project_tables.AgentsTable,)

    def get_project_agents_data(self):
        clients = self.asked(api.client_list, _('The agents could not be listed:')) or []
        return [agent_tables.Agent(client, self.project_id) for client in clients]


class ProjectTabs(tabs.TabGroup):
    slug = 'backup_project_tabs'
    tabs = (CoverageTab, JobsTab, RunsTab, BackupsTab, AgentsTab)
    sticky = True
