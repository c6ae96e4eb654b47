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

"""A folder is saved, changes, and comes back as it was at each time."""

import os
import shutil

from tempest.lib import decorators

from freezer_tempest_tests.tests import base
from freezer_tempest_tests.tests.scenario import agent


class FilesTest(agent.AgentTest):

    credentials = ['project_member', 'project_alt_member']

    @decorators.idempotent_id('c1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_backup_change_restore(self):
        source = self.source('web')
        was = source + '-was'
        shutil.copytree(source, was, symlinks=True)
        save = self.action('web', path_to_backup=source, incremental=True)
        first = self.done(save)
        agent.write(source, 'c.txt', 'third')
        os.remove(os.path.join(source, 'a.txt'))
        second = self.done(save)
        levels = [
            run['steps'][0]['result']['backup_metadata']['curr_backup_level']
            for run in (first, second)
        ]
        self.assertEqual([0, 1], levels)
        self._check_records('web', first, second)
        newest, older = os.path.join(self.folder, 'newest'), os.path.join(self.folder, 'older')
        self.done(self.action('web', 'restore', restore_abs_path=newest))
        self.check_same(source, newest)
        moment = first['steps'][0]['result']['backup_metadata']['time_stamp']
        self.done(
            self.action(
                'web',
                'restore',
                restore_abs_path=older,
                restore_from_date='%sZ' % (agent.iso(moment)),
            )
        )
        self.check_same(was, older)

    @decorators.idempotent_id('c1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0006')
    def test_another_project_sees_nothing_of_a_run(self):
        source = self.source('ours')
        run = self.done(self.action('ours', path_to_backup=source))
        stranger = self.os_project_alt_member.freezer.BackupClient()
        own = self.client.tenant_id
        for parts in (('runs', run['run_id']), ('jobs', run['job_id'], 'runs')):
            self.assertEqual(404, stranger.call('GET', stranger.path(*parts))[0])
            foreign = stranger.path(*parts, project=own)
            self.check_refused(403, stranger.call('GET', foreign))
        for project, status in ((None, 404), (own, 403)):
            path = stranger.path('runs', run['run_id'], project=project)
            self.assertEqual(status, stranger.call('PATCH', path, {'upload_limit': 1})[0])
        self.assertEqual([], stranger.list('runs', search={'match': [{'job_id': run['job_id']}]}))
        self.assertNotIn(run['run_id'], [row['run_id'] for row in stranger.list('runs')])
        # Nor can it have a restore of what it has heard the name of.
        record = self.client.list('backups', search={'match': [{'backup_name': 'ours'}]})[0]
        path = stranger.path('backups', record['backup_id'])
        self.assertEqual(404, stranger.call('GET', path)[0])
        job = dict(
            base.document_of('jobs'),
            client_id=self.worker_id,
            job_actions=[{'freezer_action': self.action('ours', 'restore', restore_abs_path='/x')}],
        )
        refused = stranger.call('POST', stranger.path('jobs'), job)
        self.check_refused(422, refused, 'Client not found with ID %s' % self.worker_id)

    def _check_records(self, name, *runs):
        search = {'match': [{'backup_name': name}]}
        records = self.client.list('backups', search=search)
        self.assertEqual(
            [run['job_id'] for run in runs],
            [record['backup_metadata']['job_id'] for record in records],
        )
        for record in records:
            self.addCleanup(self.client.remove, 'backups', record['backup_id'])

    @decorators.idempotent_id('c1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0002')
    def test_a_restore_does_not_write_over_what_is_there(self):
        source = self.source('kept')
        self.done(self.action('kept', path_to_backup=source))
        run = self.ended_run(self.start(self.action('kept', 'restore', restore_abs_path=source)))
        self.assertEqual('fail', run['state'])
        self.assertIn('not empty', run['error'])

    @decorators.idempotent_id('c1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0003')
    def test_what_fails_is_told(self):
        job = self.start(self.action('gone', path_to_backup='/nowhere/at/all'))
        run = self.ended_run(job)
        self.assertEqual('fail', run['state'])
        self.assertIn('/nowhere/at/all', run['error'])
        schedule = self.wait_until('the job shows it', lambda: self._completed(job))
        self.assertEqual('fail', schedule['result'])
        search = {'match': [{'backup_name': 'gone'}]}
        self.assertEqual([], self.client.list('backups', search=search))

    def _completed(self, job):
        schedule = self.client.show('jobs', job)['job_schedule']
        return schedule if schedule['status'] == 'completed' else None

    @decorators.idempotent_id('c1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0004')
    def test_a_damaged_backup_is_never_restored_in_silence(self):
        source = self.source('hurt')
        self.done(self.action('hurt', path_to_backup=source))
        paths = [
            os.path.join(folder, file)
            for folder, _, files in os.walk(self.store)
            for file in files
            if 'hurt' in folder
        ]
        with open(max(paths, key=os.path.getsize), 'r+b') as data:
            data.seek(-20, os.SEEK_END)
            byte = data.read(1)
            data.seek(-1, os.SEEK_CUR)
            data.write(bytes([byte[0] ^ 0xFF]))
        target = os.path.join(self.folder, 'hurt-again')
        run = self.ended_run(self.start(self.action('hurt', 'restore', restore_abs_path=target)))
        self.assertNotEqual('success', run['state'])

    @decorators.idempotent_id('c1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0005')
    def test_a_dry_run_leaves_no_record(self):
        source = self.source('dry')
        self.done(self.action('dry', path_to_backup=source, dry_run=True))
        search = {'match': [{'backup_name': 'dry'}]}
        self.assertEqual([], self.client.list('backups', search=search))
