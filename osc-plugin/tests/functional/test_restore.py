"""Restore, plans of restores, verify."""

import filecmp
import os

from tests.functional import base


class RestoreTest(base.FunctionalTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.job_id = cls.world.saved('papers')

    def target(self, name):
        return os.path.join(self.world.folder, name)

    def test_wait(self):
        target = self.target('back')
        shown = self.json('restore', 'papers', '--to', target, '--wait')
        self.assertEqual(('success', self.world.agent_id), (shown['state'], shown['client_id']))
        source = self.target('papers')
        self.assertEqual(([], [], []), _difference(source, target))
        # The job was for this run alone.
        self.assertNotEqual(self.job_id, shown['job_id'])
        gone = self.world.api('member').get('/jobs/' + shown['job_id'], raise_exc=False)
        self.assertEqual(404, gone.status_code)
        self.refused('restore', 'papers', '--to', source, '--wait', text='not empty')

    def test_without_waiting(self):
        record = self.world.record('papers')
        target = self.target('back-later')
        made = self.json('restore', record, '--to', target)
        self.assertIn('Restore of papers as of 20', made['description'])
        ended = self.json('run', 'watch', self._run_of(made['job_id']))
        self.assertEqual('success', ended['state'])
        self.assertTrue(os.path.exists(os.path.join(target, 'deep/b.txt')))

    def test_wait_shows_a_bar_on_a_terminal(self):
        target = self.target('back-with-a-bar')
        shown = self.world.run_on_terminal(
            'member', 'backup', 'restore', 'papers', '--to', target, '--wait'
        )
        self.assertIn('\r\033[K[%s] 100%% success' % ('=' * 30), shown)
        self.assertEqual(([], [], []), _difference(self.target('papers'), target))

    def _run_of(self, job_id):
        runs = self.world.until(
            'the restore has begun',
            lambda: self.world.api('member').get('/jobs/%s/runs' % job_id).json()['runs'],
        )
        return runs[0]['run_id']

    def test_a_stream_comes_back(self):
        self.world.saved_stream('numbers', 'seq 1 9')
        target = self.target('numbers-again')
        self.json('restore', 'numbers', '--to', target, '--wait')
        with open(os.path.join(target, 'stream', '000001')) as part:
            self.assertEqual('123456789', part.read().replace('\n', ''))

    def test_plan_writes_nothing(self):
        target = self.target('never')
        rows = self.json('plan', 'restore', 'papers', '--to', target)
        self.assertEqual(
            ('folder', target, 'write'), (rows[0]['Resource'], rows[0]['Name'], rows[0]['Deed'])
        )
        self.assertIn('from 1 levels as of 20', rows[0]['Remark'])
        self.assertFalse(os.path.exists(target))

    def test_a_reader_may_not_restore(self):
        for words in (('restore',), ('plan', 'restore')):
            self.refused(
                *words,
                'papers',
                '--to',
                self.target('stolen'),
                user='reader',
                text='You are not allowed to access this resource (HTTP 403)'
            )
        self.refused('verify', 'papers', user='reader', text='(HTTP 403)')
        self.assertFalse(os.path.exists(self.target('stolen')))

    def test_another_project_sees_nothing(self):
        for name in ('papers', self.world.record('papers')):
            for words in (
                ('restore', name, '--to', '/tmp/stolen'),
                ('verify', name),
                ('plan', 'restore', name, '--to', '/tmp/stolen'),
            ):
                self.refused(
                    *words,
                    user='stranger',
                    text='No backup with a name or id of "%s" exists' % name
                )

    def test_bad_input(self):
        to = ('--to', self.target('never'))
        for words, text in (
            (('papers',), 'Say with --to where the files shall be restored to'),
            (('nobody',) + to, 'No backup with a name or id of "nobody" exists'),
            (('papers', '--flavor', 'x') + to, '--flavor is not for backups of mode fs'),
            (('papers', '--resource', 'x') + to, 'leave --resource out'),
            (('papers', '--agent', 'nobody') + to, 'No agent with a name or id of "nobody"'),
            (
                ('papers', '--not-after', '2001-01-01T00:00:00') + to,
                'exists that is not newer than 2001-01-01T00:00:00Z',
            ),
        ):
            self.refused('restore', *words, text=text)
        self.refused(
            'restore',
            'papers',
            '--not-after',
            'yesterday',
            *to,
            status=2,
            text='"yesterday" is not a time; write YYYY-MM-DDThh:mm:ss'
        )
        self.refused(
            'restore', 'papers', '--property', 'timeout=soon', '--wait', *to, text='timeout'
        )


class VerifyTest(base.FunctionalTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.job_id = cls.world.saved('proof')

    def test_sound_then_damaged(self):
        shown = self.json('verify', 'proof')
        self.assertEqual(
            ('success', 'all data read back', 1),
            (shown['result'], shown['method'], shown['levels']),
        )
        self.assertGreater(shown['bytes_read'], 0)
        quick = self.json('verify', 'proof', '--quick')
        self.assertEqual(('complete', 'list of the storage'), (quick['result'], quick['method']))
        _flip_a_byte(_largest(self.world.store, 'proof'))
        answer = self.refused('verify', 'proof', text='damaged in one place')
        self.assertRegex(answer.out, r'\| result +\| fail ')
        self.assertRegex(answer.out, r'\| faults +\| \w')

    def test_what_only_cinder_reads(self):
        record = {
            'container': 'c',
            'hostname': 'h',
            'backup_name': 'disk',
            'mode': 'cindernative',
            'storage': 'swift',
            'job_id': self.job_id,
            'cindernative_vol_id': 'v',
        }
        made = self.world.api('member').post('/backups', json=record).json()['backup_id']
        self.addCleanup(self.world.api('member').delete, '/backups/' + made)
        self.refused('verify', made, text='Only Cinder reads its own backups')

    def test_schedulers_that_poll(self):
        name = self.world.tag + '-poller'
        self.world.api('member').post('/clients', json={'client_id': name})
        self.addCleanup(self.world.api('member').delete, '/clients/' + name)
        self.refused('verify', 'proof', '--agent', name, text='it could take a check for a restore')


def _difference(one, other):
    found = filecmp.dircmp(one, other)
    deep = filecmp.dircmp(os.path.join(one, 'deep'), os.path.join(other, 'deep'))
    return tuple(
        getattr(found, part) + getattr(deep, part)
        for part in ('left_only', 'right_only', 'diff_files')
    )


def _largest(store, name):
    """The data of a backup in a local store."""
    paths = [
        os.path.join(folder, file)
        for folder, _, files in os.walk(store)
        for file in files
        if name in folder
    ]
    return max(paths, key=os.path.getsize)


def _flip_a_byte(path):
    with open(path, 'r+b') as data:
        data.seek(os.path.getsize(path) // 2)
        byte = data.read(1)
        data.seek(-1, os.SEEK_CUR)
        data.write(bytes([byte[0] ^ 0xFF]))
