"""Backup records: points in time that can be restored. The stored data are elsewhere."""

from freezer_dashboard.api.transport import call
from freezer_dashboard.api.transport import items
from freezer_dashboard.api.transport import path


def backup_list(request, since=None, most=None):
    """Records, those since an epoch time when given."""
    search = {} if since is None else {'time_after': int(since)}
    return items(request, path(request, 'backups'), 'backups', search=search, most=most)


def backup_get(request, backup_id):
    return call(request, 'GET', path(request, 'backups', backup_id))


def backup_delete(request, backup_id):
    """Deletes the record only."""
    call(request, 'DELETE', path(request, 'backups', backup_id))
