"""What the functional tests share: two projects with users, an agent, and the openstack command.

Everything is real: Keystone, the service, the agent, the command with both plugins. It is made at
first use and removed when the process ends.
"""

import atexit
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid

from keystoneauth1 import adapter
import openstack

# How long anything may take before a test gives up; a busy machine is no failure.
PATIENCE = 300
_shared = None


def shared():
    """The one world of this process."""
    global _shared
    if _shared is None:
        _shared = World()
        atexit.register(_shared.end)
    return _shared


class Answer:
    """What a command said, and how it ended."""

    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self):
        return json.loads(self.out)


class World:
    def __init__(self):
        self.tag = 'osc-' + uuid.uuid4().hex[:8]
        self.folder = tempfile.mkdtemp(prefix='freezer-osc-')
        self.admin = openstack.connect()
        self.agent_process = None
        self._projects, self._users, self._apis = {}, {}, {}
        try:
            self._make()
        except BaseException:
            self.end()
            raise

    def _make(self):
        self._project('own')
        self._project('other')
        self._user('member', 'own', 'member')
        self._user('reader', 'own', 'reader')
        self._user('stranger', 'other', 'member')
        self.agent_id = self.tag + '-agent'
        self.store = os.path.join(self.folder, 'store')
        os.mkdir(self.store)
        self._start_agent()

    def _project(self, name):
        self._projects[name] = self.admin.identity.create_project(name='%s-%s' % (self.tag, name))

    def _user(self, name, project, role):
        secret = uuid.uuid4().hex
        user = self.admin.identity.create_user(name='%s-%s' % (self.tag, name), password=secret)
        role_id = self.admin.identity.find_role(role, ignore_missing=False).id
        self.admin.identity.assign_project_role_to_user(
            project=self._projects[project], user=user, role=role_id
        )
        self._users[name] = (user, secret, self._projects[project])

    def login(self, name):
        """The OS_* variables of a user; `admin` is the cloud's."""
        if name == 'admin':
            return {key: value for key, value in os.environ.items() if key.startswith('OS_')}
        user, secret, project = self._users[name]
        return {
            'OS_AUTH_URL': os.environ['OS_AUTH_URL'],
            'OS_IDENTITY_API_VERSION': '3',
            'OS_REGION_NAME': os.environ.get('OS_REGION_NAME', 'RegionOne'),
            'OS_USERNAME': user.name,
            'OS_PASSWORD': secret,
            'OS_USER_DOMAIN_ID': user.domain_id,
            'OS_PROJECT_ID': project.id,
        }

    def connect(self, name):
        """The cloud through openstacksdk, for what the tests prepare."""
        user, secret, project = self._users[name]
        return openstack.connect(
            auth_url=os.environ['OS_AUTH_URL'],
            username=user.name,
            password=secret,
            user_domain_id=user.domain_id,
            project_id=project.id,
            region_name=os.environ.get('OS_REGION_NAME', 'RegionOne'),
            load_envvars=False,
            load_yaml_config=False,
        )

    def _start_agent(self):
        login = self.login('member')
        conf = os.path.join(self.folder, 'agent.conf')
        with open(os.open(conf, os.O_WRONLY | os.O_CREAT, 0o600), 'w') as out:
            out.write(
                '[agent]\nlink = http\nclient_id = %s\nstate_dir = %s\nprogress_interval = 0.2\n'
                '[service_auth]\nauth_type = password\nauth_url = %s\nusername = %s\n'
                'password = %s\nuser_domain_id = %s\nproject_id = %s\n'
                % (
                    self.agent_id,
                    os.path.join(self.folder, 'state'),
                    login['OS_AUTH_URL'],
                    login['OS_USERNAME'],
                    login['OS_PASSWORD'],
                    login['OS_USER_DOMAIN_ID'],
                    login['OS_PROJECT_ID'],
                )
            )
        program = os.path.join(os.environ['FREEZER_BIN'], 'freezer-agent')
        self._agent_log = open(os.path.join(self.folder, 'agent.log'), 'wb')
        self.agent_process = subprocess.Popen(
            [program, '--config-file', conf, 'serve'],
            stdin=subprocess.DEVNULL,
            stdout=self._agent_log,
            stderr=subprocess.STDOUT,
        )
        self.until('the agent has said hello', self._agent_is_seen)

    def _agent_is_seen(self):
        if self.agent_process.poll() is not None:
            with open(self._agent_log.name) as log:
                raise AssertionError('the agent ended: ' + log.read()[-2000:])
        answer = self.api('member').get('/clients/' + self.agent_id, raise_exc=False)
        return answer.status_code == 200 and answer.json()['client']['last_seen_at'] > 0

    def api(self, name):
        """The REST API as a user, for what has no command."""
        if name not in self._apis:
            self._apis[name] = _api(self.connect(name), self._users[name][2].id)
        return self._apis[name]

    def run(self, name, *words, **settings):
        """The openstack command as a user; how it ends is not judged."""
        return Answer(
            subprocess.run(
                [_program()] + list(words),
                env=self._environment(name, **settings),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE * 2,
            )
        )

    def run_on_terminal(self, name, *words, heed=lambda shown: None):
        """As run, with a terminal for standard error; returns what it showed.

        `heed` is told of it each time that there is more.
        """
        ours, theirs = pty.openpty()
        command = subprocess.Popen(
            [_program()] + list(words),
            env=self._environment(name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b''
        end = time.monotonic() + PATIENCE
        try:
            while part := _read(ours):
                shown += part
                heed(shown.decode(errors='replace'))
                if time.monotonic() > end:
                    raise AssertionError('it goes on and on: %r' % shown[-500:])
            command.wait(PATIENCE)
        finally:
            command.kill()
            command.wait()
            os.close(ours)
        return shown.decode()

    def _environment(self, name, **settings):
        env = {key: value for key, value in os.environ.items() if not key.startswith('OS_')}
        env.update(self.login(name), **settings)
        return env

    def until(self, what, look):
        """Waits until look gives something true, and returns it."""
        end = time.monotonic() + PATIENCE
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError('waited in vain until ' + what)
            time.sleep(0.2)

    def source(self, name):
        """A folder with a few files to save."""
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.join(path, 'deep'))
        for part, text in (('a.txt', 'first'), ('deep/b.txt', 'second' * 1000)):
            with open(os.path.join(path, part), 'w') as out:
                out.write(name + text)
        return path

    def job(self, name, **more):
        """A job that saves a folder; returns its id."""
        answer = self.api('member').post('/jobs', json=self.document(name, **more))
        return answer.json()['job_id']

    def document(self, name, **more):
        """The job that saves a folder once, as it is sent."""
        action = {
            'action': 'backup',
            'mode': 'fs',
            'engine_name': 'tar',
            'storage': 'local',
            'container': self.store,
            'backup_name': name,
            'path_to_backup': os.path.join(self.folder, name),
        }
        client_id = more.pop('client', self.agent_id)
        action.update(more)
        action = {key: value for key, value in action.items() if value is not None}
        return {
            'client_id': client_id,
            'description': name,
            'job_schedule': {},
            'job_actions': [{'freezer_action': action, 'max_retries': 0}],
        }

    def saved(self, name, times=1):
        """A folder that was saved; returns the job's id."""
        self.source(name)
        job_id = self.job(name)
        for number in range(times):
            if number:
                self.api('member').post('/jobs/%s/event' % job_id, json={'start': None})
            self.until(
                'run %d of %s is over' % (number + 1, name), lambda: self._ended(job_id, number)
            )
        return job_id

    def saved_stream(self, name, command):
        """What a command prints was saved; returns the job's id."""
        job_id = self.job(name, mode='stream', path_to_backup=None, stream_command=command)
        self.until('%s is saved' % name, lambda: self._ended(job_id, 0))
        return job_id

    def project_name(self, name):
        return self._projects[name].name

    def record(self, name):
        """Id of the record of a backup."""
        search = {'match': [{'backup_name': name}]}
        return self.api('member').get('/backups', json=search).json()['backups'][0]['backup_id']

    def _ended(self, job_id, number):
        runs = self.api('member').get('/jobs/%s/runs' % job_id).json()['runs']
        if len(runs) <= number or runs[0]['state'] in ('queued', 'dispatched', 'running'):
            return False
        if runs[0]['state'] != 'success':
            raise AssertionError(runs[0])
        return True

    def end(self):
        """Removes all of it."""
        if self.agent_process is not None and self.agent_process.poll() is None:
            self.agent_process.send_signal(signal.SIGTERM)
            self.agent_process.wait(30)
        if 'own' in self._projects:
            self._clear(self._projects['own'].id)
        for user, _secret, _project in self._users.values():
            self.admin.identity.delete_user(user)
        for project in self._projects.values():
            self.admin.identity.delete_project(project)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _clear(self, project_id):
        """What the service keeps of a project is removed by the administrator."""
        api = _api(self.admin, project_id)
        for noun, key in (('jobs', 'job_id'), ('actions', 'action_id'), ('backups', 'backup_id')):
            for row in api.get('/%s?limit=1000' % noun).json()[noun]:
                api.delete('/%s/%s' % (noun, row[key]))
        for row in api.get('/clients?limit=1000').json()['clients']:
            if row['project_id'] == project_id:
                api.delete('/clients/%s' % row['client']['client_id'])


def _program():
    return os.path.join(os.path.dirname(sys.executable), 'openstack')


def _read(terminal):
    try:
        return os.read(terminal, 4096)
    except OSError:
        # The other end of a terminal is gone when the command has ended.
        return b''


def _api(cloud, project_id):
    """The service below a project's path."""
    base = cloud.session.get_endpoint(service_type='backup', interface='public')
    return adapter.Adapter(
        session=cloud.session, endpoint_override='%s/v2/%s' % (base.rstrip('/'), project_id)
    )
