"""Pages of runs."""

from django import http
from django import shortcuts
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views import generic
from horizon import tables
from horizon import views

from freezer_dashboard import api
from freezer_dashboard import plans
from freezer_dashboard import restores
from freezer_dashboard import saying
from freezer_dashboard.content.backups import server_facts
from freezer_dashboard.content.backups import words
from freezer_dashboard.content.runs import results
from freezer_dashboard.content.runs import tables as run_tables

# Runs shown at once, the newest.
NEWEST = 200
INDEX = 'horizon:project:backup_runs:index'
STATE_CLASSES = {'success': 'text-success', 'fail': 'text-danger', 'partial': 'text-warning',
                 'aborted': 'text-warning'}
CHECKED = _('Nothing was written. The backup was found whole enough to be restored.')
READ_BACK = _('Nothing was written. All of the backup was read back and checked.')
PLANNED = _('Nothing was removed. This is what would be; pins are known to it.')


class IndexView(saying.Refreshed, tables.DataTableView):
    table_class = run_tables.RunsTable
    page_title = _('Backup Runs')

    def get_data(self):
        try:
            runs = api.run_list(self.request, most=NEWEST)
        except api.ServiceError as error:
            saying.tell(self.request, _('The runs could not be listed:'), error)
            return []
        jobs = run_tables.job_names(self.request, runs)
        return [run_tables.Run(run, jobs) for run in runs]


def shown(request, run_id):
    """What the part of the page shows that changes while a run is at work."""
    document = api.run_get(request, run_id)
    run = run_tables.Run(document, run_tables.job_names(request, [document]))
    context = {
        'run': run, 'work': results.of_actions(document),
        'state': dict(run_tables.STATES)[run.state],
        'state_class': STATE_CLASSES.get(run.state, ''),
        'attempts': document.get('attempt') or 0,
    }
    context['live'] = aloud(run, context['state'])
    tried = restores.tried(document)
    if tried and run.state == 'success':
        context['note'] = note(tried)
        if not restores.is_check(tried):
            rows = plans.of_run(document)
            context['is_open'] = plans.is_open(rows or [])
            if not context['is_open']:
                context['restore_url'] = restores.confirm_url(run.client_id, tried)
                context['go'] = words.asked(tried)['go']
            context['server'] = server_facts.plan(request, tried)
            if rows is not None:
                context['plan_url'] = reverse('horizon:project:backup_backups:plan',
                                              args=(run_id,))
    return context


def note(tried):
    """What a plan or a check that ended well means."""
    if tried['action'] == 'admin':
        return PLANNED
    return READ_BACK if restores.is_read_back(tried) else CHECKED


def aloud(run, state):
    """What a screen reader says: the state, and each quarter of the way."""
    percent = run.progress.percent
    if run.progress.is_ended or percent is None:
        return '%s. %s' % (state, run.words) if run.words else str(state)
    return _('%(state)s, %(percent)d percent') % {
        'state': state, 'percent': percent // 25 * 25}


class DetailView(saying.Shown, views.HorizonTemplateView):
    template_name = 'freezer_dashboard/run.html'
    page_title = _('Run: {{ run.name }}')
    refused_url = INDEX

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        context.update(shown(self.request, self.kwargs['run_id']))
        return context


class StateView(generic.View):
    """The changing part of a run's page, for its script."""

    def get(self, request, run_id):
        try:
            context = shown(request, run_id)
        except api.ServiceError as error:
            return http.JsonResponse({'error': str(error)}, status=error.status or 502)
        html = render_to_string('freezer_dashboard/_run.html', context, request=request)
        return http.JsonResponse({'html': html, 'live': context['live'],
                                  'is_ended': context['run'].progress.is_ended})


class FollowView(saying.Shown, views.HorizonTemplateView):
    """Waits for the newest run of a job that has just been made or started."""

    template_name = 'freezer_dashboard/follow.html'
    page_title = _('Waiting for the Run')
    refused_url = INDEX

    def get(self, request, job_id):
        runs = api.run_list(request, job_id=job_id, most=1)
        if runs:
            return shortcuts.redirect(reverse('horizon:project:backup_runs:detail',
                                              args=(runs[0]['run_id'],)))
        # The address's `job_id` is part of the page's context.
        return super().get(request, job_id=job_id)
