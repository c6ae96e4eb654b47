"""Runs: the firings of jobs, newest first."""

from freezer_dashboard.api.transport import call
from freezer_dashboard.api.transport import items
from freezer_dashboard.api.transport import path


def run_list(request, job_id=None, state=None, most=None, project_id=None):
    match = [{'state': state}] if state else []
    where = path(request, *(('jobs', job_id, 'runs') if job_id else ('runs',)),
                 project_id=project_id)
    return items(request, where, 'runs', search={'match': match}, most=most)


def run_get(request, run_id):
    return call(request, 'GET', path(request, 'runs', run_id))
