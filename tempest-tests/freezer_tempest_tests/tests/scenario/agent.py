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

"""An agent beside the tests works for the project, as one in a tenant's machine does."""

import os
import shutil
import signal
import subprocess
import tempfile
import time

from tempest import config
from tempest.lib.common.utils import data_utils
from tempest.lib import exceptions

from freezer_tempest_tests.tests.scenario import base

CONF = config.CONF


class AgentTest(base.ScenarioTest):
    """Has an agent, and a folder for what it saves and where."""

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not CONF.freezer.agent_program:
            raise cls.skipException('[freezer] agent_program is not set')
        if not os.access(CONF.freezer.agent_program, os.X_OK):
            raise exceptions.InvalidConfiguration(
                '[freezer] agent_program: no program at %s' % CONF.freezer.agent_program
            )

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        cls.folder = tempfile.mkdtemp(prefix='freezer-tempest-')
        cls.addClassResourceCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.store = os.path.join(cls.folder, 'store')
        os.mkdir(cls.store)
        cls.worker_id = data_utils.rand_name('agent')
        cls._start_agent()

    @classmethod
    def _start_agent(cls):
        login = cls.os_project_member.credentials
        conf = os.path.join(cls.folder, 'agent.conf')
        with open(os.open(conf, os.O_WRONLY | os.O_CREAT, 0o600), 'w') as out:
            out.write(
                '[agent]\nlink = http\nclient_id = %s\nstate_dir = %s\nconcurrent_jobs = 4\n'
                'progress_interval = 0.2\n[service_auth]\nauth_type = password\n'
                'auth_url = %s\nusername = %s\npassword = %s\nuser_domain_id = %s\n'
                'project_id = %s\n'
                % (
                    cls.worker_id,
                    os.path.join(cls.folder, 'state'),
                    CONF.identity.uri_v3 or CONF.identity.uri,
                    login.username,
                    login.password,
                    login.user_domain_id,
                    login.project_id,
                )
            )
        log = open(os.path.join(cls.folder, 'agent.log'), 'wb')
        agent = subprocess.Popen(
            [CONF.freezer.agent_program, '--config-file', conf, 'serve'],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        log.close()
        cls.addClassResourceCleanup(cls._stop_agent, agent)
        cls.wait_until(
            'the agent has said hello',
            lambda: cls.client.list('clients', search={'match': [{'client_id': cls.worker_id}]}),
        )

    @classmethod
    def _stop_agent(cls, agent):
        agent.send_signal(signal.SIGTERM)
        agent.wait(30)
        cls.client.remove('clients', cls.worker_id)

    def source(self, name):
        """A folder with something in it."""
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.join(path, 'deep'))
        write(path, 'a.txt', 'first')
        write(path, 'deep/b.bin', 'second' * 20000)
        os.symlink('a.txt', os.path.join(path, 'link'))
        return path

    def action(self, name, kind='backup', **more):
        """An action of the agent on a local store."""
        return dict(
            {
                'action': kind,
                'mode': 'fs',
                'engine_name': 'tar',
                'storage': 'local',
                'container': self.store,
                'backup_name': name,
            },
            **more
        )

    def check_same(self, one, other):
        """Two folders hold the same."""
        found = subprocess.run(
            ['diff', '-r', '--no-dereference', one, other], capture_output=True, text=True
        )
        self.assertEqual((0, ''), (found.returncode, found.stdout + found.stderr))


def write(folder, name, text):
    with open(os.path.join(folder, name), 'w') as out:
        out.write(text)


def iso(secs):
    """Epoch seconds as a date, UTC, without a zone."""
    return time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(secs))
