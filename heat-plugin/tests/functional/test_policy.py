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

"""A protection policy saves a server and a volume, and a stack starts from what it saved."""

import hashlib
import os

from heatclient import exc as heat_exc

from tests.functional import base
from tests.functional import world

MIB = 2**20
GIB = 2**30
NEEDED = 'needs one of servers, server_tag, server_metadata, volumes, volume_metadata'
NEVER = {'start_date': '2099-01-01T03:00:00', 'interval': '1 days'}


def policy(**more):
    return {'type': 'OS::Freezer::ProtectionPolicy', 'properties': more}


class ProtectTest(base.StackTest):
    """From the examples: save, restore."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.content = os.urandom(MIB)
        template = world.example('protect.yaml')
        template['resources']['data']['properties']['image'] = cls.world.image(cls.content)
        # Named nowhere: it is the server's, which has the tag.
        template['resources']['more'] = {'type': 'OS::Cinder::Volume', 'properties': {'size': 1}}
        template['resources']['attached'] = {
            'type': 'OS::Cinder::VolumeAttachment',
            'properties': {
                'instance_uuid': {'get_resource': 'web'},
                'volume_id': {'get_resource': 'more'},
            },
        }
        template['resources']['protection']['depends_on'] = ['web', 'data', 'attached']
        cls.parameters = {'image': 'tiny', 'flavor': 'tiny', 'schedule': {}, 'container': 'heat'}
        cls.stack = cls.world.created(template, **cls.parameters)
        cls.job_id = cls.world.physical(cls.stack.id, 'protection')
        cls.last_run = cls.world.until('the policy\'s job has run', cls._ended)
        cls.volume_id = cls.world.physical(cls.stack.id, 'data')
        cls.server_id = cls.world.physical(cls.stack.id, 'web')

    @classmethod
    def _ended(cls):
        runs = cls.world.api().get('/jobs/%s/runs' % cls.job_id).json()['runs']
        ended = runs and runs[0]['state'] not in ('queued', 'dispatched', 'running')
        return ended and cls.world.api().get('/runs/' + runs[0]['run_id']).json()

    def test_server_and_volume_are_saved(self):
        self.assertEqual('success', self.last_run['state'], self.last_run)
        records = self.world.api().get('/backups').json()['backups']
        saved = [record['backup_metadata'] for record in records]
        volumes = [one['cinder_vol_id'] for one in saved if one['mode'] == 'cinder']
        self.assertEqual([self.volume_id], volumes)
        (servers,) = [one['servers'] for one in saved if one['mode'] == 'nova']
        self.assertEqual([self.server_id], list(servers))
        more = self.world.physical(self.stack.id, 'more')
        self.assertIn(more, servers[self.server_id]['disks'])

    def test_a_stack_starts_from_the_backup(self):
        shown = self.outputs(self.world.heat().stacks.get(self.stack.id))
        self.assertEqual('success', shown['last_run']['state'])
        name = shown['backups'][self.volume_id]
        stack = self.world.created(world.example('restore.yaml'), backup=name, name='again')
        shown = self.outputs(stack)
        volume = self.world.cloud().block_storage.get_volume(shown['volume'])
        self.assertEqual(('again', 1, 'available'), (volume.name, volume.size, volume.status))
        self.assertNotEqual(self.volume_id, volume.id)
        self.assertEqual(self._expected(), self.world.hash_of(volume.id))
        record = self.document('backups', shown['backup'])
        self.assertEqual(name, record['backup_metadata']['backup_name'])
        # The restore's job was for this run alone.
        jobs = self.world.api().get('/jobs').json()['jobs']
        self.assertNotIn('restore', [_first_deed(job) for job in jobs])
        # Another name in place; then all goes with the stack.
        self.world.updated(stack.id, world.example('restore.yaml'), backup=name, name='renamed')
        self.assertEqual(volume.id, self.world.physical(stack.id, 'data'))
        volume = self.world.cloud().block_storage.get_volume(volume.id)
        self.assertEqual('renamed', volume.name)
        self.world.deleted(stack.id)
        self.assertIsNone(self.world.cloud().block_storage.find_volume(volume.id))
        self.assertIsNotNone(self.document('backups', record['backup_id']))

    def _expected(self):
        total = hashlib.sha512(self.content)
        zeros = bytes(MIB)
        for _number in range(GIB // MIB - 1):
            total.update(zeros)
        return total.hexdigest()

    def test_another_project_cannot_restore_or_protect_it(self):
        for record in self.world.api().get('/backups').json()['backups']:
            metadata = record['backup_metadata']
            for backup in (record['backup_id'], metadata['backup_name']):
                self.refused(
                    world.example('restore.yaml'),
                    'Backup (%s) could not be found' % backup,
                    user='stranger',
                    backup=backup,
                )
        for name, what in (('servers', self.server_id), ('volumes', self.volume_id)):
            template = self.template(thief=policy(schedule=NEVER, **{name: [what]}))
            self.refused(template, '(%s) could not be found' % what, user='stranger')
        # Nor does the volume's metadata find it, or a tag anything.
        stack_id = self.fails(
            self.template(thief=policy(schedule=NEVER, volume_metadata={'backup': 'nightly'})),
            'no volume of the project has the metadata backup=nightly',
            user='stranger',
        )
        self.world.deleted(stack_id, 'stranger')
        thief = self.world.created(
            self.template(thief=policy(schedule=NEVER, server_tag='nightly')), 'stranger'
        )
        with self.assertRaises(heat_exc.HTTPNotFound):
            self.world.heat().stacks.get(thief.id)
        job_id = self.world.physical(thief.id, 'thief', 'stranger')
        self.assertIsNone(self.document('jobs', job_id))

    def test_a_restore_that_cannot_be(self):
        record = self._record('nova')
        stack_id = self.fails(
            world.example('restore.yaml'),
            'is of mode nova; this resource needs one of mode cinder',
            backup=record['backup_id'],
        )
        self.world.deleted(stack_id)
        record = self._record('cinder')
        lost = dict(record['backup_metadata'], backup_name='lost', time_stamp=1700000000)
        lost.pop('backup_id', None)
        made = self.world.api().post('/backups', json=lost)
        self.addCleanup(self.world.api().delete, '/backups/' + made.json()['backup_id'])
        stack_id = self.fails(world.example('restore.yaml'), 'ended as fail', backup='lost')
        self.world.deleted(stack_id)

    def _record(self, mode):
        records = self.world.api().get('/backups').json()['backups']
        return next(one for one in records if one['backup_metadata']['mode'] == mode)


class PolicyTest(base.StackTest):
    """What becomes of the job and of marks, without runs."""

    def test_volumes_by_ids(self):
        cloud = self.world.cloud()
        one, two = (self.world.volume(name) for name in ('one', 'two'))
        first = policy(volumes=[one], schedule=NEVER, backup_name='kept', keep_last=3)
        stack = self.world.created(self.template(p=first))
        job_id = self.world.physical(stack.id, 'p')
        before = self._actions(job_id)
        self.assertEqual(
            [('backup', one, 'kept_' + one, True), ('admin', one, 'kept_' + one, False)],
            [self._shape(action) for action in before],
        )
        self.assertEqual(3, before[1]['freezer_action']['keep_last'])
        self.assertEqual('central_minicloud', self.document('jobs', job_id)['client_id'])

        # The second by its metadata.
        self.world.mark_volume(two, {'saved': 'p'})
        second = policy(
            volumes=[one], volume_metadata={'saved': 'p'}, backup_name='kept', max_level=0,
            name='both', schedule=NEVER,
        )
        self.world.updated(stack.id, self.template(p=second))
        self.assertEqual(job_id, self.world.physical(stack.id, 'p'))
        after = self._actions(job_id)
        self.assertEqual(
            [('backup', one, 'kept_' + one, True), ('backup', two, 'kept_' + two, True)],
            [self._shape(action) for action in after],
        )
        self.assertEqual('both', self.document('jobs', job_id)['description'])
        # Nothing of the old ones stays behind, nor of the new ones after the end.
        for action in before:
            self.assertIsNone(self.document('actions', action['action_id']))
        self._other_volumes(stack.id, job_id, self.template(p=second), one, two)
        after += self._actions(job_id)
        self.world.deleted(stack.id)
        for action in after:
            self.assertIsNone(self.document('actions', action['action_id']))
        self.assertIsNone(self.document('jobs', job_id))
        self.assertEqual('available', cloud.block_storage.get_volume(one).status)

    def _other_volumes(self, stack_id, job_id, template, one, two):
        """Another volume gets the metadata, in another letter case at first; then one loses it."""
        three = self.world.volume('three')
        self.world.mark_volume(three, {'saved': 'P'})
        self.world.heat().actions.check(stack_id)
        self.world.ended(stack_id, 'CHECK_COMPLETE')
        self.world.mark_volume(three, {'saved': 'p'})
        self.world.heat().actions.check(stack_id)
        self.world.ended(stack_id, 'CHECK_FAILED')
        reason = self.world.heat().resources.get(stack_id, 'p').resource_status_reason
        self._is_clear(reason, 'Not saved yet, but have the metadata: volumes ' + three)
        self.world.updated(stack_id, template)
        self.assertEqual({one, two, three}, self._volumes(job_id))
        # No check is needed for it.
        self.world.mark_volume(two, {})
        self.world.updated(stack_id, template)
        self.assertEqual({one, three}, self._volumes(job_id))
        self.assertEqual(job_id, self.world.physical(stack_id, 'p'))

    def _volumes(self, job_id):
        return {action['freezer_action']['cinder_vol_id'] for action in self._actions(job_id)}

    @staticmethod
    def _shape(action):
        options = action['freezer_action']
        volume, name = options['cinder_vol_id'], options['backup_name']
        return options['action'], volume, name, action['mandatory']

    def _actions(self, job_id):
        return self.document('jobs', job_id)['job_actions']

    def test_servers_are_marked(self):
        server = self.world.server('marked')
        for mark, other, key, text in (
            ({'server_tag': 'saved-a'}, {'server_tag': 'saved-b'}, 'nova_inst_tag', 'saved-%s'),
            (
                {'server_metadata': {'saved': 'a'}},
                {'server_metadata': {'saved': 'b'}},
                'nova_inst_metadata',
                'saved=%s',
            ),
        ):
            template = self.template(p=policy(servers=[server], schedule=NEVER, **mark))
            stack = self.world.created(template)
            job_id = self.world.physical(stack.id, 'p')
            self.assertEqual([text % 'a'], self._marks(server))
            (action,) = self._actions(job_id)
            self.assertEqual(text % 'a', action['freezer_action'][key])

            template = self.template(p=policy(servers=[server], schedule=NEVER, **other))
            self.world.updated(stack.id, template)
            self.assertEqual([text % 'b'], self._marks(server))
            self.assertEqual(job_id, self.world.physical(stack.id, 'p'))

            # Somebody takes the mark off: a check of the stack tells, an update of it heals.
            self.world.unmark(server)
            self.world.heat().actions.check(stack.id)
            found = self.world.ended(stack.id, 'CHECK_FAILED')
            reason = self.world.heat().resources.get(stack.id, 'p').resource_status_reason
            self.assertIn('Not saved, for their mark is gone: servers ' + server, reason)
            self.assertNotIn('Traceback', found.stack_status_reason)
            self.world.updated(stack.id, template)
            self.assertEqual([text % 'b'], self._marks(server))
            self.assertEqual(job_id, self.world.physical(stack.id, 'p'))

            # A policy in the place of one that is gone: the marks are its own now.
            self.world.api().delete('/jobs/' + job_id)
            template['resources']['p']['properties']['name'] = 'again'
            self.world.updated(stack.id, template)
            self.assertNotEqual(job_id, self.world.physical(stack.id, 'p'))
            self.assertEqual([text % 'b'], self._marks(server))

            self.world.deleted(stack.id)
            self.assertEqual([], self._marks(server))

    def _marks(self, server_id):
        server = self.world.cloud().compute.get_server(server_id)
        return sorted(server.tags or []) + ['%s=%s' % pair for pair in server.metadata.items()]

    def test_bad_input(self):
        for properties, text in (
            ({}, NEEDED),
            ({'volumes': []}, NEEDED),
            ({'volumes': ['nothing']}, 'The Volume (nothing) could not be found'),
            ({'servers': ['nobody']}, 'The Server (nobody) could not be found'),
            ({'server_tag': 'a/b'}, 'server_tag must have 1 to 60 characters'),
            ({'server_metadata': {'a': '1', 'b': '2'}}, 'server_metadata must be one pair'),
            ({'volume_metadata': {'a': '1', 'b': '2'}}, 'volume_metadata must be one pair'),
            (
                {'server_tag': 't', 'server_metadata': {'a': '1'}},
                'at the same time: server_tag, server_metadata',
            ),
            (
                {'server_tag': 't', 'keep_last': 3, 'keep_days': 3},
                'at the same time: keep_last, keep_days',
            ),
            ({'server_tag': 't', 'keep_last': 0}, 'keep_last'),
            ({'server_tag': 't', 'options': {'nova_inst_id': 'x'}}, 'options: give nova_inst_id'),
        ):
            self.refused(self.template(p=policy(schedule=NEVER, **properties)), text)
        stack_id = self.fails(
            self.template(p=policy(server_tag='t', storage='tape', schedule=NEVER)),
            'No central backup agent can do mode nova with storage tape; give "client"',
        )
        self.world.deleted(stack_id)
        stack_id = self.fails(
            self.template(p=policy(server_tag='t', schedule=NEVER, options={'timeout': 'soon'})),
            'timeout',
        )
        self.world.deleted(stack_id)


def _first_deed(job):
    return job['job_actions'][0]['freezer_action']['action']
