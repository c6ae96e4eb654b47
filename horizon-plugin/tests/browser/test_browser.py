"""A user's way through the panels: real Horizon, real Keystone, the real service, Chromium."""

import datetime
import filecmp
import os
import unittest

from selenium.webdriver.common.by import By

from tests.browser import service
from tests.browser.journey import Journey


class Panels(Journey):
    """Each panel, as members, readers, strangers and administrators find it."""

    def wizard(self, name, agent, container, **what):
        person = self.person
        person.go('/project/backup_jobs/')
        person.click_text('Create Job')
        person.choose('kind', what.pop('kind'))
        for field, text in what.items():
            person.write(field, text)
        if what:
            self.picture('job-what')
        person.click('.workflow .button-next')
        person.write('name', name)
        person.choose('agent', agent)
        person.choose('storage', 'local')
        person.write('container', container)
        person.click('.workflow .button-next')
        person.choose('repeat', 'once')
        person.tick('is_started', False)
        person.click('.workflow .button-final')

    def test_from_the_wizard_to_restored_files(self):
        self.write_source()
        person = self.person
        person.log_in('demo')
        self.wizard(self.word, self.demo.agent(), self.store, kind='files', folder=self.source)
        person.told('Created the backup job "%s".' % self.word)
        self.assertIn(self.source, person.row(self.word).text)
        person.until(lambda: 'Stopped' in person.row(self.word).text, 'the job that waits')

        # Started; its run is seen at work and at its end.
        person.act_on(self.word, 'Start Job')
        person.told('Asked to start Job')
        job_id = self.demo.jobs(self.word)[0]['job_id']
        person.go('/project/backup_runs/of/%s/' % job_id)
        self.run_ends('success')
        person.sees('Back up · Files · ' + self.source)
        bar = person.find('[role=progressbar]')
        self.assertEqual(bar.get_attribute('aria-valuenow'), '100')
        self.assertTrue(bar.get_attribute('aria-label'))
        self.picture('run')
        person.go('/project/backup_runs/')
        person.until(lambda: 'Success' in person.row(self.word).text, 'the run in the list')

        # The backup is there; restored elsewhere after a look at what will be done.
        person.go('/project/backup_backups/')
        person.row(self.source)
        person.act_on(self.source, 'Restore')
        target = os.path.join(self.folder, 'restored')
        person.write('folder', target)
        self.picture('restore')
        person.submit('backup_restore_form')
        person.sees('Restore: What Will Be Done')
        self.assertIn(target, person.find('#freezer-confirm').text)
        self.assertFalse(os.path.exists(target))
        person.click('#freezer-plan button')
        self.run_ends('success')
        self.assertFalse(os.path.exists(target))
        person.click_text('Restore Now')
        person.sees('Restore: What Will Be Done')
        self.picture('confirm')
        person.click('#freezer-restore button')
        self.run_ends('success')
        for name in ('small', 'large'):
            self.assertTrue(filecmp.cmp(os.path.join(self.source, name),
                                        os.path.join(target, name), shallow=False), name)

        # Checked: all is read back, nothing written.
        person.go('/project/backup_backups/')
        person.act_on(self.source, 'Check')
        person.submit('backup_check_form')
        self.run_ends('success')
        person.sees('All of the backup was read back and checked.')
        self.assertIn('Undamaged yes', person.find('#freezer-run').text)
        self.picture('check')
        person.go('/project/backup_runs/')
        person.row('Check of ' + self.word)
        self.picture('runs', only=self.word)

        # And gone: job and record.
        person.go('/project/backup_jobs/')
        person.act_on(self.source, 'Clone Job')
        person.write('name', self.word + ' twin')
        person.submit('backup_job_form')
        person.told('it waits to be started')
        person.act_on(self.word + ' twin', 'Edit Job')
        person.write('name', self.word + ' weekly')
        person.choose('repeat', '1 weeks')
        person.submit('backup_job_form')
        person.told('Changed the backup job')
        self.assertIn('Every week', person.row(self.word + ' weekly').text)
        self.picture('jobs', only=self.word)
        person.act_on(self.word + ' weekly', 'Delete Job')
        person.confirm()
        person.told('Deleted Job')
        self.assertEqual([job['description'] for job in self.demo.jobs(self.word + ' weekly')], [])

    def test_a_run_is_followed_while_it_works_and_aborted(self):
        # At this rate nobody is late.
        self.write_source(96)
        person = self.person
        person.log_in('demo')
        job_id = self.started(self.made_job(upload_limit='512K'))
        person.go('/project/backup_runs/of/%s/' % job_id)
        self.stays()
        self.bar_is_above(0)
        person.until(lambda: person.find('.freezer-run-log').text.strip(), 'lines of the log')
        person.click_summary('What was asked for')
        # It goes on beside what is open, and leaves it so, with the focus.
        seen = self.bar_is_above(0)
        self.assertLess(self.bar_is_above(seen), 100)
        self.picture('run-at-work')
        asked, focused = person.driver.execute_script(
            "return [document.querySelector('[data-name=asked-1]').open,"
            ' document.activeElement.textContent.trim()]')
        self.assertEqual((asked, focused), (True, 'What was asked for'))
        self.assertTrue(person.driver.execute_script('return window.neverLoadedAgain'))
        self.assertRegex(person.find('#freezer-run-live').get_attribute('textContent'),
                         r'^Running, (0|25|50|75) percent$')
        self.judge('a run at work')

        person.go('/project/backup_jobs/')
        person.act_on(self.word, 'Abort Job')
        # Who thinks it over means it as well: the row is another by then.
        before = person.row(self.word)
        person.until(lambda: person.is_replaced(before), 'the row to be asked for anew')
        person.confirm()
        person.told('Asked to abort Job')
        person.go('/project/backup_runs/of/%s/' % job_id)
        self.run_ends('aborted')
        self.assertEqual(self.demo.backups({job_id}), [])

    def test_an_unprotected_volume_becomes_protected(self):
        volume = service.Volume(self.demo, self.word)
        self.addCleanup(volume.forget)
        # Its plan is a job named after the backup, which is named after the volume.
        self.addCleanup(self.demo.forget, volume.id)
        content = {0: os.urandom(4096), 3 << 20: os.urandom(1 << 20), 700 << 20: b'far away'}
        volume.write(content)
        self.write_source()
        self.started(self.made_job())
        # Later than this test lives, sooner than what others plan.
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=6)
        self.demo.call('POST', '/jobs', {
            'description': self.word + ' nightly', 'client_id': self.central(),
            'job_actions': [{'freezer_action': {'action': 'backup', 'mode': 'project'}}],
            'job_schedule': {'schedule_interval': '1 days',
                             'schedule_start_date': soon.strftime('%Y-%m-%dT%H:%M:%SZ')}})
        person = self.person
        person.log_in('demo')
        person.go('/project/backup_overview/')
        self.assertIn('No backup', person.row(self.word).text)
        person.act_on(self.word, 'Protect')
        # What to protect is answered already.
        person.until(lambda: person.find('[name=kind]').get_attribute('value') == 'volume',
                     'the kind that was chosen')
        self.assertEqual(person.find('[name=volume]').get_attribute('value'), volume.id)
        person.click('.workflow .button-next')
        person.write('name', self.word)
        person.choose('agent', self.central())
        person.write('container', self.word)
        person.click('.workflow .button-next')
        person.choose('repeat', 'once')
        person.click('.workflow .button-final')
        person.told('Created the backup job')
        job = next(job for job in self.demo.jobs(self.word)
                   if job['job_actions'][0]['freezer_action']['mode'] == 'cinder')
        person.go('/project/backup_runs/of/%s/' % job['job_id'])
        self.run_ends('success')
        person.go('/project/backup_overview/')
        self.assertIn(self.word + ' nightly', person.find('#freezer-next').text)
        self.shows_the_last_runs()
        self.assertIn('Protected', person.row(self.word).text)
        self.assertIn('Stored bytes from', person.find('svg title').get_attribute('textContent'))
        self.picture('overview')
        person.click_summary('As a table')
        person.until(lambda: person.find('#freezer-stored').is_displayed(), 'the table of the chart')

        # The way back: a plan that the agent makes, and a warning where something is lost.
        person.go('/project/backup_backups/')
        person.act_on(self.word, 'Restore')
        person.choose('target', 'new')
        person.write('name', self.word + ' again')
        person.submit('backup_restore_form')
        person.click('#freezer-plan button')
        self.run_ends('success')
        person.sees('The backup was found whole enough to be restored.')
        # What the plan says of the volume, and what was asked for.
        self.assertIn(self.word, person.find('#freezer-run').text)
        self.picture('plan')
        person.click('#freezer-run summary')
        person.sees(self.word + ' again')
        self.assertEqual(volume.named(self.word + ' again'), [])

        # And for real: a new volume with the old one's content.
        person.click_text('Restore Now')
        person.sees('Restore: What Will Be Done')
        person.click('#freezer-restore button')
        self.run_ends('success')
        (again,) = volume.named(self.word + ' again')
        self.addCleanup(again.forget)
        self.assertEqual(again.read(content), content)
        person.go('/project/backup_backups/')
        person.act_on(self.word, 'Restore')
        person.choose('target', 'over')
        person.submit('backup_restore_form')
        person.sees('All that is on the volume now is lost.')

    def shows_the_last_runs(self):
        """The newest of the project, in their order; others make some beside this test."""
        links = self.person.driver.find_elements(By.CSS_SELECTOR, '#freezer-last a')
        last = [link.get_attribute('href').strip('/').split('/')[-1] for link in links]
        newest = [run['run_id'] for run in self.demo.call('GET', '/runs?limit=100')['runs']]
        self.assertIn(last[0], newest)
        first = newest.index(last[0])
        self.assertEqual(last, newest[first:first + 5])

    def test_another_project_sees_nothing_of_it(self):
        self.write_source()
        job_id = self.made_job()
        self.started(job_id)
        person = self.person
        person.log_in('demo')
        person.go('/project/backup_runs/of/%s/' % job_id)
        self.run_ends('success')
        run_url = person.driver.current_url[len(self.url):]
        backup_id = self.demo.backups({job_id})[0]['backup_id']
        session_id = self.demo.call('POST', '/sessions', {
            'description': self.word, 'schedule': {
                'schedule_interval': '1 days',
                'schedule_start_date': '2199-01-01T03:00:00Z'}})['session_id']
        self.addCleanup(self.forget_sessions)
        agent = self.demo.agent()
        # Something is there that others must not see.
        for panel, shown in (('jobs', self.word), ('runs', self.word), ('backups', self.source),
                             ('sessions', self.word), ('agents', agent)):
            person.go('/project/backup_%s/' % panel)
            person.sees(shown)

        person.log_in('other')
        for panel in ('overview', 'jobs', 'runs', 'backups', 'sessions', 'agents'):
            person.go('/project/backup_%s/' % panel)
            person.find('table')
            for theirs in (self.word, job_id, agent):
                self.assertNotIn(theirs, person.driver.page_source, panel)
        for path in ('/project/backup_jobs/%s/' % job_id, run_url, run_url + 'state',
                     '/project/backup_jobs/%s/edit' % job_id,
                     '/project/backup_jobs/%s/clone' % job_id,
                     '/project/backup_runs/of/%s/' % job_id,
                     '/project/backup_sessions/%s/' % session_id,
                     '/project/backup_sessions/%s/edit' % session_id,
                     '/project/backup_sessions/%s/attach' % session_id,
                     '/project/backup_backups/%s/' % backup_id,
                     '/project/backup_backups/%s/restore' % backup_id,
                     '/project/backup_backups/%s/check' % backup_id,
                     '/project/backup_backups/%s/pin' % backup_id,
                     '/project/backup_backups/%s/unpin' % backup_id,
                     '/project/backup_backups/%s/delete' % backup_id,
                     '/project/backup_jobs/%s/retention?keep_last=1' % job_id,
                     '/project/backup_backups/plan/' + run_url.strip('/').split('/')[-1]):
            person.go(path)
            person.sees('not there')
            self.assertNotIn(self.word, person.driver.page_source)

    def test_what_the_service_refuses_is_said_in_its_words(self):
        person = self.person
        person.log_in('demo')
        # It saves projects, but not into a folder: only the service knows.
        self.wizard(self.word, self.central(), self.store, kind='project')
        person.sees('does not support storage: local')
        self.assertEqual(self.demo.jobs(self.word), [])
        self.assertNotIn('Traceback', person.text())
        # What was filled in is still there.
        self.assertEqual(person.driver.find_element(By.NAME, 'name').get_attribute('value'),
                         self.word)

    def test_a_reader_is_told_that_he_may_not(self):
        self.made_job()
        person = self.person
        person.log_in('reader')
        person.go('/project/backup_jobs/')
        person.act_on(self.word, 'Start Job')
        person.sees('You are not allowed to access this resource')

    def test_a_failed_run_says_why(self):
        missing = os.path.join(self.folder, 'never-there')
        job_id = self.started(self.made_job(path_to_backup=missing))
        person = self.person
        person.log_in('demo')
        person.go('/project/backup_runs/of/%s/' % job_id)
        self.run_ends('fail')
        person.sees('never-there')
        self.assertNotIn('Traceback', person.text())

    def test_jobs_start_together_in_a_session(self):
        self.made_job()
        person = self.person
        person.log_in('demo')
        person.go('/project/backup_sessions/')
        person.click_text('Create Session')
        person.write('name', self.word)
        person.choose('repeat', '1 days')
        person.submit('backup_session_form')
        person.told('Saved the session')
        self.addCleanup(self.forget_sessions)
        person.act_on(self.word, 'Add Job')
        job_id = self.demo.jobs(self.word)[0]['job_id']
        person.choose('job', job_id)
        person.submit('backup_session_form')
        person.told('belongs to the session now')
        person.click_text(self.word, 'table')
        person.row(self.word)
        person.act_on(self.word, 'Take Job out')
        person.confirm()
        person.told('Took Job out')
        person.sees('No items to display.')

    def forget_sessions(self):
        for session in self.demo.call('GET', '/sessions?limit=1000')['sessions']:
            if session.get('description') == self.word:
                self.demo.call('DELETE', '/sessions/' + session['session_id'])

    def test_an_administrator_sees_all_projects(self):
        self.demo.call('POST', '/jobs', {
            'description': self.word, 'client_id': self.demo.agent(),
            'job_actions': [{'freezer_action': {'action': 'backup', 'path_to_backup': '/etc'}}],
            'job_schedule': {'schedule_interval': '1 days',
                             'schedule_start_date': '2199-01-01T03:00:00Z'}})
        person = self.person
        person.log_in('admin')
        person.go('/admin/all_backup_jobs/')
        self.assertIn('demo', person.row(self.word).text)
        person.act_on(self.word, 'Stop Job')
        person.told('Asked to stop Job')
        person.until(lambda: self.demo.jobs(self.word)[0]['job_schedule']['status'] == 'stop',
                     'the job to be stopped')
        person.go('/admin/all_backup_jobs/')
        person.act_on(self.word, 'Start Job')
        person.told('Asked to start Job')
        person.until(lambda: self.demo.jobs(self.word)[0]['job_schedule']['status'] == 'scheduled',
                     'the job to be started')
        person.go('/admin/backup_quotas/')
        person.row('demo')
        # And nobody else gets there.
        person.log_in('other')
        person.go('/admin/all_backup_jobs/')
        person.find('body')
        self.assertNotIn(self.word, person.driver.page_source)

    def test_an_administrator_starts_a_job_and_sees_why_it_failed(self):
        self.write_source(1)
        missing = os.path.join(self.folder, 'never-there')
        job_id = self.made_job(path_to_backup=missing)
        person = self.person
        person.log_in('admin')
        person.go('/admin/all_backup_jobs/')
        person.act_on(self.word, 'Start Job')
        person.told('Asked to start Job')
        person.until(lambda: self.demo.jobs(self.word)[0]['job_schedule']['result'] == 'fail',
                     'the run that fails')
        person.click_text(self.word, 'table')
        self.assertIn('Failed', person.row('never-there').text)
        self.judge('runs of a job of any project')
        runs = '/admin/all_backup_jobs/%s/%s/' % (self.demo.project_id, job_id)
        self.assertIn(runs, person.driver.current_url)
        project = self.sees_the_project()
        person.log_in('other')
        for page in (runs, '/admin/backup_projects/', project):
            person.go(page)
            person.sees('You are not authorized to access this page')
            for theirs in ('never-there', self.word):
                self.assertNotIn(theirs, person.driver.page_source)

    def sees_the_project(self):
        """How an administrator finds the project with its failed job, an agent and a backup; returns where."""
        job = self.started(self.made_job())
        person = self.person
        person.until(lambda: self.demo.backups({job}), 'the backup')
        person.go('/admin/backup_projects/?project=demo')
        # Jobs, those that have failed, agents.
        self.assertRegex(person.row('demo ').text, r'demo \d+ [1-9]\d* [1-9]')
        self.assertNotIn('not known', person.row('demo ').text)
        self.judge('all projects')
        self.picture('projects')
        person.click_text('demo', '#backup_projects')
        person.sees('Backups of Project demo')
        person.find('#project_coverage')
        self.judge('coverage of a project')
        for tab, shown in (('Jobs', self.word), ('Runs', 'never-there'), ('Backups', self.word),
                           ('Agents', self.demo.agent())):
            person.click_text(tab, '.nav-tabs')
            person.until(lambda: person.find('#project_' + tab.lower()).is_displayed(), tab)
            person.row(shown)
        project = '/admin/backup_projects/%s/' % self.demo.project_id
        self.assertIn(project, person.driver.current_url)
        return project


if __name__ == '__main__':
    unittest.main()
