"""freezer-web-ui of PyPI, unmodified: what its panels and forms ask of this service.

Its functions get what its forms give them. Nothing is looked at in a browser: its pages are its own
affair, what the service answers to them is ours.
"""

import json
import unittest
import uuid

from freezer_ui.api import api
from freezer_ui.api.rest import rest_api

from tests.peer.somebody import Somebody

PLAN = {'schedule_start_date': '2099-01-02T03:00:00', 'schedule_interval': '1 days',
        'schedule_end_date': ''}


class WebUi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.somebody = Somebody()
        cls.addClassCleanup(cls.somebody.leave)

    def setUp(self):
        self.request = self.somebody.browse()
        self.addCleanup(self.tidy)

    def tidy(self):
        """As the panels' own Delete does it, also what the tests have not named."""
        for panel in (api.Job, api.Session, api.Action, api.Backup):
            panel = panel(self.request)
            for row in panel.list():
                panel.delete(row.id)
            self.assertEqual([], panel.list())

    # ---- what the forms send --------------------------------------------------

    def action(self, name, **more):
        """Create Action, with the fields that its form always hands on; returns the action's id."""
        form = {'action_id': '', 'action': 'backup', 'mode': 'fs', 'storage': 'local',
                'engine_name': 'tar', 'backup_name': name, 'path_to_backup': '/etc',
                'container': '/nowhere', 'restore_abs_path': '', 'mandatory': False,
                'max_retries': 2, 'max_retries_interval': 60, 'snapshot': False,
                'max_level': None, 'no_incremental': False, 'log_file': ''}
        return api.Action(self.request).create(dict(form, **more))

    def job(self, name, clients, *actions, **plan):
        """Create Job; returns the new jobs in the order of their clients."""
        form = dict(PLAN, description=name, job_id='', interval_uint='days', interval_value=1,
                    actions='===' + '==='.join(actions), clients=clients, **plan)
        self.assertTrue(api.Job(self.request).create(form))
        return [row for row in api.Job(self.request).list() if row.description == name]

    def edit(self, job_id, name, **plan):
        """Edit Job."""
        form = dict(PLAN, description=name, job_id=job_id, **plan)
        api.Job(self.request).update(job_id, form)

    def clients(self, *hosts):
        """Clients that agents have registered, as the panel lists them."""
        for host in hosts:
            made = self.somebody.client.clients.create({
                'client_id': '%s_%s' % (self.somebody.project_id, host), 'hostname': host})
            self.addCleanup(api.Client(self.request).delete, made)
        rows = {row.hostname: row for row in api.Client(self.request).list()}
        return [rows[host] for host in hosts]

    def central(self):
        """A central client, which the operator registers."""
        name = 'web-ui-central-' + uuid.uuid4().hex[:8]
        clients = self.somebody.administrator.clients
        clients.create({'client_id': name, 'hostname': name, 'is_central': True})
        self.addCleanup(clients.delete, name)
        found = next(row for row in api.Client(self.request).list() if row.client_id == name)
        self.assertTrue(found.is_central)
        return found

    def shown(self, job_id):
        return api.Job(self.request).get(job_id, json=True)

    def report(self, job_id, **state):
        """As freezer-scheduler: asks for its work, reports the plan as it knows it, and the state."""
        jobs = self.somebody.client.jobs
        asked = jobs.list(search={'match_not': [{'status': 'completed'}]},
                          client_id=self.shown(job_id)['client_id'])
        job = next(one for one in asked if one['job_id'] == job_id)
        jobs.update(job_id, {
            'job_schedule': dict(job['job_schedule'], **state),
            'session_id': job['session_id'], 'session_tag': job['session_tag']})

    # ---- the panels -----------------------------------------------------------

    def test_actions_are_made_edited_and_found(self):
        made = self.action('two words')
        rows = api.Action(self.request).list(search='two_words')
        self.assertEqual([(made, 'two_words', '/etc')], [
            (row.id, row.backup_name, row.path_to_backup) for row in rows])
        form = {'action': 'backup', 'mode': 'fs', 'storage': 'local', 'backup_name': 'other',
                'path_to_backup': '/srv', 'container': '/nowhere', 'mandatory': None,
                'max_retries': None, 'max_retries_interval': None}
        api.Action(self.request).update(form, made)
        after = api.Action(self.request).get(made)
        self.assertEqual(('other', '/srv'), (after.backup_name, after.path_to_backup))
        self.assertEqual([], api.Action(self.request).list(search='two_words'))

    def test_a_job_for_the_second_client_is_the_second_clients(self):
        first, second = self.clients('first', 'second')
        save, look = self.action('save'), self.action('look', path_to_backup='/srv')
        row, = self.job('nightly', [second.uuid], save, look)
        # The panel shows the host of a client id.
        self.assertEqual(('second', 'stop', 'pending'), (
            row.client_id, api.Job(self.request).get(row.id).event, row.result))
        job = self.shown(row.id)
        self.assertEqual(second.client_id, job['client_id'])
        self.assertEqual([save, look], [one['action_id'] for one in job['job_actions']])
        self.assertEqual('1 days', job['job_schedule']['schedule_interval'])
        self.assertNotIn('schedule_end_date', job['job_schedule'])
        both = self.job('both', [first.uuid, second.uuid], save)
        self.assertEqual({'first', 'second'}, {row.client_id for row in both})
        # Writing them has made no copies of the actions.
        self.assertEqual({save, look}, {row.id for row in api.Action(self.request).list()})
        found = api.Job(self.request).list(search='nightly')
        self.assertEqual([row.id], [one.id for one in found])

    def test_what_a_running_job_has_reported_survives_its_editing(self):
        client, = self.clients('busy')
        save, look = self.action('save'), self.action('look', path_to_backup='/srv')
        row, = self.job('nightly', [client.uuid], save)
        api.Job(self.request).start(row.id)
        self.assertEqual('start', api.Job(self.request).get(row.id).event)
        state = {'event': '', 'status': 'running', 'result': '', 'current_pid': 4711,
                 'time_started': 1767225600, 'time_ended': -1}
        self.report(row.id, **state)
        self.edit(row.id, 'weekly', schedule_interval='7 days')
        job = self.shown(row.id)
        self.assertEqual(('weekly', '7 days'), (
            job['description'], job['job_schedule']['schedule_interval']))
        self.assertEqual(state, {key: job['job_schedule'].get(key) for key in state})
        # Edit Actions sends the whole job back, with what it was not asked about.
        api.Job(self.request).update_actions(row.id, '===%s===%s' % (look, save))
        job = self.shown(row.id)
        self.assertEqual([look, save], [one['action_id'] for one in job['job_actions']])
        self.assertEqual(state, {key: job['job_schedule'].get(key) for key in state})
        api.Job(self.request).delete_action('%s===%s' % (look, row.id))
        self.assertEqual([save], [one.id for one in api.Job(self.request).actions(row.id)])
        self.assertEqual('running', self.shown(row.id)['job_schedule']['status'])
        self.assertEqual({save, look}, {row.id for row in api.Action(self.request).list()})

    def test_a_job_keeps_its_plan_through_a_session(self):
        client, = self.clients('host')
        row, = self.job('nightly', [client.uuid], self.action('save'))
        before = self.shown(row.id)
        sessions = api.Session(self.request)
        # The form hands on all it has, jobs and interval as two fields among them.
        sessions.create(dict(PLAN, description='together', session_id='', jobs=[row.id],
                             interval_unit='days', interval_value=1))
        session, = sessions.list()
        self.assertEqual(('together', '1 days', []), (
            session.description, session.schedule_interval, session.jobs))
        sessions.add_job(session.id, row.id)
        member, = sessions.jobs(session.id)
        self.assertEqual((row.id, client.client_id, 'pending'), (
            member.job_id, member.client_id, member.result))
        self.assertEqual(session.id, self.shown(row.id)['session_id'])
        sessions.update({'description': 'later', 'schedule_interval': '2 days'}, session.id)
        self.assertEqual(('later', '2 days'), (
            sessions.get(session.id).description, sessions.get(session.id).schedule_interval))
        self.assertEqual(row.id, sessions.jobs(session.id)[0].job_id)
        # Not by `remove_job` of the panel, which swallows what it is answered.
        sessions.client.sessions.remove_job(session.id, row.id)
        self.assertEqual([], sessions.jobs(session.id))
        after = self.shown(row.id)
        self.assertFalse(after['session_id'])
        for key in ('schedule_start_date', 'schedule_interval'):
            self.assertEqual(before['job_schedule'][key], after['job_schedule'][key])
        self.assertEqual(before['job_actions'], after['job_actions'])

    def test_a_job_of_a_central_client_is_cloned(self):
        central = self.central()
        save = self.action('volume', mode='cinder', storage='swift', container='saved',
                           path_to_backup='', cinder_vol_id=str(uuid.uuid4()))
        row, = self.job('nightly', [central.uuid], save)
        api.Job(self.request).clone(row.id)
        clone, = [one for one in api.Job(self.request).list() if one.id != row.id]
        self.assertEqual('nightly_clone', clone.description)
        first, second = self.shown(row.id), self.shown(clone.id)
        for key in ('client_id', 'job_actions', 'user_credentials'):
            self.assertEqual(first[key], second[key])
        self.assertTrue(second['user_credentials']['trust_id'])
        self.assertEqual('stop', second['job_schedule']['event'])
        for key in ('schedule_start_date', 'schedule_interval'):
            self.assertEqual(first['job_schedule'][key], second['job_schedule'][key])
        # The trust is both jobs': it stays for the other one.
        api.Job(self.request).delete(row.id)
        self.assertEqual(second['user_credentials'], self.shown(clone.id)['user_credentials'])

    def test_a_backup_is_restored(self):
        client, = self.clients('host')
        made = self.somebody.client.backups.create({
            'action': 'backup', 'backup_name': 'two words', 'container': '/nowhere',
            'storage': 'local', 'hostname': 'host', 'mode': 'fs', 'curr_backup_level': 0,
            'time_stamp': 1767225600, 'path_to_backup': '/etc'})
        row, = api.Backup(self.request).list()
        self.assertEqual((made, 'available', 'two words'), (row.id, row.status, row.backup_name))
        api.Backup(self.request).restore({
            'backup_id': made, 'client': client.client_id, 'path': '/tmp/restored'})
        job, = api.Job(self.request).list(json=True)
        self.assertEqual((client.client_id, 'start'), (
            job['client_id'], job['job_schedule']['event']))
        action = job['job_actions'][0]['freezer_action']
        self.assertEqual(('restore', 'two words', '/tmp/restored', 'host'), (
            action['action'], action['backup_name'], action['restore_abs_path'],
            action['restore_from_host']))

    def test_its_forms_are_filled(self):
        """The documents from which the browser's part of the forms offers clients and actions."""
        client, = self.clients('host')
        save, look = self.action('save'), self.action('look')
        row, = self.job('nightly', [client.uuid], save)
        clients = self.read(rest_api.Clients)
        self.assertIn(client.client_id, [one['client']['client_id'] for one in clients])
        self.assertEqual({save, look}, {one['action_id'] for one in self.read(rest_api.ActionList)})
        offered = self.read(rest_api.Actions, row.id)
        self.assertEqual({'available': [look], 'selected': [save]}, {
            key: [one['action_id'] for one in found] for key, found in offered.items()})

    def read(self, view, *words):
        answer = view().get(self.request, *words)
        self.assertEqual(200, answer.status_code, answer.content)
        # Behind a prefix against reading it as a script.
        return json.loads(answer.content.split(b'\n', 1)[-1])


if __name__ == '__main__':
    unittest.main()
