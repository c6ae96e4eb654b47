"""Sessions: jobs that start together."""

from freezer_dashboard.api.transport import call
from freezer_dashboard.api.transport import items
from freezer_dashboard.api.transport import path


def session_list(request):
    return items(request, path(request, 'sessions'), 'sessions')


def session_get(request, session_id):
    return call(request, 'GET', path(request, 'sessions', session_id))


def session_create(request, session):
    return call(request, 'POST', path(request, 'sessions'), body=session)['session_id']


def session_update(request, session_id, changes):
    return call(request, 'PATCH', path(request, 'sessions', session_id), body=changes)


def session_delete(request, session_id):
    call(request, 'DELETE', path(request, 'sessions', session_id))


def session_add_job(request, session_id, job_id):
    call(request, 'PUT', path(request, 'sessions', session_id, 'jobs', job_id))


def session_remove_job(request, session_id, job_id):
    call(request, 'DELETE', path(request, 'sessions', session_id, 'jobs', job_id))
