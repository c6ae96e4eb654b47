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

"""Actions, jobs and sessions: create, update in place, delete, and what is refused."""

from heatclient import exc as heat_exc

from tests.functional import base
from tests.functional import world

AGENT = 'central_minicloud'
NEVER = {'start_date': '2099-01-01T03:00:00', 'interval': '1 days'}


def save(**more):
    properties = {
        'mode': 'cinder',
        'storage': 'swift',
        'container': 'saved',
        'backup_name': 'data',
        'options': {'cinder_vol_name': 'nothing', 'incremental': True, 'max_level': 6},
    }
    properties.update(more)
    return {'type': 'OS::Freezer::Action', 'properties': properties}


def job(**more):
    properties = {'client': AGENT, 'actions': [{'get_resource': 'save'}]}
    properties.update(more)
    return {'type': 'OS::Freezer::Job', 'properties': properties}


def session(**more):
    return {'type': 'OS::Freezer::Session', 'properties': dict({'schedule': NEVER}, **more)}


class JobTest(base.StackTest):

    def test_create_update_delete(self):
        stack = self.world.created(
            self.template(save=save(), nightly=job(name='nightly', schedule=NEVER))
        )
        job_id = self.world.physical(stack.id, 'nightly')
        action_id = self.world.physical(stack.id, 'save')
        made = self.document('jobs', job_id)
        self.assertEqual('nightly', made['description'])
        self.assertEqual([action_id], [one['action_id'] for one in made['job_actions']])
        self.assertEqual(NEVER['start_date'], made['job_schedule']['schedule_start_date'])
        self.assertEqual('1 days', made['job_schedule']['schedule_interval'])
        shown = self.outputs(stack)['save']['freezer_action']
        self.assertEqual((6, 'data'), (shown['max_level'], shown['backup_name']))

        # In place: the ids stay.
        after = self.template(
            save=save(options={'cinder_vol_name': 'other', 'max_level': 3}, max_retries=1),
            nightly=job(name='weekly', schedule={'day_of_week': 'sun', 'hour': 4}),
        )
        self.world.updated(stack.id, after)
        self.assertEqual(job_id, self.world.physical(stack.id, 'nightly'))
        self.assertEqual(action_id, self.world.physical(stack.id, 'save'))
        changed = self.document('jobs', job_id)
        self.assertEqual('weekly', changed['description'])
        self.assertNotIn('schedule_interval', changed['job_schedule'])
        self.assertEqual('4', changed['job_schedule']['schedule_hour'])
        (action,) = changed['job_actions']
        self.assertEqual((3, 1), (action['freezer_action']['max_level'], action['max_retries']))

        self.world.deleted(stack.id)
        self.assertIsNone(self.document('jobs', job_id))
        self.assertIsNone(self.document('actions', action_id))

    def test_what_is_gone_is_made_anew(self):
        template = self.template(save=save(), nightly=job(name='first', schedule=NEVER))
        stack = self.world.created(template)
        job_id = self.world.physical(stack.id, 'nightly')
        self.world.api().delete('/jobs/' + job_id)
        template['resources']['nightly']['properties']['name'] = 'second'
        self.world.updated(stack.id, template)
        new_id = self.world.physical(stack.id, 'nightly')
        self.assertNotEqual(job_id, new_id)
        self.assertEqual('second', self.document('jobs', new_id)['description'])
        # What is gone is no obstacle for the end of the stack either.
        self.world.api().delete('/jobs/' + new_id)
        self.world.api().delete('/actions/' + self.world.physical(stack.id, 'save'))
        self.world.deleted(stack.id)

    def test_it_runs(self):
        template = self.template(save=save(max_retries=0), once=job())
        template['outputs'] = {'run': {'value': {'get_attr': ['once', 'last_run']}}}
        stack = self.world.created(template)
        run = self.world.until('the run has ended', lambda: self._ended(stack.id))
        # There is no such volume.
        self.assertEqual('fail', run['state'])
        self.assertIn('nothing', run['error'])

    def _ended(self, stack_id):
        run = self.outputs(self.world.heat().stacks.get(stack_id))['run']
        return run and run['state'] not in ('queued', 'dispatched', 'running') and run

    def test_bad_input(self):
        for schedule, text in (
            ({'interval': '5 min'}, 'interval must be "continuous", or a number and one of'),
            ({'start_date': 'tomorrow'}, 'start_date must be a time, YYYY-MM-DDThh:mm:ss'),
            ({'every': 'day'}, 'Unknown Property every'),
        ):
            self.refused(self.template(save=save(), j=job(schedule=schedule)), text)
        self.refused(
            self.template(save=save(), j=job(client='nobody', schedule=NEVER)),
            "Backup agent (nobody) could not be found",
        )
        self.refused(
            self.template(j=job(actions=['no-such-action'])),
            'Backup action (no-such-action) could not be found',
        )
        self.refused(self.template(j=job(actions=[])), 'must name an action')
        self.refused(
            self.template(save=save(action='dance')), '"dance" is not an allowed value'
        )
        self.refused(
            self.template(save=save(options={'mode': 'nova'})),
            'options: give mode as properties of their own',
        )
        self.refused(
            self.template(
                save=save(), s=session(), j=job(schedule=NEVER, session={'get_resource': 's'})
            ),
            'at the same time: schedule, session',
        )

    def test_the_service_s_own_refusal_is_the_reason(self):
        stack_id = self.fails(
            self.template(
                save=save(mode='fs', path_to_backup='/etc', options={}), j=job(schedule=NEVER)
            ),
            'does not support',
        )
        reason = self.world.heat().resources.get(stack_id, 'j').resource_status_reason
        self.assertIn('Client central_minicloud does not support', reason)
        self.assertIn('(HTTP 422)', reason)
        self.world.deleted(stack_id)
        self.fails(self.template(save=save(options={'timeout': 'soon'})), 'timeout')

    def test_an_update_that_the_service_refuses(self):
        template = self.template(save=save(), nightly=job(name='as it was', schedule=NEVER))
        stack = self.world.created(template)
        job_id = self.world.physical(stack.id, 'nightly')
        action_id = self.world.physical(stack.id, 'save')
        before = self.document('actions', action_id)
        wrong = self.template(
            save=save(options={'timeout': 'soon'}),
            nightly=job(name='as it was', schedule=NEVER),
        )
        found = self.world.updated(stack.id, wrong, status='UPDATE_FAILED')
        self._is_clear(found.stack_status_reason, 'timeout')
        self.assertEqual(before, self.document('actions', action_id))
        self.assertEqual('as it was', self.document('jobs', job_id)['description'])
        # With a good template it goes on.
        self.world.updated(stack.id, template)


class SessionTest(base.StackTest):

    def test_create_update_leave_delete(self):
        members = {
            'save': save(),
            'round': session(name='all'),
            'one': job(session={'get_resource': 'round'}),
            'two': job(session={'get_resource': 'round'}),
        }
        stack = self.world.created(self.template(**members))
        session_id = self.world.physical(stack.id, 'round')
        one, two = (self.world.physical(stack.id, name) for name in ('one', 'two'))
        self.assertEqual({one, two}, set(self.document('sessions', session_id)['jobs']))
        self._has_plan(one, '1 days')

        members['round'] = session(name='some', schedule=dict(NEVER, interval='2 days'))
        members['two'] = job(schedule=dict(NEVER, interval='3 days'))
        self.world.updated(stack.id, self.template(**members))
        changed = self.document('sessions', session_id)
        self.assertEqual('some', changed['description'])
        self.assertEqual({one}, set(changed['jobs']))
        self._has_plan(one, '2 days')
        self.assertEqual('', self._has_plan(two, '3 days')['session_id'] or '')
        self.world.until(
            'the job that left is planned again',
            lambda: self.document('jobs', two)['job_schedule']['status'] == 'scheduled',
        )

        self.world.deleted(stack.id)
        self.assertIsNone(self.document('sessions', session_id))
        self.assertIsNone(self.document('jobs', one))

    def test_the_example(self):
        agents = {name + '_agent': self._machine(name) for name in ('web', 'database')}
        stack = self.world.created(world.example('session.yaml'), **agents)
        session_id = self.world.physical(stack.id, 'together')
        jobs = {name: self.world.physical(stack.id, name) for name in ('web', 'database')}
        self.assertEqual(set(jobs.values()), set(self.document('sessions', session_id)['jobs']))
        for name, deeds in (('web', ['backup', 'admin']), ('database', ['backup'])):
            made = self._has_plan(jobs[name], '1 days')
            self.assertEqual(agents[name + '_agent'], made['client_id'])
            actions = [entry['freezer_action'] for entry in made['job_actions']]
            self.assertEqual(deeds, [action['action'] for action in actions])
        self.world.deleted(stack.id)
        self.assertIsNone(self.document('sessions', session_id))

    def _machine(self, name):
        """The agent of a machine, which has no work to do here."""
        agent = '%s-%s' % (self.world.tag, name)
        self.world.api().post('/clients', json={'client_id': agent})
        self.addCleanup(self.world.api().delete, '/clients/' + agent)
        return agent

    def _has_plan(self, job_id, interval):
        document = self.document('jobs', job_id)
        self.assertEqual(interval, document['job_schedule']['schedule_interval'])
        return document


class IsolationTest(base.StackTest):

    def test_another_project_cannot_name_or_touch(self):
        stack = self.world.created(
            self.template(save=save(), round=session(), j=job(session={'get_resource': 'round'}))
        )
        ids = {name: self.world.physical(stack.id, name) for name in ('save', 'round', 'j')}
        self.refused(
            self.template(thief=job(actions=[ids['save']], schedule=NEVER)),
            'Backup action (%s) could not be found' % ids['save'],
            user='stranger',
        )
        self.refused(
            self.template(save=save(), thief=job(session=ids['round'])),
            'Backup session (%s) could not be found' % ids['round'],
            user='stranger',
        )
        # An agent of the other project's own machine, which its owner may name.
        agent = self.world.tag + '-machine'
        self.world.api().post('/clients', json={'client_id': agent})
        self.addCleanup(self.world.api().delete, '/clients/' + agent)
        takes_it = self.template(save=save(), thief=job(client=agent, schedule=NEVER))
        self.world.deleted(self.world.created(takes_it).id)
        self.refused(
            takes_it, 'Backup agent (%s) could not be found' % agent, user='stranger'
        )
        with self.assertRaises(heat_exc.HTTPNotFound):
            self.world.heat('stranger').stacks.get(stack.id)
        with self.assertRaises((heat_exc.HTTPNotFound, heat_exc.HTTPForbidden)):
            self.world.heat('stranger').stacks.delete(stack.id)
        self.assertIsNotNone(self.document('jobs', ids['j']))
        self.assertIsNone(self.document('jobs', ids['j'], user='stranger'))
