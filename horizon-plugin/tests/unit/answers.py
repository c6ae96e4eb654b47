"""Documents as the service gives them."""

PROJECT = '1' * 32


def job(job_id='job1', **changes):
    document = {
        'job_id': job_id, 'project_id': PROJECT, 'user_id': 'u', 'client_id': PROJECT + '_db1',
        'description': 'nightly', 'session_id': '', 'session_tag': 0, 'next_run_at': 1795700000,
        'job_schedule': {'schedule_interval': '1 days', 'time_created': 1795600000,
                         'time_started': 1795686000, 'time_ended': 1795686060, 'event': '',
                         'status': 'scheduled', 'result': 'success'},
        'job_actions': [{
            'project_id': PROJECT, 'action_id': 'a1', 'user_id': 'u', 'max_retries': 5,
            'max_retries_interval': 6, 'mandatory': False,
            'freezer_action': {'action': 'backup', 'mode': 'fs', 'path_to_backup': '/etc',
                               'backup_name': 'etc', 'container': 'vault', 'timeout': None,
                               'ssh_password': 'very secret', 'storage': 'swift'}}],
    }
    document.update(changes)
    return document


def run(run_id='run1', state='running', **changes):
    document = {
        'run_id': run_id, 'project_id': PROJECT, 'job_id': 'job1', 'client_id': 'central',
        'state': state, 'cause': 'schedule', 'error': None, 'waiting_for': None,
        'abort_requested': False, 'action_index': 0, 'actions_total': 1, 'attempt': 1,
        'losses': 0, 'due_at': 1795686000, 'created_at': 1795686000, 'started_at': 1795686001,
        'finished_at': -1, 'request_id': None,
        'progress': {'phase': 'transferring', 'bytes_done': 25 << 20, 'bytes_total': 100 << 20,
                     'bytes_stored': 0, 'files_done': 3, 'files_total': 9, 'errors': 0,
                     'rate': 1 << 20, 'current_path': '/etc/<passwd>'},
        'job_actions': job()['job_actions'],
        'steps': [{'action_index': 0, 'attempt': 1, 'outcome': None, 'exit_code': None,
                   'error': None, 'started_at': 1795686001, 'finished_at': -1, 'result': {}}],
    }
    document.update(changes)
    return document


def backup(backup_id='backup1', **metadata):
    held = {'container': 'vault', 'hostname': 'db1', 'backup_name': 'etc',
            'time_stamp': 1795686001, 'curr_backup_level': 0, 'mode': 'fs', 'storage': 'swift',
            'job_id': 'job1', 'path_to_backup': '/etc', 'bytes_stored': 1048576,
            'problem_count': 0, 'encrypted': False}
    held.update(metadata)
    return {'project_id': PROJECT, 'user_id': 'u', 'backup_id': backup_id,
            'backup_metadata': held}


def client(client_id='central', is_central=True, modes=('nova', 'cinder', 'project')):
    return {'project_id': 'service' if is_central else PROJECT, 'user_id': 'u', 'client': {
        'uuid': 'x', 'client_id': client_id, 'hostname': 'h', 'is_central': is_central,
        'description': None, 'supported_actions': ['backup', 'restore'],
        'supported_modes': list(modes), 'supported_storages': ['swift'],
        'supported_engines': ['tar'], 'link': 'amqp', 'agent_version': '1.0',
        'last_seen_at': 1795686001}}


CLIENTS = [client(), client(PROJECT + '_db1', False, ('fs', 'cinder'))]


def session(session_id='session1'):
    return {'session_id': session_id, 'project_id': PROJECT, 'user_id': 'u',
            'description': 'web and db', 'session_tag': 3, 'result': 'success', 'hold_off': 30,
            'status': 'completed', 'time_start': 1795686001, 'time_end': 1795686061,
            'schedule': {'schedule_interval': '6 hours'},
            'jobs': {'job1': {'client_id': 'central', 'status': 'completed', 'result': 'success',
                              'time_started': 1795686001, 'time_ended': 1795686061}}}


USAGE = {'jobs': {'used': 1, 'limit': 10}, 'runs': {'used': 0, 'limit': -1},
         'stored_bytes': {'used': 1048576, 'limit': -1}}


def plan(**changes):
    """The run of a plan of a project, as the agent tells it."""
    action = {'action': 'restore', 'mode': 'project', 'backup_name': 'all', 'dry_run': True}
    restore = {
        'dry_run': True, 'backup': 'h_all', 'timestamp': 1795686001, 'project_id': PROJECT,
        'steps': [
            {'resource': {'kind': 'network', 'id': 'n1'}, 'name': 'net',
             'deed': {'use': {'id': 'n1'}}, 'reason': 'still there'},
            {'resource': {'kind': 'volume', 'id': 'v9'}, 'name': 'data',
             'deed': {'create': {'name': 'data~1795686001'}}, 'reason': 'gone'},
            {'resource': {'kind': 'image', 'id': 'i9'}, 'name': 'tiny', 'deed': 'keep',
             'reason': 'still there'}],
        'refused': [{'resource': {'kind': 'router', 'id': 'r1'}, 'name': 'gate',
                     'reason': 'it needs network x', 'is_lost': False}],
        'quotas': [{'service': 'Cinder', 'resource': 'volumes', 'needed': 1, 'left': 9}],
        'missing': [], 'notes': [], 'documents': {}}
    restore.update(changes)
    step = {'action_index': 0, 'attempt': 1, 'outcome': 'success', 'exit_code': 0, 'error': None,
            'started_at': 1795686001, 'finished_at': 1795686002, 'result': {'restore': restore}}
    return run(state='success', job_actions=[{'freezer_action': action}], steps=[step])


RETENTION = {'rules': [{'keep_last': 1}],
             'notes': ['2 backups of mode cindernative are not in this plan'],
             'backups': [{
                 'storage': 'swift', 'container': 'vault', 'hostname': 'db1', 'backup_name': 'etc',
                 'engine_name': 'tar',
                 'remove': [{'chain_time_stamp': 1795000000, 'levels': 2, 'backup_ids': ['b1', 'b2'],
                             'bytes_stored': 3 << 20, 'reason': 'older than the newest 1'}],
                 'keep': [{'chain_time_stamp': 1795686001, 'levels': 1, 'backup_ids': ['backup1'],
                           'bytes_stored': 1 << 20, 'reason': 'one of the newest'}]}]}


def pinning(action='hold', result='success', ended=1795690000, **changes):
    """A job that has pinned `backup()`, or let it go."""
    freezer_action = dict({
        'action': action, 'mode': 'fs', 'storage': 'swift', 'container': 'vault', 'hostname': 'db1',
        'backup_name': 'etc', 'restore_from_date': '2026-11-26T09:40:01Z'}, **changes)
    if action == 'hold':
        freezer_action.setdefault('hold_reason', 'case 17')
    return job('pin%d' % ended, job_schedule={'result': result, 'time_ended': ended},
               job_actions=[{'freezer_action': freezer_action}])


def server(**metadata):
    """A record of a server with a disk of its own and a volume."""
    return backup(**dict({
        'mode': 'nova', 'nova_inst_id': 's1', 'server_name': 'web', 'consistency': 'per-volume',
        'container': 'saved', 'backup_name': 'web', 'path_to_backup': '', 'disks': {
            'v1': {'size_bytes': (2 << 30) + 1, 'level': 0}, 'root': {'size_bytes': 1 << 30}}},
        **metadata))
