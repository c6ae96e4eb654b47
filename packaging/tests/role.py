"""The Ansible role, run against a machine of `tree.py`, entered where Ansible would call ssh."""

import json
import os
import pathlib
import re
import subprocess
import tempfile

from tree import Failure

ANSIBLE = pathlib.Path(__file__).resolve().parent.parent / 'ansible'
# The last word is the command.
WAY_IN = '''#!/bin/sh
for last; do :; done
export HOME=/root LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec %s /bin/sh -c "$last"
'''
# One machine has everything. Ansible is root there already.
INVENTORY = '''[freezer_controllers]
machine
[freezer_hosts]
machine
[all:vars]
ansible_ssh_executable=%s
ansible_ssh_transfer_method=piped
ansible_become=false
ansible_python_interpreter=/usr/bin/python3
'''


def run(enter, variables):
    """Runs site.yml with these variables; returns how many tasks have changed something.

    `enter` are the words before a command that have it run in the machine.
    """
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        way_in, inventory, given = (folder / name for name in ('way-in', 'inventory', 'given.json'))
        way_in.write_text(WAY_IN % ' '.join(enter), encoding='utf-8')
        way_in.chmod(0o755)
        inventory.write_text(INVENTORY % way_in, encoding='utf-8')
        given.write_text(json.dumps(variables), encoding='utf-8')
        given.chmod(0o600)
        done = subprocess.run(
            ['ansible-playbook', '-i', inventory, '--extra-vars', '@%s' % given, 'site.yml'],
            cwd=ANSIBLE, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            env={'PATH': os.environ['PATH'], 'HOME': str(folder), 'LC_ALL': 'C.UTF-8',
                 'ANSIBLE_LOCAL_TEMP': str(folder), 'ANSIBLE_NOCOLOR': '1',
                 'ANSIBLE_PIPELINING': '1', 'ANSIBLE_SSH_ARGS': ''})
    recap = re.search(r'^machine +: ok=\d+ +changed=(\d+) ', done.stdout, re.MULTILINE)
    if done.returncode != 0 or not recap:
        raise Failure('ansible-playbook: status %d\n%s%s' % (
            done.returncode, done.stdout[-4000:], done.stderr[-2000:]))
    return int(recap.group(1))
