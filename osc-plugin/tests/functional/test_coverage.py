"""Coverage, with real volumes of Cinder."""

import time

from tests.functional import base


class CoverageTest(base.FunctionalTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cloud = cls.world.connect('member')
        cls.volumes = {}
        for name in ('safe', 'bare', 'stale'):
            volume = cls.cloud.block_storage.create_volume(name=name, size=1)
            cls.volumes[name] = volume.id
            cls.addClassCleanup(cls._delete, volume)
        # Records as schedulers write them.
        cls._record('safe', int(time.time()))
        cls._record('stale', int(time.time()) - 5 * 86400)
        # What another project says of this one's volume protects nothing.
        cls._record('bare', int(time.time()), 'stranger')

    @classmethod
    def _delete(cls, volume):
        cls.world.until(
            'the volume can go',
            lambda: cls.cloud.block_storage.get_volume(volume.id).status in ('available', 'error'),
        )
        cls.cloud.block_storage.delete_volume(volume)
        cls.cloud.block_storage.wait_for_delete(volume, interval=1, wait=60)

    @classmethod
    def _record(cls, name, moment, user='member'):
        record = {
            'container': 'c',
            'hostname': 'h',
            'backup_name': name,
            'mode': 'cinder',
            'storage': 'swift',
            'cinder_vol_id': cls.volumes[name],
            'time_stamp': moment,
        }
        made = cls.world.api(user).post('/backups', json=record).json()['backup_id']
        cls.addClassCleanup(cls.world.api(user).delete, '/backups/' + made)

    def test_volumes(self):
        rows = {row['Name']: row for row in self.json('coverage', '--type', 'volume', '--long')}
        self.assertEqual(
            {'safe': 'yes', 'bare': 'no', 'stale': 'old'},
            {name: row['Covered'] for name, row in rows.items()},
        )
        self.assertEqual('safe', rows['safe']['Backup Name'])
        rows = self.json('coverage', '--within', '7', '--uncovered')
        self.assertEqual(['bare'], [row['Name'] for row in rows])

    def test_check_is_for_scripts(self):
        answer = self.world.run(
            'member', 'backup', 'coverage', '--check', '-f', 'value', '-c', 'Name'
        )
        self.assertEqual(1, answer.status, answer.err)
        self.assertEqual({'safe', 'bare', 'stale'}, set(answer.out.split()))

    def test_another_project_sees_nothing(self):
        self.assertEqual([], self.json('coverage', user='stranger'))
