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

"""Jobs: create, change, events, and what is refused."""

from tempest.lib import decorators
from tempest.lib.common.utils import data_utils

from freezer_tempest_tests.tests import base


class JobsTest(base.BackupTest):

    @decorators.idempotent_id('a2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_create_and_show(self):
        document = self.job_of()
        made = self.make('jobs', document)
        job = self.client.show('jobs', made)
        self.assertEqual(
            (
                made,
                document['client_id'],
                document['description'],
                self.client.tenant_id,
                self.client.user_id,
            ),
            tuple(
                job[key] for key in ('job_id', 'client_id', 'description', 'project_id', 'user_id')
            ),
        )
        schedule = job['job_schedule']
        # A scheduler that polls goes by these, so they are always there.
        self.assertEqual(
            ('', '', ''), tuple(schedule[key] for key in ('event', 'status', 'result'))
        )
        self.assertEqual((-1, -1), (schedule['time_started'], schedule['time_ended']))
        self.assertEqual('1 days', schedule['schedule_interval'])
        (entry,) = job['job_actions']
        sent = document['job_actions'][0]
        self.assertEqual((3, 60), (entry['max_retries'], entry['max_retries_interval']))
        self.assertLessEqual(sent['freezer_action'].items(), entry['freezer_action'].items())
        # Actions that come with a job can be used again.
        self.addCleanup(self.client.remove, 'actions', entry['action_id'])
        self.assertEqual(
            entry['freezer_action'],
            self.client.show('actions', entry['action_id'])['freezer_action'],
        )

    @decorators.idempotent_id('a2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0002')
    def test_create_under_an_own_id(self):
        job_id = data_utils.rand_name('job')
        document = self.job_of({'job_id': job_id})
        self.assertEqual(job_id, self.make('jobs', document))
        self.check_refused(
            409, self.client.call('POST', self.client.path('jobs'), document), job_id
        )
        self.client.replace('jobs', job_id, dict(self.job_of(), description='again'))
        self.assertEqual('again', self.client.show('jobs', job_id)['description'])
        self.client.remove('jobs', job_id)
        self.client.replace('jobs', job_id, self.job_of())

    @decorators.idempotent_id('a2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0003')
    def test_a_change_leaves_the_rest(self):
        made = self.make('jobs')
        before = self.client.show('jobs', made)
        self.client.update('jobs', made, {'description': 'new'})
        self.assertEqual(dict(before, description='new'), self.client.show('jobs', made))
        self.client.update('jobs', made, {'job_schedule': {'schedule_interval': '2 hours'}})
        after = self.client.show('jobs', made)['job_schedule']
        self.assertEqual('2 hours', after['schedule_interval'])
        self.assertNotIn('schedule_start_date', after)
        self.assertEqual(before['job_schedule']['time_created'], after['time_created'])

    @decorators.idempotent_id('a2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0004')
    def test_what_was_read_can_be_sent_back(self):
        made = self.make('jobs')
        job = self.client.show('jobs', made)
        self.client.update('jobs', made, job)
        self.assertEqual(job, self.client.show('jobs', made))

    @decorators.idempotent_id('a2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0005')
    def test_actions_by_id(self):
        action = self.make('actions')
        made = self.make('jobs', {'job_actions': [{'action_id': action}]})
        (entry,) = self.client.show('jobs', made)['job_actions']
        self.assertEqual(action, entry['action_id'])
        self.client.remove('actions', action)
        self.assertEqual([], self.client.show('jobs', made)['job_actions'])

    @decorators.idempotent_id('a2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0006')
    def test_action_defaults(self):
        document = self.job_of({'action_defaults': {'max_level': 9, 'dry_run': True}})
        job = self.client.show('jobs', self.make('jobs', document))
        action = job['job_actions'][0]['freezer_action']
        self.assertEqual((6, True), (action['max_level'], action['dry_run']))

    @decorators.idempotent_id('a2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0007')
    def test_events(self):
        made = self.make('jobs')
        for event in ('start', 'stop', 'abort'):
            self.assertEqual('success', self.client.send_event(made, event))
            self.assertEqual(event, self.client.show('jobs', made)['job_schedule']['event'])
            self.assertEqual(event + ' already requested', self.client.send_event(made, event))
        path = self.client.path('jobs', made, 'event')
        self.check_refused(
            400, self.client.call('POST', path, {'explode': None}), 'Bad Action Method'
        )
        for body in ('', '{}', '[]'):
            self.check_refused(400, self.client.call('POST', path, body))
        missing = self.client.path('jobs', 'nothing', 'event')
        self.check_refused(
            404, self.client.call('POST', missing, {'stop': None}), 'nothing not found'
        )

    @decorators.idempotent_id('a2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0008')
    def test_a_job_whose_client_is_gone(self):
        client_id = self.make('clients')
        made = self.make('jobs', {'client_id': client_id})
        self.client.remove('clients', client_id)
        path = self.client.path('jobs', made, 'event')
        self.check_refused(422, self.client.call('POST', path, {'start': None}), client_id)
        self.assertEqual('success', self.client.send_event(made, 'stop'))

    @decorators.idempotent_id('a2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0009')
    def test_refused_documents(self):
        path = self.client.path('jobs')
        good = self.job_of()
        for change, status, text in (
            ({'surprise': 1}, 400, 'surprise'),
            ({'client_id': 'bad%id'}, 400, 'client_id'),
            ({'client_id': 'nobody'}, 422, 'Client not found with ID nobody'),
            ({'client_id': None}, 400, 'client_id'),
            ({'job_id': 'a b'}, 400, 'job_id'),
            ({'job_actions': None}, 400, 'job_actions'),
            ({'job_actions': {}}, 400, 'job_actions'),
            ({'job_actions': [{}]}, 400, 'freezer_action'),
            ({'job_actions': [{'action_id': 'none'}]}, 422, 'Action id: none not found'),
            ({'job_actions': [{'freezer_action': {'action': 'dance'}}]}, 400, 'action'),
            (
                {'job_actions': [{'freezer_action': {'action': 'backup', 'mode': 'tape'}}]},
                400,
                'mode',
            ),
            ({'job_schedule': {'schedule_interval': '5 min'}}, 400, 'schedule_interval'),
            ({'job_schedule': {'schedule_date': 'soon'}}, 400, 'schedule_date'),
            ({'job_schedule': {'surprise': 1}}, 400, 'surprise'),
            ({'description': 'd' * 300}, 400, 'description'),
            ({'description': 7}, 400, 'description'),
        ):
            self.check_refused(status, self.client.call('POST', path, dict(good, **change)), text)
        found = {'match': [{'client_id': good['client_id']}]}
        self.assertEqual([], self.client.list('jobs', search=found))

    @decorators.idempotent_id('a2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0010')
    def test_a_refused_job_leaves_no_actions(self):
        name = data_utils.rand_name('orphan')
        entry = {'freezer_action': base.backup_action(backup_name=name)}
        body = {'client_id': 'nobody', 'job_actions': [entry]}
        self.check_refused(422, self.client.call('POST', self.client.path('jobs'), body))
        self.assertEqual([], self.client.list('actions', search={'match': [{'backup_name': name}]}))

    @decorators.idempotent_id('a2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0011')
    def test_what_the_client_cannot_do(self):
        client_id = self.make(
            'clients',
            dict(
                base.document_of('clients'),
                supported_actions=['backup'],
                supported_modes=['fs'],
                supported_storages=['swift'],
                supported_engines=['tar'],
            ),
        )
        able = {'storage': 'swift', 'engine_name': 'tar'}
        for change in (
            {'action': 'restore'},
            {'mode': 'nova'},
            {'storage': 'local'},
            {'engine_name': 'rsync'},
        ):
            action = base.backup_action(**dict(able, **change))
            body = {'client_id': client_id, 'job_actions': [{'freezer_action': action}]}
            self.check_refused(
                422, self.client.call('POST', self.client.path('jobs'), body), 'does not support'
            )
        self.make(
            'jobs',
            {
                'client_id': client_id,
                'job_actions': [{'freezer_action': base.backup_action(**able)}],
            },
        )

    @decorators.idempotent_id('a2c4b6c7-6f06-4c63-8b5c-3a0a1d0e0012')
    def test_how_a_scheduler_asks_for_its_work(self):
        client_id = self.make('clients')
        done, due = (self.make('jobs', {'client_id': client_id}) for _ in range(2))
        self.client.update('jobs', done, {'job_schedule': {'status': 'completed'}})
        self.make('jobs')
        search = {'match': [{'client_id': client_id}], 'match_not': [{'status': 'completed'}]}
        self.assertEqual([due], self.ids('jobs', search=search))
        report = {
            'job_schedule': dict(
                self.client.show('jobs', due)['job_schedule'], status='running', current_pid=77
            ),
            'session_id': '',
            'session_tag': 0,
        }
        self.assertIn('version', self.client.update('jobs', due, report))
        self.assertEqual('running', self.client.show('jobs', due)['job_schedule']['status'])
