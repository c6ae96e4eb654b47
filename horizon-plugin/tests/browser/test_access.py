"""The panels without a mouse, without eyes, in another language and in other colours."""

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.journey import Journey

# Above the list of backups, and what is behind a row: it has no name.
FILTER, MENU = 'backups__filter__q', 'the menu of a row'
PANELS = ('overview', 'jobs', 'runs', 'backups', 'agents', 'sessions')


class Access(Journey):
    def one_of_each(self):
        """A job that has run, so that each panel has something to show."""
        self.write_source()
        job = self.started(self.made_job())
        person = self.person
        person.log_in('demo')
        person.go('/project/backup_runs/of/%s/' % job)
        self.run_ends('success')
        return job

    def test_axe_finds_nothing_of_weight(self):
        job = self.one_of_each()
        person = self.person
        self.judge('a run')
        pages = ['/project/backup_%s/' % panel for panel in PANELS]
        pages.append('/project/backup_jobs/%s/' % job)
        backup = self.demo.backups({job})[0]['backup_id']
        pages += ['/project/backup_backups/%s/%s' % (backup, view)
                  for view in ('', 'restore', 'check', 'pin', 'delete')]
        pages += ['/project/backup_jobs/%s' % view
                  for view in ('create', job + '/edit', job + '/clone',
                               job + '/retention?keep_last=1')]
        pages.append('/project/backup_sessions/create')
        for page in pages:
            with self.subTest(page=page):
                person.go(page)
                person.find('#main_content')
                self.judge(page)
        person.go('/project/backup_backups/%s/restore' % backup)
        person.write('folder', '/nowhere')
        person.submit('backup_restore_form')
        person.find('#freezer-confirm')
        self.judge('what will be done')

    def focused(self):
        """What has the focus: the name of a field, or what a button says."""
        one = self.person.driver.switch_to.active_element
        said = one.get_attribute('name') or one.text or one.get_attribute('value')
        if not said and 'dropdown-toggle' in (one.get_attribute('class') or ''):
            return MENU
        return ' '.join((said or one.tag_name).split())

    def press(self, key):
        self.person.driver.switch_to.active_element.send_keys(key)

    def tab_to(self, wanted, most=40):
        """Tabs until something has the focus; returns all that had it on the way."""
        passed = []
        for _step in range(most):
            passed.append(self.focused())
            if passed[-1] == wanted:
                return passed
            self.press(Keys.TAB)
        raise AssertionError('never came to %r, only to %r' % (wanted, passed))

    def wizard_by_keys(self):
        person = self.person
        person.go('/project/backup_jobs/')
        person.find('#jobs__action_create').send_keys(Keys.ENTER)
        person.find('.modal-dialog [name=kind]')
        person.until(lambda: person.driver.execute_script(
            "return !!document.activeElement.closest('.modal')"), 'the focus in the wizard')

    def test_a_job_is_made_with_keys_alone(self):
        self.write_source()
        person = self.person
        person.log_in('demo')
        self.wizard_by_keys()
        self.tab_to('kind')
        # Everything on a machine with an agent: the last but two of the choices.
        self.press('Files')
        passed = self.tab_to('folder')
        self.assertEqual([name for name in passed if name in ('server', 'volume', 'image', 'tag')],
                         [], 'fields of other kinds are passed over')
        self.press(self.source)
        self.tab_to('Next »')
        self.press(Keys.ENTER)
        person.until(lambda: person.find('[name=name]').is_displayed(), 'the second step')
        self.tab_to('name')
        self.press(self.word)
        self.tab_to('agent')
        # As the choice has it: without the project's id.
        self.press(self.demo.agent().partition('_')[2])
        self.tab_to('storage')
        # The first of the choices that begin so.
        self.press('A')
        self.tab_to('container')
        self.press(Keys.CONTROL + 'a')
        self.press(self.store)
        passed = self.tab_to('Next »')
        self.assertNotIn('ssh_host', passed)
        self.assertIn('encrypt_pass_file', passed)
        self.press(Keys.ENTER)
        person.until(lambda: person.find('[name=repeat]').is_displayed(), 'the third step')
        self.tab_to('repeat')
        self.press('Once')
        self.tab_to('Create Job')
        self.press(Keys.ENTER)
        person.told('Created the backup job "%s".' % self.word)
        (job,) = self.demo.jobs(self.word)
        person.go('/project/backup_runs/of/%s/' % job['job_id'])
        self.run_ends('success')
        # Opened and away again: no more is made.
        self.wizard_by_keys()
        self.press(Keys.ESCAPE)
        person.until(lambda: not person.driver.find_elements(By.CSS_SELECTOR, '.modal-dialog'),
                     'the wizard to be gone')
        self.assertEqual(len(self.demo.jobs(self.word)), 1)

    def choose_by_keys(self, action):
        """At the list of backups: finds this test's row, opens its menu, and chooses from that."""
        person = self.person
        self.tab_to(FILTER, 200)
        self.press(self.word)
        person.until(lambda: person.shows_only(self.word), 'the only row')
        self.tab_to(MENU)
        self.press(Keys.ENTER)
        person.find('.actions_column .btn-group.open')
        passed = []
        while action not in passed:
            self.press(Keys.ARROW_DOWN)
            self.assertNotIn(self.focused(), passed, 'the end of the menu')
            passed.append(self.focused())
        self.press(Keys.ENTER)
        person.find('.modal-dialog form')

    def typed(self, field, text):
        """Whether a field of a dialog has the text now: what opens takes the focus to itself in between."""
        self.tab_to(field, 200)
        self.press(Keys.CONTROL + 'a')
        self.press(text)
        return self.person.find('[name=%s]' % field).get_attribute('value') == text

    def test_a_backup_is_pinned_with_keys_alone(self):
        self.one_of_each()
        person = self.person
        person.go('/project/backup_backups/')
        person.row(self.word)
        self.choose_by_keys('Pin')
        person.until(lambda: self.typed('reason', 'case 17'), 'the reason in its field')
        passed = self.tab_to('Pin')
        self.assertIn('until', passed)
        self.assertIn('agent', passed)
        self.press(Keys.ENTER)
        self.run_ends('success')
        person.go('/project/backup_backups/')
        self.assertIn('until let go', person.row(self.word).text)

    def test_it_speaks_german(self):
        job = self.one_of_each()
        backup = self.demo.backups({job})[0]['backup_id']
        person = self.person
        person.driver.add_cookie({'name': 'horizon_language', 'value': 'de'})
        for page, words in (
                ('/project/backup_overview/', ('Backup-Übersicht', 'Nächste Läufe')),
                ('/project/backup_jobs/', ('Backup-Aufträge', 'Auftrag anlegen', 'Sichern')),
                ('/project/backup_runs/', ('Backup-Läufe', 'Erfolg')),
                ('/project/backup_backups/', ('Zeitpunkt', 'Verfügbar')),
                ('/project/backup_jobs/%s/retention?keep_last=1' % job,
                 ('0 Backups gingen', 'Bleibt', 'Diese zu den Regeln des Auftrags machen')),
                ('/project/backup_jobs/%s/' % job, ('Letzter Lauf',)),
                ('/project/backup_backups/%s/' % backup, ('Version des Agenten',))):
            person.go(page)
            for word in words:
                person.sees(word)
        person.go('/project/backup_backups/%s/check' % backup)
        person.submit('backup_check_form')
        self.run_ends('success')
        for word in ('Unversehrt', 'Nochmals gelesen', 'Was gelesen wurde'):
            person.sees(word)

    def colours(self):
        """Of the line of the overview's chart, and of what the theme shows as its own colour."""
        self.person.go('/project/backup_overview/')
        self.person.find('#content_body svg[role=img]')
        return self.person.driver.execute_script("""
            var probe = document.createElement('p');
            probe.className = 'text-primary';
            document.getElementById('content_body').appendChild(probe);
            var line = document.querySelector('#content_body svg[role=img] polyline');
            return [line, probe].map(function (one) {
              return window.getComputedStyle(one).color;
            });""")

    def test_another_theme_is_followed(self):
        self.one_of_each()
        chart, theme = self.colours()
        self.assertEqual(chart, theme)
        self.person.driver.add_cookie({'name': 'theme', 'value': 'material'})
        other_chart, other_theme = self.colours()
        self.assertIn('themes/material', self.person.driver.page_source)
        self.assertEqual(other_chart, other_theme)
        self.judge_contrast('the overview in another theme')
        self.assertNotEqual(chart, other_chart)
