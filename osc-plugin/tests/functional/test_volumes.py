"""Volumes and servers: saved by the central agent, and back again by the openstack command."""

import hashlib
import os
import subprocess

from tests.functional import base
from tests.functional import world

MIB = 2**20
PATIENCE = world.PATIENCE


class CloudTest(base.FunctionalTest):
    """Has a login of the project at the cloud; whatever it has there in the end is removed."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cloud = cls.world.connect('member')
        cls.addClassCleanup(cls._empty_store)
        cls.addClassCleanup(cls._remove_resources)

    @classmethod
    def _remove_resources(cls):
        for server in cls.cloud.list_servers():
            cls.cloud.delete_server(server.id, wait=True, timeout=PATIENCE)
        for volume in cls.cloud.list_volumes():
            cls.cloud.delete_volume(volume.id, wait=True, timeout=PATIENCE)
        for image in cls.cloud.image.images(owner=cls.cloud.current_project_id):
            cls.cloud.delete_image(image.id)

    @classmethod
    def _empty_store(cls):
        store = cls.cloud.object_store
        for container in list(store.containers()):
            for item in list(store.objects(container)):
                store.delete_object(item, container=container)
            store.delete_container(container)

    def saved_there(self, name, **what):
        """Saves a resource in Swift under a name."""
        job_id = self.world.job(
            name,
            engine_name=None,
            path_to_backup=None,
            storage='swift',
            container=name,
            client='central_minicloud',
            **what
        )
        shown = self.json('run', 'watch', self._run_of(job_id))
        self.assertEqual('success', shown['state'])

    def _run_of(self, job_id):
        api = self.world.api('member')
        runs = self.world.until(
            'the job runs', lambda: api.get('/jobs/%s/runs' % job_id).json()['runs']
        )
        return runs[0]['run_id']


class VolumeTest(CloudTest):

    def test_a_volume_comes_back_as_a_new_one(self):
        name = self.world.tag + '-data'
        volume = self._volume(name)
        self.saved_there(name, mode='cinder', cinder_vol_id=volume.id)
        again = name + '-again'
        (row,) = self.json('plan', 'restore', name, '--name', again)
        self.assertEqual(('volume', 'new'), (row['Resource'], row['Deed']))
        self.assertIsNone(self.cloud.get_volume(again))
        shown = self.json('restore', name, '--name', again, '--wait')
        self.assertEqual('success', shown['state'])
        restored = self.cloud.get_volume(again)
        self.assertNotEqual(volume.id, restored.id)
        self.assertEqual(_content(volume.id), _content(restored.id))
        # Both that are there count: the old one has a backup, the new one has none yet.
        covered = {row['ID']: row['Covered'] for row in self.json('coverage', '--type', 'volume')}
        self.assertEqual(('yes', 'no'), (covered[volume.id], covered[restored.id]))
        self.refused('restore', name, '--to', '/tmp', text='--to is not for backups of mode cinder')

    def _volume(self, name):
        image = self.cloud.create_image(
            name,
            data=os.urandom(MIB),
            disk_format='raw',
            container_format='bare',
            wait=True,
            timeout=PATIENCE,
        )
        return self.cloud.create_volume(1, name=name, image=image.id, wait=True, timeout=PATIENCE)


class ServerTest(CloudTest):

    def test_a_server_comes_back_beside_the_old_one(self):
        name = self.world.tag + '-web'
        server = self._server(name)
        self._has_booted(server.id, 1)
        self.saved_there(name, mode='nova', nova_inst_id=server.id)
        again = name + '-again'
        rows = self.json('plan', 'restore', name, '--name', again)
        self.assertEqual((again, 'create'), (rows[0]['Name'], rows[0]['Deed']))
        resources = [row['Resource'] for row in rows]
        self.assertEqual(['server', 'flavor', 'disk'], resources[:3])
        self.assertNotIn('missing', resources)
        shown = self.json('restore', name, '--name', again, '--wait')
        self.assertEqual('success', shown['state'])
        restored = self.cloud.get_server(again)
        self.assertEqual('ACTIVE', restored.status)
        # The guest counts on its disk how often it has booted.
        self._has_booted(restored.id, 2)
        covered = {row['ID']: row['Covered'] for row in self.json('coverage', '--type', 'server')}
        self.assertEqual(('yes', 'no'), (covered[server.id], covered[restored.id]))

    def _server(self, name):
        compute = self.cloud.compute
        server = compute.create_server(
            name=name,
            image_id=self.cloud.image.find_image('tiny').id,
            flavor_id=compute.find_flavor('tiny').id,
            networks='none',
        )
        return compute.wait_for_server(server, wait=PATIENCE)

    def _has_booted(self, server, times):
        self.world.until(
            'the guest has booted %d times' % times,
            lambda: 'MINICLOUD BOOT %d' % times in self.cloud.get_server_console(server),
        )


def _content(volume):
    """The hash of all of a volume, read where Cinder keeps it."""
    total = hashlib.sha256()
    reader = subprocess.Popen(
        ['rbd', '-c', '/etc/ceph/ceph.conf', 'export', '--no-progress', 'volumes/volume-' + volume]
        + ['-'],
        stdout=subprocess.PIPE,
        # It has much to say of sockets that it could not open.
        stderr=subprocess.DEVNULL,
    )
    while part := reader.stdout.read(4 * MIB):
        total.update(part)
    if reader.wait():
        raise AssertionError('rbd export of volume %s failed' % volume)
    return total.hexdigest()
