#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""Who may do what, by the default policy: one table, from which the tests are made.

A row is an operation: name, policy rule, method, path, body, status when it is allowed, and who is
allowed. Whoever is not is answered 403. In a path ``{job}`` stands for a job that the test makes,
and so on; the project is that of all roles but ``stranger``, who is a member of another one, and
``service``, who holds that role alone in a third one.
"""

import collections

ROLES = ('reader', 'member', 'manager', 'admin', 'service', 'stranger')

READ = ('reader', 'member', 'manager', 'admin', 'service')
WRITE = ('member', 'manager', 'admin')
RECORD = ('member', 'manager', 'admin', 'service')
ADMIN = ('admin',)
CENTRAL = ('admin', 'service')
# As RECORD, but an agent works for the project of its token.
OWN = ('member', 'manager', 'admin')

Operation = collections.namedtuple('Operation', 'name rule method path body status allowed')

TABLE = tuple(
    Operation(*row)
    for row in (
        ('list_jobs', 'jobs:get_all', 'GET', 'jobs', None, 200, READ),
        ('show_job', 'jobs:get', 'GET', 'jobs/{job}', None, 200, READ),
        ('create_job', 'jobs:create', 'POST', 'jobs', 'job', 201, WRITE),
        ('replace_job', 'jobs:create', 'POST', 'jobs/{job}', 'job', 201, WRITE),
        ('update_job', 'jobs:update', 'PATCH', 'jobs/{job}', {'description': 'new'}, 200, WRITE),
        ('delete_job', 'jobs:delete', 'DELETE', 'jobs/{job}', None, 204, WRITE),
        ('start_job', 'jobs:event:create', 'POST', 'jobs/{job}/event', {'start': None}, 202, WRITE),
        ('stop_job', 'jobs:event:create', 'POST', 'jobs/{job}/event', {'stop': None}, 202, WRITE),
        ('abort_job', 'jobs:event:create', 'POST', 'jobs/{job}/event', {'abort': None}, 202, WRITE),
        ('list_runs', 'runs:get_all', 'GET', 'runs', None, 200, READ),
        ('list_runs_of_job', 'runs:get_all', 'GET', 'jobs/{job}/runs', None, 200, READ),
        # Of a job whose agent does not come for its work.
        ('show_run', 'runs:get', 'GET', 'runs/{run}', None, 200, READ),
        ('limit_run', 'runs:update', 'PATCH', 'runs/{run}', {'upload_limit': 1}, 200, WRITE),
        ('list_actions', 'actions:get_all', 'GET', 'actions', None, 200, READ),
        ('show_action', 'actions:get', 'GET', 'actions/{action}', None, 200, READ),
        ('create_action', 'actions:create', 'POST', 'actions', 'action', 201, WRITE),
        ('replace_action', 'actions:replace', 'POST', 'actions/{action}', 'action', 201, WRITE),
        (
            'update_action',
            'actions:update',
            'PATCH',
            'actions/{action}',
            {'max_retries': 1},
            200,
            WRITE,
        ),
        ('delete_action', 'actions:delete', 'DELETE', 'actions/{action}', None, 204, WRITE),
        ('list_sessions', 'sessions:get_all', 'GET', 'sessions', None, 200, READ),
        ('show_session', 'sessions:get', 'GET', 'sessions/{session}', None, 200, READ),
        ('create_session', 'sessions:create', 'POST', 'sessions', 'session', 201, WRITE),
        (
            'replace_session',
            'sessions:replace',
            'POST',
            'sessions/{session}',
            'session',
            201,
            WRITE,
        ),
        (
            'update_session',
            'sessions:update',
            'PATCH',
            'sessions/{session}',
            {'description': 'new'},
            200,
            WRITE,
        ),
        ('delete_session', 'sessions:delete', 'DELETE', 'sessions/{session}', None, 204, WRITE),
        (
            'act_in_session',
            'sessions:action:create',
            'POST',
            'sessions/{session}/action',
            'start',
            202,
            WRITE,
        ),
        (
            'add_job_to_session',
            'sessions:job:add',
            'PUT',
            'sessions/{session}/jobs/{job}',
            None,
            204,
            WRITE,
        ),
        (
            'remove_job_from_session',
            'sessions:job:remove',
            'DELETE',
            'sessions/{session}/jobs/{job}',
            None,
            204,
            WRITE,
        ),
        ('list_clients', 'clients:get_all', 'GET', 'clients', None, 200, READ),
        ('show_client', 'clients:get', 'GET', 'clients/{client}', None, 200, READ),
        ('register_client', 'clients:create', 'POST', 'clients', 'client', 201, WRITE),
        (
            'register_central_client',
            'clients:create_central',
            'POST',
            'clients',
            'central',
            201,
            CENTRAL,
        ),
        ('delete_client', 'clients:delete', 'DELETE', 'clients/{client}', None, 204, WRITE),
        ('list_backups', 'backups:get_all', 'GET', 'backups', None, 200, READ),
        ('show_backup', 'backups:get', 'GET', 'backups/{backup}', None, 200, READ),
        ('create_backup', 'backups:create', 'POST', 'backups', 'backup', 201, RECORD),
        (
            'plan_retention',
            'backups:plan_retention',
            'POST',
            'backups/retention-plan',
            {'backup_name': 'none', 'keep_last': 1},
            200,
            READ,
        ),
        (
            'update_backup',
            'backups:update',
            'PATCH',
            'backups/{backup}',
            {'status': 'error'},
            200,
            RECORD,
        ),
        ('delete_backup', 'backups:delete', 'DELETE', 'backups/{backup}', None, 204, RECORD),
        ('show_quotas', 'quotas:get', 'GET', 'quotas', None, 200, READ),
        ('set_quotas', 'quotas:update', 'PUT', 'quotas', {'jobs': 1000}, 200, ADMIN),
        ('delete_quotas', 'quotas:delete', 'DELETE', 'quotas', None, 204, ADMIN),
        ('show_usage', 'usage:get', 'GET', 'usage', None, 200, READ),
        ('agent_hello', 'agents:link', 'POST', 'agents/{new}/hello', 'hello', 200, OWN),
        ('agent_heartbeat', 'agents:link', 'POST', 'agents/{new}/heartbeat', 'hello', 200, OWN),
        # Reports of a run that is not there are answered: it is not the agent's.
        ('agent_started', 'agents:link', 'POST', 'agents/none/started', 'started', 200, OWN),
        ('agent_progress', 'agents:link', 'POST', 'agents/none/progress', 'progress', 200, OWN),
        ('agent_finished', 'agents:link', 'POST', 'agents/none/finished', 'finished', 200, OWN),
        # Who is allowed has said hello before.
        ('agent_work', 'agents:link', 'POST', 'agents/{new}/work?wait=0', {}, 200, OWN),
    )
)

# Rules that decide what comes of an operation, beside the rule of the operation itself. Each has a
# test of its own, by these statuses.
#
# Deleting a client that the member's agent speaks for: the member may, as it is his.
RELEASE_RULE = 'clients:release'
RELEASE = {
    'reader': 403,
    'member': 204,
    'manager': 403,
    'admin': 204,
    'service': 403,
    'stranger': 403,
}
# Jobs of another project, the stranger's, by a path of one's own: status and number of those that
# are listed with all_projects, status of one that is asked for.
ALL_PROJECTS_RULE = 'jobs:get_all_projects'
ALL_PROJECTS = {
    'reader': (200, 0, 404),
    'member': (200, 0, 404),
    'manager': (200, 0, 404),
    'admin': (200, 1, 200),
    'service': (200, 1, 200),
    'stranger': (403, None, 403),
}
RULES = {operation.rule for operation in TABLE} | {RELEASE_RULE, ALL_PROJECTS_RULE}
