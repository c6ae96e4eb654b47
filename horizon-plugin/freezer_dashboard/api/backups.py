"""Backup records: points in time that can be restored. The stored data are elsewhere."""

from freezer_dashboard.api.transport import call
from freezer_dashboard.api.transport import items
from freezer_dashboard.api.transport import path


def backup_list(request, since=None, until=None, most=None, match=None, project_id=None):
    """Records: those of some epoch times, and those that have some values, when given."""
    bounds = {'time_after': since, 'time_before': until}
    search = {key: int(bound) for key, bound in bounds.items() if bound is not None}
    if match:
        search['match'] = [{key: value} for key, value in match.items()]
    where = path(request, 'backups', project_id=project_id)
    return items(request, where, 'backups', search=search, most=most)


def backup_get(request, backup_id):
    return call(request, 'GET', path(request, 'backups', backup_id))


def backup_delete(request, backup_id):
    """Deletes the record only."""
    call(request, 'DELETE', path(request, 'backups', backup_id))


def retention_plan(request, question):
    """What rules would remove, by the records alone: they know nothing of pins."""
    return call(request, 'POST', path(request, 'backups', 'retention-plan'), body=question)
