"""The way back for each kind of backup: form, what will be done, plan, run."""

import os

from selenium.webdriver.common.by import By

from tests.browser import cloud
from tests.browser import service
from tests.browser.journey import Journey

SERVER, OTHER = '5e' * 16, '0d' * 16
# Of each kind: what its record has, what is filled in, and what the next page then says.
KINDS = (
    ({'mode': 'nova', 'nova_inst_id': SERVER, 'server_name': 'web'},
     {'name': 'web again', 'mapping': 'old=new'}, ('web again', 'old=new')),
    ({'mode': 'nova', 'servers': {SERVER: {'server_name': 'web', 'backup_name': 'of_web'},
                                  OTHER: {'server_name': 'db', 'backup_name': 'of_db'}}},
     {'server': OTHER, 'name': 'db again'}, ('of_db', 'db again')),
    ({'mode': 'project'}, {'select': 'volume/data,network', 'mapping': 'network/a=b'},
     ('volume/data,network', 'network/a=b')),
    ({'mode': 'cindernative', 'cindernative_vol_id': SERVER, 'cinder_backup_id': OTHER},
     {'target': 'over'}, (OTHER, 'the old volume', 'All that is on the volume now is lost.')),
    ({'mode': 'cinder', 'cinder_vol_id': SERVER}, {'target': 'replace', 'name': 'data again'},
     ('a new volume, attached', 'data again', 'The old one stays, detached.')),
    ({'mode': 'glance', 'glance_image_id': SERVER}, {'name': 'tiny again'}, ('tiny again',)),
    ({'mode': 'fs', 'storage': 'ssh', 'container': '/srv/vault', 'ssh_host': 'vault.example',
      'encrypted': True, 'path_to_backup': '/etc'},
     {'folder': '/nowhere/etc', 'pass_file': '/etc/pass'},
     ('vault.example', '/etc/pass', '/nowhere/etc')),
)
# Kinds of a project that its test does not look at.
NOT_SAVED = ('keypair,server_group,router,port,floating_ip,image,volume,server,container,stack')
CHOSEN = ('server', 'target', 'agent')


class Restores(Journey):
    def record(self, number, metadata):
        """A record that somebody has written; there are no data behind it."""
        made = self.demo.call('POST', '/backups', dict({
            'container': self.word, 'hostname': 'h', 'storage': 'swift', 'time_stamp': 1795686001,
            'backup_name': '%s_%d' % (self.word, number), 'curr_backup_level': 0}, **metadata))
        self.addCleanup(self.demo.call, 'DELETE', '/backups/' + made['backup_id'])
        return made['backup_id']

    def test_each_kind_has_a_form_and_says_what_will_be_done(self):
        person = self.person
        person.log_in('demo')
        for number, (metadata, filled, words) in enumerate(KINDS):
            with self.subTest(mode=metadata['mode'], number=number):
                path = '/project/backup_backups/%s/' % self.record(number, metadata)
                person.go(path + 'restore')
                self.assertTrue(person.find('[name=agent]').get_attribute('value'))
                for name, text in filled.items():
                    (person.choose if name in CHOSEN else person.write)(name, text)
                person.submit('backup_restore_form')
                person.sees('Restore: What Will Be Done')
                for word in words:
                    self.assertIn(word, person.find('#freezer-confirm').text)
                # And a page of its own, with the way here.
                person.go(path)
                person.sees('What the Record Says')
                self.assertIn('Restore', person.find('.page-header, .detail-header, body').text)

    def test_a_plan_of_what_is_gone_says_so(self):
        person = self.person
        self.addCleanup(self.demo.forget, self.word)
        person.log_in('demo')
        backup = self.record(0, {'mode': 'glance', 'glance_image_id': SERVER,
                                 'backup_name': self.word})
        person.go('/project/backup_backups/%s/restore' % backup)
        person.choose('agent', self.central())
        person.submit('backup_restore_form')
        person.click('#freezer-plan button')
        self.run_ends('fail')
        self.assertIn(self.word, person.find('#freezer-run').text)
        self.assertNotIn('Restore Now', person.text())
        self.assertNotIn('Traceback', person.text())

    def saved(self, **action):
        """The word's backup in a container of its own, made by a job that has run."""
        self.addCleanup(self.demo.forget_container, self.word)
        job = self.started(self.demo.call('POST', '/jobs', {
            'description': self.word, 'client_id': self.central(),
            'job_actions': [{'max_retries': 0, 'freezer_action': dict({
                'action': 'backup', 'storage': 'swift', 'container': self.word,
                'backup_name': self.word}, **action)}],
            'job_schedule': {'event': 'stop'}})['job_id'])
        person = self.person
        person.log_in('demo')
        person.go('/project/backup_runs/of/%s/' % job)
        self.run_ends('success')
        person.go('/project/backup_backups/')

    def test_of_a_project_comes_back_what_is_chosen_of_the_plan(self):
        there = cloud.Cloud(self.demo, self.word)
        self.addCleanup(there.forget)
        group, network = there.group(), there.network()
        # What is saved is asked of the whole project, in which other tests work too.
        self.saved(mode='project', project_exclude=NOT_SAVED)
        there.remove('security_group', group)
        there.remove('network', network)
        person = self.person
        person.act_on(self.word, 'Restore')
        person.submit('backup_restore_form')
        person.click('#freezer-plan button')
        self.run_ends('success')
        for kind in ('Security group', 'Network'):
            row = person.row('%s %s' % (kind, self.word))
            self.assertIn('Made anew', row.text)
        self.assertIn('Restore Now', person.text())
        person.click_text('Choose What and Where')
        person.choose('what', 'chosen')
        for box in person.driver.find_elements(By.CSS_SELECTOR, '#freezer-choose [type=checkbox]'):
            row = box.find_element(By.XPATH, './ancestor::tr').text
            person.tick(box.get_attribute('name'), row.startswith('Security group ' + self.word))
        private = next(iter(there.named('network', 'private')))
        row = person.row('Network ' + self.word)
        person.choose(row.find_element(By.TAG_NAME, 'select').get_attribute('name'), private)
        self.picture('plan-project')
        self.judge('what is chosen of a plan')
        person.click('#freezer-choose button[type=submit]')
        person.sees('Restore: What Will Be Done')
        shown = person.find('#freezer-confirm').text
        self.assertIn('security_group/' + group, shown)
        self.assertIn('network/%s=%s' % (network, private), shown)
        # Until now nothing was done; and then what was chosen, no more.
        self.assertEqual(there.named('security_group'), [])
        person.click('#freezer-restore button')
        self.run_ends('success')
        (again,) = there.named('security_group')
        self.assertEqual(there.ports_of_rules(again), [(8080, 8081)])
        self.assertEqual(there.named('network'), [])

    def test_a_server_comes_back_on_another_network(self):
        there = cloud.Cloud(self.demo, self.word)
        self.addCleanup(there.forget)
        private = next(iter(there.named('network', 'private')))
        server = there.server(private)
        self.saved(mode='nova', nova_inst_id=server)
        other = there.network()
        person = self.person
        person.go('/project/backup_overview/')
        self.assertIn('Protected', person.row(self.word).text)
        person.go('/project/backup_backups/')
        person.act_on(self.word, 'Restore')
        again = self.word + ' again'
        person.write('name', again)
        person.choose('network', other)
        self.picture('restore-server')
        person.submit('backup_restore_form')
        self.tells_the_parts(again)
        self.judge('what becomes of a server')
        person.click('#freezer-plan button')
        self.run_ends('success')
        self.assertIn(again, person.find('#freezer-run').text)
        self.tells_the_parts(again)
        self.picture('plan-server')
        self.assertEqual(there.servers(), {self.word: server})
        person.click_text('Restore Now')
        person.sees('Restore: What Will Be Done')
        self.assertIn(other, person.find('#freezer-confirm').text)
        person.click('#freezer-restore button')
        self.run_ends('success')
        self.assertEqual(there.status(there.servers()[again]), 'ACTIVE')
        self.assertEqual(there.networks_of(there.servers()[again]), [other])
        # The old one is as it was, and the new one has no backup of its own yet.
        self.assertEqual(there.networks_of(server), [private])
        person.go('/project/backup_overview/')
        self.assertIn('No backup', person.row(again).text)

    def tells_the_parts(self, name):
        """Server, flavor, disk and interface, and the quota, each with what becomes of it."""
        person = self.person
        shown = person.find('#freezer-server-plan').text
        for words in (name, 'tiny: ', 'from the private image %s~disk' % self.word, 'Servers 1 ',
                      'VCPUs 1 '):
            self.assertIn(words, shown)
        interface = person.row('Interface').text
        self.assertIn('private, ', interface)
        self.assertIn(self.word + ' With any address there.', interface)

    def test_an_image_comes_back(self):
        images = service.Images(self.demo, self.word)
        self.addCleanup(images.forget)
        self.saved(mode='glance', glance_image_id=images.make(os.urandom(1 << 20)))
        person = self.person
        before = images.hashes()
        person.act_on(self.word, 'Restore')
        # Beside the old one, under its name.
        person.write('name', self.word)
        person.submit('backup_restore_form')
        person.click('#freezer-restore button')
        self.run_ends('success')
        self.assertEqual(images.hashes(), before * 2)
