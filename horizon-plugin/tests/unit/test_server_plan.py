"""What becomes of a server in a restore, before it is done."""

import types
from unittest import mock

from django.test import SimpleTestCase

from freezer_dashboard import restores
from freezer_dashboard import server_plan
from freezer_dashboard.content.backups import server_facts
from tests.unit import answers
from tests.unit.panel import PanelTest

TINY = server_plan.Flavor('f1', 'tiny', 1, 64, 1)
BIG = server_plan.Flavor('f2', 'big', 8, 4096, 10)
PORT = server_plan.Port('n1', ['10.0.0.5'], 'fa:16:3e:00:00:01')
CLOUD = server_plan.Cloud(
    flavors={'f1': TINY, 'f2': BIG}, networks={'n1': 'net', 'n2': 'other net'},
    volumes={'v1': 'data'}, server=server_plan.Old(TINY, [PORT]),
    left={'instances': 3, 'cores': 4, 'ram': float('inf'), 'volumes': 0, 'gigabytes': 9, 'port': 7})
GONE = CLOUD._replace(server=None, volumes={})


def plan(cloud=CLOUD, **wishes):
    metadata = answers.server()['backup_metadata']
    action = dict({'action': 'restore', 'mode': 'nova', 'backup_name': 'web'}, **wishes)
    made = server_plan.plan(metadata, action, cloud)
    rows = [(str(row['part']), row['was'], row['made'], row['is_open']) for row in made['parts']]
    quotas = {str(row['label']): (row['needed'], row['left'], row['is_short'])
              for row in made['quotas']}
    return rows, quotas


class Plan(SimpleTestCase):
    def test_all_parts_are_told(self):
        rows, quotas = plan()
        size = 'tiny: 1 VCPU, 64 MiB, disk of 1 GiB'
        self.assertEqual(rows, [
            ('Server', 'web', 'web~1795686001', False), ('Flavor', size, size, False),
            ('Disk', "the server's own, 1.0 GiB", 'its disk, from the private image web~disk', False),
            ('Disk', 'volume data, 2.0 GiB', 'a new volume of 3 GiB, attached', False),
            ('Interface', 'net, 10.0.0.5, fa:16:3e:00:00:01', 'net', False),
            ('Floating IPs', '-', 'none', False)])
        self.assertEqual(quotas, {
            'Servers': (1, 3, False), 'VCPUs': (1, 4, False),
            'MiB of RAM': (64, 'no limit', False), 'Volumes': (1, 0, True),
            'GiB of volumes': (3, 9, False), 'Ports': (1, 7, False)})

    def test_what_is_mapped_is_told(self):
        for wish in ('n2', 'other net', 'n1=n2', 'net=other net'):
            rows, _quotas = plan(nova_restore_network=wish, restore_name='again')
            self.assertEqual(rows[0][2], 'again')
            self.assertEqual([row[2:] for row in rows if row[0] == 'Interface'],
                             [('other net', False)], wish)
        rows, quotas = plan(nova_restore_flavor='big')
        self.assertIn('big: 8 VCPUs', rows[1][2])
        self.assertEqual(quotas['VCPUs'], (8, 4, True))

    def test_what_cannot_be_is_marked(self):
        for wishes, part in (({'nova_restore_network': 'n9'}, 'Interface'),
                             ({'nova_restore_flavor': 'f9'}, 'Flavor')):
            rows, _quotas = plan(**wishes)
            self.assertEqual([row[0] for row in rows if row[3]], [part])
        rows, _quotas = plan(CLOUD._replace(networks={'n2': 'other net'}))
        self.assertEqual([row[0] for row in rows if row[3]], ['Interface'])

    def test_of_a_server_that_is_gone_no_more_is_said_than_is_known(self):
        rows, quotas = plan(GONE, nova_restore_network='old=n2')
        self.assertEqual(rows[1][1:3], ('as the backup says', 'as the backup says'))
        self.assertEqual(rows[-1], ('Interfaces', 'as the backup says', 'old → other net', False))
        self.assertNotIn('VCPUs', quotas)
        self.assertNotIn('Ports', quotas)
        rows, _quotas = plan(GONE, nova_restore_network='n9')
        self.assertEqual(rows[-1][2:], ('n9', True))

    def test_one_of_several_servers_is_meant(self):
        several = answers.server(servers={'s1': {'server_name': 'web'}, 's2': {'server_name': 'db'}})
        self.assertEqual(server_plan.saved(several, {'nova_inst_id': 's2'}), {'server_name': 'db'})


class Pages(PanelTest):
    ACTION = {'action': 'restore', 'mode': 'nova', 'backup_name': 'web', 'container': 'saved',
              'hostname': 'db1', 'restore_from_date': '2026-11-26T09:40:01Z',
              'nova_restore_network': 'n2'}

    def setUp(self):
        super().setUp()
        self.api['backup_list'].return_value = [answers.server()]
        net = types.SimpleNamespace
        for name, value in (
                ('nova.flavor_list', [net(id='f1', name='tiny', vcpus=1, ram=64, disk=1)]),
                ('nova.server_get', net(flavor={'original_name': 'tiny'})),
                ('neutron.network_list_for_tenant', [net(id='n1', name_or_id='net'),
                                                     net(id='n2', name_or_id='other net')]),
                ('neutron.port_list', [net(network_id='n1', mac_address='fa:16',
                                           fixed_ips=[{'ip_address': '10.0.0.5'}])])):
            patcher = mock.patch('openstack_dashboard.api.' + name, return_value=value)
            setattr(self, name.replace('.', '_'), patcher.start())
            self.addCleanup(patcher.stop)
        patcher = mock.patch.object(server_facts.quotas, 'tenant_quota_usages',
                                    return_value={'volumes': {'available': 0}})
        patcher.start()
        self.addCleanup(patcher.stop)

    def confirmed(self, **changes):
        sealed = restores.sealed('central', dict(self.ACTION, **changes))
        return self.client.get(self.url('backups', 'confirm'), {'restore': sealed}).content.decode()

    def test_the_page_that_asks_shows_it(self):
        text = self.confirmed()
        for word in ('web~1795686001', 'tiny: 1 VCPU,', '10.0.0.5', 'other net', 'too little',
                     'from the private image web~disk'):
            self.assertIn(word, text)
        self.assertEqual(self.api['backup_list'].call_args[1], {
            'since': 1795686001, 'until': 1795686001, 'match': {'container': 'saved'}})

    def test_the_plan_of_the_agent_shows_it_too(self):
        self.api['run_get'].return_value = answers.run(
            state='success', job_actions=[{'freezer_action': dict(self.ACTION, dry_run=True)}])
        text = self.shown('runs', 'detail', 'run1')
        self.assertIn('from the private image web~disk', text)
        self.assertIn('Restore Now', text)

    def test_without_a_record_or_other_services_the_rest_is_shown(self):
        for listed in ('nova_flavor_list', 'nova_server_get', 'neutron_network_list_for_tenant'):
            getattr(self, listed).side_effect = RuntimeError('away')
        text = self.confirmed(nova_restore_network=None)
        self.assertIn('as the backup says', text)
        self.api['backup_list'].return_value = [answers.server(backup_name='other')]
        self.assertNotIn('freezer-server-plan', self.confirmed())
        self.assertIn('Restore Now', self.confirmed())
