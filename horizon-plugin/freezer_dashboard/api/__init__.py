"""Calls of the backup service, one function each, all of them on behalf of the request's user."""

from freezer_dashboard.api.backups import backup_delete
from freezer_dashboard.api.backups import backup_get
from freezer_dashboard.api.backups import backup_list
from freezer_dashboard.api.backups import retention_plan
from freezer_dashboard.api.clients import client_delete
from freezer_dashboard.api.clients import client_list
from freezer_dashboard.api.jobs import job_create
from freezer_dashboard.api.jobs import job_delete
from freezer_dashboard.api.jobs import job_event
from freezer_dashboard.api.jobs import job_get
from freezer_dashboard.api.jobs import job_list
from freezer_dashboard.api.jobs import job_update
from freezer_dashboard.api.quotas import quota_reset
from freezer_dashboard.api.quotas import quota_set
from freezer_dashboard.api.quotas import quota_show
from freezer_dashboard.api.quotas import usage_show
from freezer_dashboard.api.runs import run_get
from freezer_dashboard.api.runs import run_list
from freezer_dashboard.api.sessions import session_add_job
from freezer_dashboard.api.sessions import session_create
from freezer_dashboard.api.sessions import session_delete
from freezer_dashboard.api.sessions import session_get
from freezer_dashboard.api.sessions import session_list
from freezer_dashboard.api.sessions import session_remove_job
from freezer_dashboard.api.sessions import session_update
from freezer_dashboard.api.transport import NotThere
from freezer_dashboard.api.transport import ServiceError

__all__ = (
    'NotThere', 'ServiceError',
    'backup_delete', 'backup_get', 'backup_list', 'retention_plan',
    'client_delete', 'client_list',
    'job_create', 'job_delete', 'job_event', 'job_get', 'job_list', 'job_update',
    'quota_reset', 'quota_set', 'quota_show', 'usage_show',
    'run_get', 'run_list',
    'session_add_job', 'session_create', 'session_delete', 'session_get',
    'session_list', 'session_remove_job', 'session_update',
)
