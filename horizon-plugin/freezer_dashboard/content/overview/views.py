"""The page that says how well the project is protected."""

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from horizon import tables

from freezer_dashboard import api
from freezer_dashboard import coverage
from freezer_dashboard import facts
from freezer_dashboard import names
from freezer_dashboard import saying
from freezer_dashboard import times
from freezer_dashboard.content.jobs import tables as job_tables
from freezer_dashboard.content.overview import chart
from freezer_dashboard.content.overview import tables as overview_tables
from freezer_dashboard.content.runs import tables as run_tables

DAYS = 30
# Jobs that run next, and runs that were last.
SHORT = 5


class IndexView(tables.DataTableView):
    table_class = overview_tables.CoverageTable
    template_name = 'freezer_dashboard/overview.html'
    page_title = _('Backup Overview')

    def asked(self, call, what, *args, **kwargs):
        """A part of the page; what cannot be had is said, and the rest is shown."""
        try:
            return call(self.request, *args, **kwargs)
        except api.ServiceError as error:
            saying.tell(self.request, what, error)
            return None

    def get_data(self):
        self.records = self.asked(api.backup_list, _('The backups could not be listed:'),
                                  since=times.now() - DAYS * 86400)
        servers, has_servers = names.servers(self.request)
        volumes, has_volumes = names.volumes(self.request)
        self.unseen = [kind for kind, is_there in ((_('servers'), has_servers),
                                                   (_('volumes'), has_volumes)) if not is_there]
        if self.records is None:
            return []
        hours = getattr(settings, 'FREEZER_RECENT_HOURS', 26)
        covered = coverage.coverage(servers, volumes, self.records, times.now(), hours * 3600)
        return [overview_tables.Resource(one) for one in covered]

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        rows = self.table.data
        context['protected'] = sum(1 for row in rows if row.good)
        context['resources'] = len(rows)
        context['unseen'] = self.unseen
        context['days'] = DAYS
        context['hours'] = getattr(settings, 'FREEZER_RECENT_HOURS', 26)
        context['chart'] = chart.drawing(
            coverage.stored_by_day(self.records or [], times.now(), DAYS))
        context['usage'] = self.get_usage()
        context.update(self.get_runs())
        return context

    def get_usage(self):
        usage = self.asked(api.usage_show, _('The usage could not be read:')) or {}
        rows = []
        for key, label in (('jobs', _('Jobs')), ('runs', _('Runs at work')),
                           ('stored_bytes', _('Stored'))):
            if key in usage:
                show = facts.people if key == 'stored_bytes' else str
                limit = usage[key]['limit']
                rows.append((label, show(usage[key]['used']),
                             show(limit) if limit >= 0 else _('no limit')))
        return rows

    def get_runs(self):
        jobs = self.asked(api.job_list, _('The jobs could not be listed:')) or []
        runs = self.asked(api.run_list, _('The runs could not be listed:'), most=SHORT) or []
        known = {job['job_id']: job.get('description') for job in jobs}
        due = sorted((job for job in jobs if (job.get('next_run_at') or -1) > 0),
                     key=lambda job: job['next_run_at'])
        states = dict(run_tables.STATES)
        shown = [run_tables.Run(run, known) for run in runs]
        for run in shown:
            run.state_words = states[run.state]
        return {'next': [job_tables.Job(job) for job in due[:SHORT]], 'last': shown}
