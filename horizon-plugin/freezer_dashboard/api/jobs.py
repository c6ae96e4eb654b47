"""Jobs: what is to be saved or restored, and when."""

from freezer_dashboard.api.transport import call
from freezer_dashboard.api.transport import items
from freezer_dashboard.api.transport import path


def job_list(request, all_projects=False, project_id=None):
    params = {'all_projects': 'true'} if all_projects else None
    where = path(request, 'jobs', project_id=project_id)
    return items(request, where, 'jobs', params=params)


def job_get(request, job_id):
    return call(request, 'GET', path(request, 'jobs', job_id))


def job_create(request, job):
    """Creates a job and returns its id."""
    return call(request, 'POST', path(request, 'jobs'), body=job)['job_id']


def job_update(request, job_id, changes):
    return call(request, 'PATCH', path(request, 'jobs', job_id), body=changes)


def job_delete(request, job_id):
    call(request, 'DELETE', path(request, 'jobs', job_id))


def job_event(request, job_id, event, project_id=None):
    """Asks for start, stop or abort. The service notes it; a conductor acts on it."""
    return call(request, 'POST', path(request, 'jobs', job_id, 'event', project_id=project_id),
                body={event: None})
