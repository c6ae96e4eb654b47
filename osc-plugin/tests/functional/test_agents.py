"""Agents, and the commands beside those of python-freezerclient."""

from tests.functional import base

COMMANDS = (
    'agent list',
    'agent show',
    'coverage',
    'plan restore',
    'plan retention',
    'restore',
    'retention apply',
    'retention list',
    'retention set',
    'retention unset',
    'run list',
    'run show',
    'run step list',
    'run watch',
    'verify',
)


class AgentTest(base.FunctionalTest):

    def test_list_and_show(self):
        rows = {row['ID']: row for row in self.json('agent', 'list', '--long')}
        own = rows[self.world.agent_id]
        self.assertEqual((False, 'http'), (own['Central'], own['Link']))
        self.assertIn('restore', own['Actions'])
        self.assertIsNotNone(own['Last Seen'])
        shown = self.json('agent', 'show', self.world.agent_id)
        self.assertEqual(self.world.agent_id, shown['client_id'])

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

    def test_completion_and_help(self):
        text = self.world.run('member', 'complete').out
        for command in COMMANDS + ('job list', 'client list'):
            self.assertIn("cmds_backup_%s=" % command.replace(' ', '_'), text)
        usage = self.do('restore', '--help').out
        self.assertIn('--pass-phrase-file <path>', usage)
