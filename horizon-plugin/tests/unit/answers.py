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
