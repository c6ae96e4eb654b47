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

"""A Heat of its own, with the plugin: API and engine on a database and virtual host of their own.

The accounts are those of the Heat that `devstack/minicloud/up heat` has set up, whose
configuration is taken over; that one is left as it is.
"""

import configparser
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pymysql

import freezer_heat

STATE = os.environ.get('MINICLOUD_DIR', '/var/lib/minicloud')
# How long a daemon may take to answer.
PATIENCE = 300


class Engine:
    def __init__(self, tag, folder):
        self._tag, self._folder = tag, folder
        self._name = 'freezer_test_' + tag.replace('-', '_')
        self._conf = os.path.join(folder, 'heat.conf')
        self._mysql = urllib.parse.urlsplit(os.environ['FREEZER_TEST_MYSQL'])
        self._daemons = []
        self.port = _free_port()

    def start(self):
        self._sql('CREATE DATABASE %s CHARACTER SET utf8mb3' % self._name)
        self._rabbit('add_vhost', self._name)
        user = urllib.parse.urlsplit(os.environ['FREEZER_TEST_RABBIT']).username
        self._rabbit('set_permissions', '-p', self._name, user, '.*', '.*', '.*')
        self._write_conf()
        self._run('heat-manage', 'db_sync')
        self._daemon('heat-engine')
        self._daemon('heat-api')
        self._wait()

    def _write_conf(self):
        conf = configparser.RawConfigParser(strict=False)
        with open(os.path.join(STATE, 'etc/heat/heat.conf')) as source:
            conf.read_string(source.read())
        rabbit = os.environ['FREEZER_TEST_RABBIT'].rstrip('/')
        conf['DEFAULT'].update(
            {
                'transport_url': '%s/%s' % (rabbit, self._name),
                'host': self._tag,
                'plugin_dirs': os.path.join(os.path.dirname(freezer_heat.__file__), 'resources'),
            }
        )
        conf['heat_api']['bind_port'] = str(self.port)
        conf['database']['connection'] = '%s://%s/%s?charset=utf8' % (
            self._mysql.scheme,
            self._mysql.netloc,
            self._name,
        )
        conf['oslo_concurrency']['lock_path'] = self._folder
        with open(os.open(self._conf, os.O_WRONLY | os.O_CREAT, 0o600), 'w') as out:
            conf.write(out)

    def _sql(self, statement):
        access = {'host': self._mysql.hostname, 'port': self._mysql.port}
        access.update(user=self._mysql.username, password=self._mysql.password)
        connection = pymysql.connect(**access)
        try:
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall()
        finally:
            connection.close()

    @staticmethod
    def _rabbit(*words):
        command = [os.environ['FREEZER_TEST_RABBITMQCTL']] + list(words)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def _command(self, name):
        # Debian's programs, run by the interpreter that has the plugin installed.
        program = shutil.which(name, path='/usr/bin:/usr/local/bin')
        return [sys.executable, '-W', 'ignore', program, '--config-file', self._conf]

    def _run(self, name, *words):
        done = subprocess.run(
            self._command(name) + list(words), env=_clean(), capture_output=True, text=True
        )
        if done.returncode:
            raise AssertionError('%s ended: %s' % (name, done.stderr[-2000:]))

    def _daemon(self, name):
        log = open(self.log_path(name), 'wb')
        process = subprocess.Popen(
            self._command(name),
            env=_clean(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._daemons.append((name, process, log))

    def log_path(self, name):
        return os.path.join(self._folder, name + '.log')

    def log(self, name='heat-engine'):
        with open(self.log_path(name), errors='replace') as log:
            return log.read()

    def _wait(self):
        end = time.monotonic() + PATIENCE
        while not (self._answers() and self._is_engine_at_work()):
            for name, process, _log in self._daemons:
                if process.poll() is not None:
                    raise AssertionError('%s ended: %s' % (name, self.log(name)[-3000:]))
            if time.monotonic() > end:
                raise AssertionError('Heat does not answer: ' + self.log('heat-api')[-3000:])
            time.sleep(0.2)

    def _is_engine_at_work(self):
        """It says so in the database when it listens; what it was asked before would be lost."""
        return self._sql('SELECT COUNT(*) FROM %s.service' % self._name)[0][0] > 0

    def _answers(self):
        try:
            urllib.request.urlopen('http://127.0.0.1:%d/' % self.port, timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def end(self):
        for _name, process, log in self._daemons:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for _name, process, log in self._daemons:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            log.close()
        self._sql('DROP DATABASE IF EXISTS %s' % self._name)
        subprocess.run(
            [os.environ['FREEZER_TEST_RABBITMQCTL'], 'delete_vhost', self._name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def _clean():
    """Nothing of the tests' own login reaches the daemons."""
    keep = ('PATH', 'LC_ALL', 'HOME', 'PYTHONDONTWRITEBYTECODE')
    return {key: os.environ[key] for key in keep if key in os.environ}
