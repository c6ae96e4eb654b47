"""A Debian machine to try packages on: a tree with systemd as process 1, in a container.

It shares the network. What is done to it stays in folders of its own over the base tree, and goes
with it.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

PATIENCE_SECONDS = 120
ENVIRONMENT = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C.UTF-8',
               'DEBIAN_FRONTEND': 'noninteractive'}


class Failure(Exception):
    """A check that did not hold."""


def wait_until(what, condition):
    """Until `condition` returns something true, which is returned."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure('waited in vain: ' + what)
        time.sleep(0.2)


class Tree:
    """A booted copy of the base tree; a context that ends with it."""

    def __init__(self, base, folder_of_packages):
        self.base = base
        self.debs = folder_of_packages
        beside = os.path.dirname(base)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='freezer-tree-', dir=beside))
        self.root = self.folder / 'root'
        self.nspawn = None
        self.leader = None

    def __enter__(self):
        for name in ('over', 'work', 'root'):
            (self.folder / name).mkdir(mode=0o755)
        options = 'lowerdir=%s,upperdir=%s,workdir=%s' % (
            self.base, self.folder / 'over', self.folder / 'work')
        subprocess.run(['mount', '-t', 'overlay', 'overlay', '-o', options, self.root], check=True)
        try:
            self.boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def boot(self):
        """Starts systemd in the tree, and waits until it has started what it starts."""
        log = open(self.folder / 'console', 'w', encoding='utf-8')
        self.nspawn = subprocess.Popen(
            ['systemd-nspawn', '--quiet', '--boot', '--register=no', '--keep-unit',
             '--console=pipe', '--link-journal=no', '--resolv-conf=off', '--timezone=off',
             '--directory', self.root, '--bind-ro=%s:/debs' % self.debs],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=ENVIRONMENT)
        self.leader = wait_until('systemd-nspawn starts a machine', self.find_leader)
        wait_until('systemd answers',
                   lambda: self.try_run('test', '-S', '/run/systemd/private').returncode == 0)
        # A container without devices of its own may be "degraded"; the units under test are asked
        # one by one.
        self.try_run('systemctl', 'is-system-running', '--wait')

    def find_leader(self):
        """The process that is number 1 inside."""
        if self.nspawn.poll() is not None:
            console = (self.folder / 'console').read_text(errors='replace')
            raise Failure('systemd-nspawn ended:\n' + console)
        children = subprocess.run(['pgrep', '-P', str(self.nspawn.pid)], capture_output=True,
                                  text=True, check=False).stdout
        for pid in children.split():
            status = pathlib.Path('/proc/%s/status' % pid).read_text(encoding='ascii')
            if re.search(r'^NSpid:\s+\d+\s+1$', status, re.MULTILINE):
                return pid
        return None

    def enter(self):
        """The words before a command that have it run inside."""
        return ['nsenter', '-t', self.leader, '-m', '-u', '-i', '-p', '-r', '-w', '--']

    def try_run(self, *command, stdin=''):
        """Runs a command inside, as root."""
        return subprocess.run([*self.enter(), *command], input=stdin, env=ENVIRONMENT,
                              capture_output=True, text=True, check=False)

    def run(self, *command, stdin=''):
        """The same, and it has to succeed; returns what it said on both streams."""
        done = self.try_run(*command, stdin=stdin)
        if done.returncode != 0:
            raise Failure('%s: status %d\n%s%s' % (
                ' '.join(command), done.returncode, done.stdout, done.stderr))
        return done.stdout + done.stderr

    def path(self, inside):
        """A path of the tree, seen from outside."""
        return self.root / inside.lstrip('/')

    def __exit__(self, *_):
        if self.leader and self.nspawn.poll() is None:
            # SIGRTMIN+4 is systemd's order to power off.
            os.kill(int(self.leader), 38)
            try:
                self.nspawn.wait(30)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
                self.nspawn.wait()
        elif self.nspawn and self.nspawn.poll() is None:
            self.nspawn.kill()
            self.nspawn.wait()
        subprocess.run(['umount', self.root], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
