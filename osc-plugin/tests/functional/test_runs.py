"""Runs: list, show, steps, watch."""

import json
import os
import re
import subprocess

from tests.functional import base

# What a terminal shows of a run that goes on; neither 0 nor 100.
PART_OF_A_BAR = re.compile(r'\r\033\[K\[=* *\] +([1-9]\d?)% running')


class RunTest(base.FunctionalTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.job_id = cls.world.saved('runs')

    def test_list_show_and_steps(self):
        (row,) = self.json('run', 'list', '--job', 'runs', '--state', 'success')
        self.assertEqual(
            (self.job_id, self.world.agent_id, 'success'), (row['Job'], row['Agent'], row['State'])
        )
        self.assertRegex(row['Finished'], r'^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$')
        shown = self.json('run', 'show', row['ID'])
        self.assertEqual((row['ID'], 4), (shown['run_id'], shown['files_done']))
        self.assertEqual(row['ID'], self.json('run', 'show', 'runs')['run_id'])
        (step,) = self.json('run', 'step', 'list', self.job_id, '--long')
        self.assertEqual(
            ('backup', 'runs', 'success', []),
            (step['Kind'], step['Backup Name'], step['Outcome'], step['Remarks']),
        )

    def test_output_for_scripts(self):
        text = self.do(
            'run',
            'list',
            '--agent',
            self.world.agent_id,
            '--job',
            self.job_id,
            '-f',
            'value',
            '-c',
            'State',
        ).out
        self.assertEqual('success\n', text)
        table = self.do('run', 'list', '--job', self.job_id, '--long').out
        for name in ('Cause', 'Read', 'Stored', 'Waiting For'):
            self.assertIn(' %s ' % name, table)

    def test_watch_tells_line_by_line_where_there_is_no_terminal(self):
        answer = self.do('run', 'watch', 'runs', '-f', 'value', '-c', 'state')
        self.assertEqual('success\n', answer.out)
        self.assertEqual('success\n', answer.err)

    def test_watch_shows_a_bar_on_a_terminal(self):
        shown = self.world.run_on_terminal('member', 'backup', 'run', 'watch', 'runs')
        self.assertIn('\r\033[K[%s] 100%% success, ' % ('=' * 30), shown)

    def test_a_run_that_crawls_is_let_go(self):
        source = self.world.source('crawls')
        # More than is read ahead of the storage, so that its share stands still.
        with open(os.path.join(source, 'large'), 'wb') as out:
            out.write(b'7' * (32 << 20))
        # Hours, at this rate.
        job_id = self.world.job('crawls', compression='none', upload_limit='1K')
        self.world.until('the run is under way', lambda: self._share(job_id))
        (row,) = self.json('run', 'list', '--job', job_id, '--state', 'running')
        self.assertEqual(job_id, row['Job'])
        self.refused(
            'run', 'set', job_id, '--upload-limit', 'fast', text="'fast' is no rate", status=2
        )
        self.refused('run', 'set', job_id, text='Give --upload-limit or --download-limit')
        seen = []

        def let_go(shown):
            found = PART_OF_A_BAR.search(shown)
            if found and not seen:
                seen.append(int(found[1]))
                self.do('run', 'set', job_id, '--upload-limit', '1G', '--download-limit', '-1')

        shown = self.world.run_on_terminal('member', 'backup', 'run', 'watch', job_id, heed=let_go)
        self.assertTrue(seen, shown)
        self.assertIn('\r\033[K[%s] 100%% success, ' % ('=' * 30), shown)
        self.refused('run', 'set', job_id, '--upload-limit', '10M', text='has ended: success')

    def _share(self, job_id):
        """How much of a running backup is read, once it is known of how much."""
        runs = self.world.api('member').get('/jobs/%s/runs' % job_id).json()['runs']
        if not runs or runs[0]['state'] == 'queued':
            return None
        if runs[0]['state'] not in ('dispatched', 'running'):
            raise AssertionError(runs[0])
        progress = runs[0].get('progress') or {}
        total = progress.get('bytes_total')
        return total and progress['bytes_done'] / total

    def test_a_service_that_is_away(self):
        conf = os.path.join(self.world.folder, 'clouds.yaml')
        login = self.world.login('member')
        with open(conf, 'w') as out:
            json.dump(
                {
                    'clouds': {
                        'away': {
                            'auth': {'auth_url': login['OS_AUTH_URL']},
                            'backup_endpoint_override': 'http://127.0.0.1:1',
                        }
                    }
                },
                out,
            )
        answer = self.world.run(
            'member', 'backup', 'run', 'list', OS_CLIENT_CONFIG_FILE=conf, OS_CLOUD='away'
        )
        self.assertEqual(1, answer.status)
        self.assertIn('Unable to establish connection to http://127.0.0.1:1/v2/', answer.err)
        self.assertNotIn('Traceback', answer.err)

    def test_a_region_without_the_service(self):
        answer = self.world.run('member', 'backup', 'run', 'list', OS_REGION_NAME='Nowhere')
        self.assertEqual(1, answer.status)
        self.assertIn('endpoint for backup service in Nowhere region not found', answer.err)
        self.assertNotIn('Traceback', answer.err)

    def test_watch_of_a_failure(self):
        job_id = self.world.job('lost', path_to_backup='/nowhere/at/all')
        self.world.until(
            'it has run',
            lambda: self.world.api('member').get('/jobs/%s/runs' % job_id).json()['runs'],
        )
        answer = self.refused('run', 'watch', job_id, text='/nowhere/at/all')
        self.assertRegex(answer.out, r'\| state +\| fail ')
        (step,) = self.json('run', 'step', 'list', job_id)
        self.assertEqual('fail', step['Outcome'])
        self.assertIn('/nowhere/at/all', step['Error'])

    def test_logs_tell_what_happened_in_the_order_of_time(self):
        rows = self.json('run', 'logs', 'runs')
        logged = [row for row in rows if row['Message'].startswith(('INFO ', 'WARNING '))]
        self.assertTrue(logged, rows)
        rows = [row for row in rows if row not in logged]
        said = [row['Message'] for row in rows]
        self.assertIn('run made', said[0])
        self.assertEqual(['backup runs begins', 'backup runs: success', 'success'], said[1:])
        times = [row['Time'] for row in rows]
        self.assertEqual(sorted(times), times)
        tail = self.json('run', 'logs', 'runs', '--tail', '1')
        self.assertEqual(['success'], [row['Message'] for row in tail])
        self.refused('run', 'logs', 'nobody', text='with a name or id of "nobody" exists')

    def test_bash_completes_commands_and_options(self):
        for words, wanted in (
            (('backup', 'run', ''), {'list', 'show', 'watch', 'logs', 'step'}),
            (('backup', ''), {'restore', 'verify', 'plan', 'retention', 'coverage', 'agent'}),
            (('backup', 'restore', '--w'), {'--wait'}),
        ):
            self.assertLessEqual(wanted, self._completed('openstack', *words), words)

    def _completed(self, *words):
        """What bash offers for the last word."""
        script = self.world.run('member', 'complete').out + (
            '\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _openstack; echo "${COMPREPLY[@]}"\n'
        )
        # Of bash-completion only this is used: the words around the cursor.
        head = (
            '_get_comp_words_by_ref() { cur=${COMP_WORDS[COMP_CWORD]}; '
            'prev=${COMP_WORDS[COMP_CWORD-1]}; words=("${COMP_WORDS[@]}"); }\n'
        )
        done = subprocess.run(
            ['bash', '-s', *words], input=head + script, capture_output=True, text=True
        )
        return set(done.stdout.split())

    def test_another_project_sees_nothing(self):
        (row,) = self.json('run', 'list', '--job', self.job_id)
        self.assertEqual([], self.json('run', 'list', user='stranger'))
        for name in (row['ID'], self.job_id, 'runs'):
            for command in (
                ('show', name),
                ('watch', name),
                ('logs', name),
                ('step', 'list', name),
                ('set', name, '--upload-limit', '1'),
            ):
                self.refused(
                    'run',
                    *command,
                    user='stranger',
                    text='No run, and no job, with a name or id of "%s" exists' % name,
                )
        self.refused(
            'run',
            'list',
            '--job',
            self.job_id,
            user='stranger',
            text='No job with a name or id of "%s" exists' % self.job_id,
        )

    def test_a_reader_may_look(self):
        self.assertEqual('success', self.json('run', 'show', 'runs', user='reader')['state'])

    def test_bad_input(self):
        self.refused('run', 'show', 'nobody', text='with a name or id of "nobody" exists')
        self.refused('run', 'show', '../jobs', text='with a name or id of "../jobs" exists')
        self.refused('run', 'show', '', text='exists')
        self.refused('run', 'list', '--state', 'sleeping', text='invalid choice', status=2)
        self.refused('run', 'list', '--limit', '-3', text='--limit', status=2)
