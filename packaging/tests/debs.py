#!/usr/bin/python3
"""debs.py FOLDER : the life of the packages in FOLDER on a Debian machine under systemd.

They are installed, used, upgraded, removed and purged, and then installed by the Ansible role.
The machine is a container; database, message bus and Keystone are those that devstack/minicloud has
started.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import urllib.request

import metrics
import role
from cloud import Cloud, Service
from tree import Failure, Tree, wait_until

HERE = pathlib.Path(__file__).resolve().parent
NEXT = '1:99.0'
SERVICES = ('freezer-api', 'freezer-conductor', 'freezer-agent', 'freezer-scheduler',
            'freezer-standalone')
PROGRAMS = ('freezer-common', 'freezer-api', 'freezer-conductor', 'freezer-agent',
            'freezer-standalone')
# What daemons lack before anybody has filled in their files, in the words of their logs.
UNCONFIGURED = {
    'freezer-api': 'set connection in section [database] of the configuration file',
    'freezer-conductor': 'set transport_url in section [DEFAULT] of the configuration file',
    'freezer-agent': '[agent] project_id is not set',
    'freezer-scheduler': 'section [service_auth] of a configuration file',
}
MARK = '# written by the administrator'


def check(holds, what):
    """Says what held; what does not ends the test."""
    if not holds:
        raise Failure(what)
    print('ok  ' + what, flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def make_next_version(folder):
    """The same packages as a later version whose sample files say more: what an upgrade meets."""
    for deb in sorted(folder.glob('freezer-*.deb')):
        name = deb.name.split('_')[0]
        content = folder / 'content'
        subprocess.run(['dpkg-deb', '-R', deb, content], check=True)
        control = content / 'DEBIAN/control'
        text = control.read_text()
        version = re.search('^Version: (.*)$', text, re.MULTILINE).group(1)
        control.write_text(text.replace('Version: ' + version, 'Version: ' + NEXT)
                           .replace('(= %s)' % version, '(= %s)' % NEXT))
        for sample in content.glob('etc/freezer/*.conf'):
            sample.write_text(sample.read_text() + '\n# new in the next version\n')
        (folder / 'next').mkdir(exist_ok=True)
        subprocess.run(['dpkg-deb', '-Znone', '--root-owner-group', '-b', content,
                        folder / 'next' / (name + '.deb')], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(content)


class Trial:
    """One machine's life with the packages."""

    def __init__(self, tree, cloud):
        self.tree = tree
        self.cloud = cloud
        self.port = free_port()
        self.alone_port = free_port()
        self.metrics_ports = {name: free_port() for name in ('api', 'conductor', 'agent')}
        token, self.project = cloud.token('demo', 'demo')
        self.service = Service('http://127.0.0.1:%d' % self.port, token)

    def state(self, name, what='ActiveState'):
        return self.tree.run('systemctl', 'show', '--value', '-p', what, name).strip()

    def install(self):
        files = ' '.join('/debs/%s_*.deb' % name for name in PROGRAMS)
        said = self.tree.run('sh', '-c', 'dpkg -i ' + files)
        check('freezer-manage --config-file /etc/freezer/freezer-api.conf db sync' in said,
              'installation says how the schema is made')
        check(not self.tree.run('dpkg', '--audit').strip(), 'all packages are configured')
        for name in SERVICES:
            check(self.state(name) == 'inactive'
                  and self.state(name, 'UnitFileState') == 'disabled',
                  name + ' waits for the administrator')
        for name, rights in (('freezer-api', '640 root:freezer'),
                             ('freezer-conductor', '640 root:freezer'),
                             ('freezer-agent', '600 root:root'), ('scheduler', '600 root:root')):
            check(self.rights(name) == rights, '%s.conf is %s' % (name, rights))
        units = ['/lib/systemd/system/%s.service' % name for name in SERVICES]
        check(not self.tree.run('systemd-analyze', 'verify', '--man=no', *units).strip(),
              'systemd finds nothing to say of the units')

    def rights(self, name):
        file = '/etc/freezer/%s.conf' % name
        return self.tree.run('stat', '-c', '%a %U:%G', file).strip()

    def start_too_early(self):
        """With the samples as they are installed each daemon ends, and says what it lacks."""
        for name, words in UNCONFIGURED.items():
            self.tree.try_run('systemctl', 'start', name)
            wait_until(name + ' says what it lacks',
                       lambda name=name, words=words: words in self.said_by(name))
            self.tree.run('systemctl', 'stop', name)
            self.tree.try_run('systemctl', 'reset-failed', name)
            said = self.said_by(name)
            check('panicked' not in said and 'RUST_BACKTRACE' not in said,
                  '%s without configuration says: %s' % (name, words))

    def configure(self):
        cloud = self.cloud
        database = '\n[database]\nconnection = %s\n' % cloud.database_url
        bus = '\n%s\n[DEFAULT]\ntransport_url = %s\n' % (MARK, cloud.bus_url)

        def login(user, project):
            return ('auth_type = password\nauth_url = %s\nusername = %s\npassword = %s\n'
                    'project_name = %s\nuser_domain_id = default\nproject_domain_id = default\n'
                    'region_name = RegionOne\n'
                    % (cloud.keystone, user, cloud.password, project))
        ports = self.metrics_ports
        files = {
            'freezer-api': bus + 'bind_host = 127.0.0.1\nbind_port = %d\nmetrics_port = %d\n' % (
                self.port, ports['api'])
            + 'log_dir = /var/log/freezer\n' + database
            + '[keystone_authtoken]\n' + login('freezer', 'service'),
            'freezer-conductor': bus + database
            + '[conductor]\nmetrics_bind_port = %d\n' % ports['conductor'],
            'freezer-agent': bus + 'log_dir = /var/log/freezer-agent\n'
            + '[agent]\nproject_id = %s\nclient_id = packages_bus\nmetrics_bind_port = %d\n' % (
                self.project, ports['agent']),
            'scheduler': '\n%s\n[scheduler]\nclient_id = packages_https\n[service_auth]\n' % MARK
            + login('demo', 'demo') + 'backup_url = %s\n' % self.service.url,
        }
        for name, text in files.items():
            with open(self.tree.path('/etc/freezer/%s.conf' % name), 'a', encoding='utf-8') as file:
                file.write(text)

    def start(self):
        self.tree.try_run('systemctl', 'start', 'freezer-api')
        wait_until('freezer-api says why it does not start',
                   lambda: 'freezer-manage db sync' in self.said_by('freezer-api'))
        check(True, 'freezer-api without a schema says what to run')
        self.tree.run('systemctl', 'stop', 'freezer-api')
        # To the letter as the package's message has it.
        self.tree.run('runuser', '-u', 'freezer', '--', 'freezer-manage', '--config-file',
                      '/etc/freezer/freezer-api.conf', 'db', 'sync')
        self.tree.run('systemctl', 'enable', '--now',
                      *(name for name in SERVICES if name != 'freezer-standalone'))
        wait_until('the API answers', self.service.answers)
        check(True, 'the API answers /healthcheck')
        for name in ('freezer-api', 'freezer-conductor'):
            status = self.tree.run('cat', '/proc/%s/status' % self.state(name, 'MainPID'))
            user = self.tree.run('id', '-u', 'freezer').strip()
            check(re.search(r'^Uid:\s+%s\s+%s\s' % (user, user), status, re.MULTILINE)
                  and re.search(r'^NoNewPrivs:\s+1$', status, re.MULTILINE)
                  and re.search(r'^CapBnd:\s+0+$', status, re.MULTILINE),
                  name + ' runs as its user, without capabilities')
        wait_until('both agents are registered',
                   lambda: self.agents() >= {'packages_bus', 'packages_https'})
        check(True, 'an agent on the bus and one over HTTPS are registered')

        self.tree.run('systemctl', 'reload', 'freezer-scheduler')
        check(self.state('freezer-scheduler') == 'active',
              'freezer-scheduler reads its configuration again')

    def said_by(self, name):
        """The unit's words in the journal, and in its log file."""
        text = self.tree.run('journalctl', '--no-pager', '-o', 'cat', '-u', name)
        for file in self.tree.path('/var/log').glob('freezer*/%s.log' % name):
            text += file.read_text(encoding='utf-8')
        return text

    def agents(self):
        answer = self.service.call('GET', '/v2/%s/clients' % self.project)
        clients = (entry['client'] for entry in answer['clients'])
        return {client['client_id'] for client in clients if client.get('last_seen_at')}

    def run_job(self, client, name, **options):
        """One action, to its end."""
        action = {'mode': 'fs', 'storage': 'local', 'container': '/srv/backups',
                  'backup_name': name, **options}
        job = self.service.call('POST', '/v2/%s/jobs' % self.project, {
            'client_id': client, 'description': name,
            'job_actions': [{'freezer_action': action}]})['job_id']
        path = '/v2/%s/jobs/%s' % (self.project, job)

        def ended():
            schedule = self.service.call('GET', path)['job_schedule']
            return schedule if schedule['status'] == 'completed' else None
        result = wait_until('job %s ends' % name, ended)['result']
        if result != 'success':
            raise Failure('%s: %s\n%s' % (name, result, self.service.call('GET', path + '/runs')))

    def use(self):
        self.tree.run('sh', '-c', 'mkdir -p /srv/data && cp -a /etc/systemd /srv/data/')
        for client, name in (('packages_bus', 'bus'), ('packages_https', 'https')):
            self.run_job(client, name, action='backup', path_to_backup='/srv/data')
            self.run_job(client, name, action='restore', restore_abs_path='/srv/back-' + name)
            self.tree.run('diff', '-r', '--no-dereference', '/srv/data', '/srv/back-' + name)
            check(True, 'the agent %s made a backup and restored it' % client)
        self.metrics()

    def metrics(self):
        """Dashboard and alert rules ask for nothing that no service exports."""
        exported = set()
        for port in self.metrics_ports.values():
            address = 'http://127.0.0.1:%d/metrics' % port
            with urllib.request.urlopen(address, timeout=10) as answer:
                exported |= metrics.exported(answer.read().decode())
        unknown = metrics.asked_for() - exported
        check(not unknown, 'services export the metrics of dashboard and rules; unknown: '
              + (', '.join(sorted(unknown)) or 'none'))

    def rotate_logs(self):
        self.tree.run('logrotate', '--force', '/etc/logrotate.d/freezer-common',
                      '/etc/logrotate.d/freezer-agent')
        self.service.call('GET', '/v2/%s/jobs' % self.project)
        try:
            self.service.call('GET', '/v2/nobody/jobs')
        except RuntimeError:
            pass  # refused, and said so in the log
        self.tree.run('systemctl', 'restart', 'freezer-api', 'freezer-agent')
        for log in ('freezer/freezer-api', 'freezer-agent/freezer-agent'):
            wait_until(log, lambda log=log: self.tree.path('/var/log/%s.log.1' % log).exists()
                       and self.tree.path('/var/log/%s.log' % log).exists())
            check(True, log + '.log was rotated and goes on')
        wait_until('the API answers', self.service.answers)

    def alone(self):
        """The service in one process, beside the others on a port of its own."""
        command = '/usr/bin/freezer-standalone serve --dir /var/lib/freezer-standalone --port %d'
        self.drop_in('freezer-standalone', '[Service]\nExecStart=\nExecStart=%s\n' % (
            command % self.alone_port))
        self.tree.run('systemctl', 'start', 'freezer-standalone')
        service = Service('http://127.0.0.1:%d' % self.alone_port, 'admin:demo')
        wait_until('freezer-standalone answers', service.answers)
        wait_until('its agent is registered',
                   lambda: service.call('GET', '/v2/demo/clients')['clients'])
        check(True, 'freezer-standalone serves, with an agent')
        self.tree.run('logrotate', '--force', '/etc/logrotate.d/freezer-standalone')
        self.tree.run('systemctl', 'restart', 'freezer-standalone')
        log = self.tree.path('/var/lib/freezer-standalone/freezer.log')
        wait_until('freezer.log', lambda: log.exists() and log.with_suffix('.log.1').exists())
        wait_until('freezer-standalone answers', service.answers)
        check(True, 'freezer-standalone/freezer.log was rotated and goes on')
        self.tree.run('mkdir', '/var/lib/freezer-standalone/backups')

    def drop_in(self, name, text):
        """What an administrator adds to a unit."""
        folder = self.tree.path('/etc/systemd/system/%s.service.d' % name)
        folder.mkdir(parents=True)
        (folder / 'trial.conf').write_text(text, encoding='utf-8')
        self.tree.run('systemctl', 'daemon-reload')

    def upgrade(self):
        pids = {name: self.state(name, 'MainPID') for name in SERVICES}
        self.tree.run('systemctl', 'stop', 'freezer-scheduler')
        self.tree.run('sh', '-c', 'dpkg --force-confold -i /debs/next/*.deb')
        for name in PROGRAMS:
            status = self.tree.run('dpkg-query', '-W', '-f', '${Status} ${Version}', name)
            check(status == 'install ok installed ' + NEXT, name + ' is upgraded')
        for name in ('freezer-api', 'freezer-conductor', 'freezer-agent', 'freezer-standalone'):
            wait_until(name + ' runs again', lambda name=name: self.state(name) == 'active')
            check(self.state(name, 'MainPID') != pids[name], name + ' is restarted by the upgrade')
        check(self.state('freezer-scheduler') == 'inactive', 'what was stopped stays stopped')
        for name in ('freezer-api', 'freezer-conductor', 'freezer-agent', 'scheduler'):
            file = '/etc/freezer/%s.conf' % name
            check(MARK in self.tree.path(file).read_text()
                  and 'new in the next' in self.tree.path(file + '.dpkg-dist').read_text(),
                  '%s.conf keeps its edits, with the new sample beside it' % name)
        check(self.rights('freezer-api') == '640 root:freezer', 'freezer-api.conf keeps its rights')
        wait_until('the API answers', self.service.answers)
        self.run_job('packages_bus', 'bus', action='backup', path_to_backup='/srv/data',
                     incremental=True)
        check(True, 'the agent makes the next backup after the upgrade')

    def narrow(self):
        """The agent with little of root's power, as docs/operate.md has it."""
        text = (HERE.parent.parent / 'docs/operate.md').read_text(encoding='utf-8')
        lines = re.search(r'^    \[Service\]\n(?:    .*\n)+', text, re.MULTILINE).group()
        self.drop_in('freezer-agent', textwrap.dedent(lines) + 'ReadWritePaths=/srv/backups\n')
        self.tree.run('systemctl', 'restart', 'freezer-agent')
        self.tree.run('sh', '-c', 'cd /srv/data; echo more > more; chown 1234 more; chmod 0 more')
        self.run_job('packages_bus', 'bus', action='backup', path_to_backup='/srv/data',
                     incremental=True)
        check(True, 'an agent narrowed as docs/operate.md has it saves what belongs to others')

    def remove(self):
        # As apt does it: one after the other, dependants first.
        self.tree.run('dpkg', '-r', *reversed(PROGRAMS))
        running = self.tree.run('sh', '-c', 'cat /proc/[0-9]*/comm').split()
        check('systemd' in running, 'the list of processes is one')
        for name in SERVICES:
            check(name[:15] not in running, name + ' is stopped by its removal')
        check(MARK in self.tree.path('/etc/freezer/freezer-api.conf').read_text(),
              'configuration stays until purge')
        check(self.tree.path('/var/lib/freezer/agent/lock').exists(), 'state stays until purge')

    def purge(self):
        self.tree.run('dpkg', '-P', *reversed(PROGRAMS))
        left = self.named_so() - self.before
        # What the administrator made stays his: the drop-ins, and backups in the state's folder.
        expected = {'/etc/systemd/system/freezer-agent.service.d', '/var/lib/freezer-standalone',
                    '/etc/systemd/system/freezer-standalone.service.d'}
        check(left == expected,
              'after purge nothing is left but ' + ', '.join(sorted(expected | left)))
        check(os.listdir(self.tree.path('/var/lib/freezer-standalone')) == ['backups'],
              'backups beside the state stay')
        check(self.tree.path('/srv/backups').exists(), 'backups elsewhere stay')

    def by_role(self, packages):
        """All of it again by the Ansible role, which then finds nothing left to do."""
        variables = {
            'freezer_packages': str(packages),
            'freezer_transport_url': self.cloud.bus_url,
            'freezer_database_url': self.cloud.database_url,
            'freezer_auth_url': self.cloud.keystone,
            'freezer_password': self.cloud.password,
            'freezer_bind_host': '127.0.0.1',
            'freezer_bind_port': self.port,
            'freezer_metrics_ports': self.metrics_ports,
            'freezer_agent_project_id': self.project,
        }
        check(role.run(self.tree.enter(), variables) > 0, 'the role sets all of it up')
        for name in ('freezer-api', 'freezer-conductor', 'freezer-agent'):
            check(self.state(name) == 'active' and self.state(name, 'UnitFileState') == 'enabled',
                  name + ' is started by the role, and at boot')
        check(self.rights('freezer-api') == '640 root:freezer'
              and self.rights('freezer-agent') == '600 root:root', 'files of the role are for few')
        wait_until('the agent of the role is registered', self.of_role)
        self.run_job(self.of_role(), 'role', action='backup', path_to_backup='/srv/data')
        check(True, 'the agent of the role makes a backup')
        changed = role.run(self.tree.enter(), variables)
        check(changed == 0, 'the role run again changes nothing: %d' % changed)

    def of_role(self):
        """The agent that has the name it gives itself."""
        named = (agent for agent in self.agents() if agent.startswith(self.project + '_'))
        return next(named, None)

    def named_so(self):
        """All files of the tree with the service's name."""
        found = self.tree.run('find', '/', '-xdev', '(', '-path', '/srv', '-o', '-path', '/tmp',
                              ')', '-prune', '-o', '-iname', '*freezer*',
                              '!', '-path', '*.service.d/*', '-print')
        return set(found.split())

    def look_around(self):
        """What has the name already, before anything is installed."""
        self.before = self.named_so()

    def live(self, packages):
        self.look_around()
        self.install()
        self.start_too_early()
        self.configure()
        self.start()
        self.use()
        self.rotate_logs()
        self.alone()
        self.upgrade()
        self.narrow()
        self.remove()
        self.purge()
        self.by_role(packages)


def main():
    # Told to end, it still ends the machine and removes what it made.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = pathlib.Path(sys.argv[1]).resolve()
    base = subprocess.check_output([HERE / 'base-tree'], text=True).strip()
    with tempfile.TemporaryDirectory() as debs:
        for deb in folder.glob('freezer-*.deb'):
            shutil.copy(deb, debs)
        make_next_version(pathlib.Path(debs))
        with Cloud() as cloud, Tree(base, debs) as tree:
            trial = Trial(tree, cloud)
            try:
                trial.live(folder)
            except Failure as failure:
                print('FAILED: %s' % failure)
                for name in SERVICES:
                    print(tree.try_run('systemctl', 'status', '--no-pager', name).stdout)
                return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
