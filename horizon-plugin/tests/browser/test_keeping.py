"""What stays and what goes: pins, what retention would remove and removes, records that are deleted."""

import os

from selenium.webdriver.common.by import By

from tests.browser.journey import Journey

CASE = 'case 17'


class Keeping(Journey):
    def saved_twice(self):
        """A job with two full backups, the older one first; its page is at the second run."""
        self.write_source()
        job = self.made_job()
        person = self.person
        person.log_in('demo')
        for number in (1, 2):
            self.started(job)
            person.until(lambda: len(self.demo.backups({job})) == number, 'backup %d' % number)
            person.until(lambda: self.demo.jobs(self.word)[0]['job_schedule']['status'] ==
                         'completed', 'the end of run %d' % number)
        backups = self.demo.backups({job})
        backups.sort(key=lambda backup: backup['backup_metadata']['time_stamp'])
        return job, [backup['backup_id'] for backup in backups]

    def at(self, backup, view=''):
        self.person.go('/project/backup_backups/%s/%s' % (backup, view))

    def pinned(self):
        """Texts of this test's rows that say they are pinned."""
        person = self.person
        person.go('/project/backup_backups/')
        person.row(self.word)
        rows = person.driver.find_elements(By.CSS_SELECTOR, 'table tbody tr')
        return [row.text for row in rows if self.word in row.text and 'until let go' in row.text]

    def chains(self):
        """Folders of chains in the store."""
        (name,) = os.listdir(os.path.join(self.store, 'data/tar'))
        return [one for one in os.listdir(os.path.join(self.store, 'data/tar', name))
                if one.isdigit()]

    def planned(self, job):
        """Rows of what the agent would remove by keeping the newest."""
        person = self.person
        person.go('/project/backup_jobs/%s/retention' % job)
        person.sees('This job removes nothing.')
        person.write('keep_last', '1')
        person.click('#freezer-rules button')
        person.sees('1 backup would go')
        self.picture('retention')
        person.click_text('Let the Agent Plan or Remove: ' + self.word)
        person.sees('Remove Old Backups: What Will Be Done')
        person.sees('are removed for good')
        person.click('#freezer-plan button')
        self.run_ends('success')
        person.sees('Nothing was removed.')
        rows = person.driver.find_elements(By.CSS_SELECTOR, '#freezer-removals tbody tr')
        return [row.text for row in rows]

    def test_a_pinned_backup_outlives_the_rules_until_it_is_let_go(self):
        job, (older, _newer) = self.saved_twice()
        person = self.person
        self.assertEqual(len(self.chains()), 2)
        self.at(older, 'pin')
        person.submit('backup_pin_form')
        # Without a reason nothing is done.
        self.assertNotIn('/backup_runs/', person.driver.current_url)
        person.write('reason', CASE)
        person.submit('backup_pin_form')
        self.run_ends('success')
        self.at(older)
        self.assertIn(CASE, person.find('#freezer-pin').text)
        self.assertEqual(len(self.pinned()), 1)
        self.picture('backups', only=self.word)

        # The agent knows of it, and the record's page warns.
        rows = self.planned(job)
        self.assertEqual(len(rows), 2, rows)
        self.assertFalse([row for row in rows if 'Goes' in row], rows)
        self.assertTrue([row for row in rows if CASE in row], rows)
        self.at(older, 'delete')
        person.sees('It is pinned')

        self.at(older, 'unpin')
        person.submit('backup_unpin_form')
        self.run_ends('success')
        self.assertEqual(self.pinned(), [])
        rows = self.planned(job)
        self.assertEqual(len([row for row in rows if 'Goes' in row]), 1, rows)
        self.assertEqual(len(self.chains()), 2)
        person.click_text('Remove Now')
        person.sees('Remove Old Backups: What Will Be Done')
        person.click('#freezer-restore button')
        self.run_ends('success')
        self.assertEqual(len(self.chains()), 1)

    def test_a_record_is_deleted_when_its_page_has_said_what_that_means(self):
        job, (older, newer) = self.saved_twice()
        person = self.person
        person.go('/project/backup_backups/')
        person.act_on(self.source, 'Delete Record')
        person.sees('This point in time cannot be chosen here any more')
        person.sees('stays, until a job removes old backups of this name')
        self.assertNotIn('only complete', person.find('#freezer-losses').text)
        person.submit('backup_delete_form')
        person.told('Deleted the record.')
        (left,) = self.demo.backups({job})
        self.assertEqual(len(self.chains()), 2)
        self.assertIn(left['backup_id'], (older, newer))
        self.at(left['backup_id'], 'delete')
        person.sees('It is the only complete backup of this name')

    def test_rules_that_were_tried_become_those_of_the_job(self):
        job = self.made_job()
        person = self.person
        person.log_in('demo')
        person.go('/project/backup_jobs/')
        person.act_on(self.word, 'Show What Retention Removes')
        person.write('keep_daily', '7')
        person.click('#freezer-rules button')
        person.sees('0 backups would go')
        person.click('#freezer-set-rules button')
        person.told('The job removes by these rules after each run.')
        person.sees('By its own rules: One Each of the Last Days: 7')
        saving, removing = (entry['freezer_action'] for entry in
                            self.demo.call('GET', '/jobs/' + job)['job_actions'])
        self.assertEqual((saving['action'], removing['action'], removing['keep_daily']),
                         ('backup', 'admin', 7))
        self.assertEqual(removing['container'], saving['container'])

    def test_rules_that_the_service_refuses_are_said_in_its_words(self):
        job = self.made_job()
        person = self.person
        person.log_in('demo')
        person.go('/project/backup_jobs/%s/retention?keep_last=9000000' % job)
        self.assertIn('keep_last', person.find('.alert-danger').text)
        self.assertNotIn('Traceback', person.text())

    def test_a_reader_sees_the_plan_and_may_not_pin(self):
        job, (older, _newer) = self.saved_twice()
        person = self.person
        person.log_in('reader')
        person.go('/project/backup_jobs/%s/retention?keep_last=1' % job)
        person.sees('1 backup would go')
        self.at(older, 'pin')
        person.write('reason', CASE)
        person.submit('backup_pin_form')
        person.sees('You are not allowed to access this resource')
        self.at(older, 'delete')
        person.submit('backup_delete_form')
        person.sees('You are not allowed to access this resource')
        self.assertEqual(len(self.demo.backups({job})), 2)
