"""A Horizon with the plugin, on a port of its own; it ends with the tests. That of this machine, or the one installed in the
virtual environment that `FREEZER_HORIZON` names."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ENVIRONMENT = os.environ.get('FREEZER_HORIZON')
STATIC = ENVIRONMENT + '/static' if ENVIRONMENT else '/var/lib/openstack-dashboard/static'
PATIENCE_SECONDS = 180


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Horizon:
    """Runs uwsgi as the user of Horizon, as the package's web server would."""

    def __init__(self, plugin, log):
        self.port = free_port()
        self.url = 'http://127.0.0.1:%d' % self.port
        static = os.path.join(plugin, 'freezer_dashboard/static/freezer_dashboard')
        self.log = open(log, 'w', encoding='utf-8')
        self.process = subprocess.Popen(
            ['/usr/bin/uwsgi-core', '--plugin', 'python3', '--master', '--die-on-term',
             '--http-socket', '127.0.0.1:%d' % self.port, '--wsgi-file', HERE + '/wsgi.py',
             '--pythonpath', plugin, '--uid', 'www-data',
             '--gid', 'www-data',
             '--static-map', '/static/freezer_dashboard=' + static,
             '--static-map', '/static=' + STATIC,
             '--processes', '1', '--threads', '4', '--enable-threads', '--buffer-size', '65535',
             # What Python would do at its end crashes in Debian's greenlet, with a backtrace in the log.
             '--skip-atexit', '--lazy-apps', '--need-app', '--disable-logging',
             *(['--virtualenv', ENVIRONMENT] if ENVIRONMENT else [])],
            env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C.UTF-8'},
            cwd='/', stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)

    def wait(self):
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError('Horizon ended at once; see ' + self.log.name)
            try:
                with urllib.request.urlopen(self.url + '/auth/login/', timeout=60):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.3)
        raise RuntimeError('Horizon does not answer; see ' + self.log.name)

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.log.close()
        with open(self.log.name, encoding='utf-8') as said:
            _before, failed, why = said.read().partition('Internal Server Error')
        if failed:
            print(failed + why[:20000])
