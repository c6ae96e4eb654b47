"""Agents, and the commands beside those of python-freezerclient."""

import re

from tests.functional import base


class AgentTest(base.FunctionalTest):

    def test_list_and_show(self):
        rows = {row['ID']: row for row in self.json('agent', 'list', '--long')}
        own = rows[self.world.agent_id]
        self.assertEqual((False, 'http'), (own['Central'], own['Link']))
        self.assertIn('restore', own['Actions'])
        self.assertIsNotNone(own['Last Seen'])
        shown = self.json('agent', 'show', self.world.agent_id)
        self.assertEqual(self.world.agent_id, shown['client_id'])

    def test_by_the_name_of_the_host(self):
        named = self.world.tag + '-named'
        for number in '12':
            body = {'client_id': named + number, 'hostname': '%s.example.org' % named}
            self.world.api('member').post('/clients', json=body)
            self.addCleanup(self.world.api('member').delete, '/clients/' + named + number)
            if number == '1':
                shown = self.json('agent', 'show', body['hostname'])
                self.assertEqual(named + number, shown['client_id'])
        self.refused(
            'agent',
            'show',
            body['hostname'],
            text='More than one agent has the name "%s"; give one of the ids %s1, %s2'
            % (body['hostname'], named, named),
        )

    def test_another_project_sees_nothing(self):
        rows = self.json('agent', 'list', user='stranger')
        self.assertNotIn(self.world.agent_id, [row['ID'] for row in rows])
        self.refused(
            'agent',
            'show',
            self.world.agent_id,
            user='stranger',
            text='No agent with a name or id of "%s" exists' % self.world.agent_id,
        )


class NeighbourTest(base.FunctionalTest):

    def test_both_plugins_work_in_one_shell(self):
        job_id = self.world.saved('neighbour')
        self.assertIn(job_id, [row['Job ID'] for row in self.json('job', 'list')])
        self.assertEqual(job_id, self.json('run', 'show', 'neighbour')['job_id'])
        theirs = [row['Job ID'] for row in self.json('job', 'list', user='stranger')]
        self.assertNotIn(job_id, theirs)

    def test_a_job_is_stopped(self):
        document = self.world.document('stopped')
        document['job_schedule'] = {
            'schedule_start_date': '2099-01-01T00:00:00',
            'schedule_interval': '1 days',
        }
        job_id = self.world.api('member').post('/jobs', json=document).json()['job_id']
        self.world.until('it is planned', lambda: self._schedule(job_id)['status'] == 'scheduled')
        answer = self.world.run('stranger', 'backup', 'job', 'stop', job_id)
        self.assertNotEqual(0, answer.status)
        self.assertEqual('', self._schedule(job_id)['event'])
        self.do('job', 'stop', job_id)
        self.world.until('it is stopped', lambda: self._schedule(job_id)['status'] == 'stop')

    def _schedule(self, job_id):
        return self.world.api('member').get('/jobs/' + job_id).json()['job_schedule']

    def test_completion_and_help(self):
        text = self.world.run('member', 'complete').out
        ours = self._ours()
        self.assertIn('run_logs', ours)
        for command in ours + ['job_list', 'client_list']:
            self.assertIn('cmds_backup_%s=' % command, text)
        usage = self.do('restore', '--help').out
        self.assertIn('--pass-phrase-file <path>', usage)

    @staticmethod
    def _ours():
        """The plugin's commands, as it is installed with them."""
        with open('pyproject.toml') as project:
            return re.findall(r'^backup_(\w+) = ', project.read(), re.MULTILINE)
