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

"""Clients: the hosts that work, and central ones that work for all projects."""

from tempest.lib import decorators
from tempest.lib.common.utils import data_utils

from freezer_tempest_tests.tests import base


class ClientsTest(base.BackupTest):
    credentials = ['project_member', 'project_admin', 'project_alt_member']

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        cls.admin = cls.os_project_admin.freezer.BackupClient()
        cls.stranger = cls.os_project_alt_member.freezer.BackupClient()

    @decorators.idempotent_id('a5c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_register_and_show(self):
        document = dict(base.document_of('clients'), project_id='x', config_id='y')
        made = self.make('clients', document)
        found = self.client.show('clients', made)
        self.assertEqual(self.client.tenant_id, found['project_id'])
        client = found['client']
        self.assertEqual(
            (document['hostname'], False, 'poll'),
            (client['hostname'], client['is_central'], client['link']),
        )
        self.assertEqual(
            ['backup', 'restore', 'info', 'admin', 'exec'], client['supported_actions']
        )

    @decorators.idempotent_id('a5c4b6c7-6f06-4c63-8b5c-3a0a1d0e0002')
    def test_registering_again_keeps_the_identity(self):
        document = base.document_of('clients')
        made = self.make('clients', document)
        before = self.client.show('clients', made)['client']
        self.client.create(
            'clients',
            dict(document, hostname='other.example.org', description='d', supported_modes=['fs']),
        )
        self.assertEqual(
            dict(before, description='d', supported_modes=['fs']),
            self.client.show('clients', made)['client'],
        )

    @decorators.idempotent_id('a5c4b6c7-6f06-4c63-8b5c-3a0a1d0e0003')
    def test_names(self):
        for name in ('01b0f00a-4ce2_myhost.tld', 'tenant_52_host-name_19', 'a.b.c-d'):
            self.make('clients', {'client_id': data_utils.rand_name('x').replace('_', '-') + name})
        path = self.client.path('clients')
        for name in ('-a', '_a', 'x_y.z_w', 'bad%id_h', 'p_bad_host.bad/b', 'l' * 300, 'a\n', ''):
            self.check_refused(
                400, self.client.call('POST', path, {'client_id': name}), 'client_id'
            )
        good = data_utils.rand_name('client')
        for change, text in (
            ({'hostname': '***'}, 'hostname'),
            ({'description': None}, 'description'),
            ({'supported_modes': ['tape']}, 'supported_modes'),
            ({'is_central': 'yes'}, 'is_central'),
        ):
            body = dict({'client_id': good}, **change)
            self.check_refused(400, self.client.call('POST', path, body), text)

    @decorators.idempotent_id('a5c4b6c7-6f06-4c63-8b5c-3a0a1d0e0004')
    def test_central_clients(self):
        document = dict(base.document_of('clients'), is_central=True)
        self.check_refused(403, self.client.call('POST', self.client.path('clients'), document))
        made = self.make('clients', document, self.admin)
        found = self.stranger.show('clients', made)
        self.assertTrue(found['client']['is_central'])
        self.assertEqual(self.admin.tenant_id, found['project_id'])
        self.assertIn(made, self.ids('clients', self.stranger, limit=1000))
        taken = self.stranger.call('POST', self.stranger.path('clients'), {'client_id': made})
        self.check_refused(409, taken, 'already registered by another project')
        path = self.stranger.path('clients', made)
        self.check_refused(403, self.stranger.call('DELETE', path))
        self.assertEqual(405, self.client.call('PATCH', self.client.path('clients', made), {})[0])
