"""What the journeys through the panels share: one Horizon, and for each a person with a browser."""

import atexit
import os
import shutil
import tempfile
import unittest
import uuid

from selenium.webdriver.common.by import By

from tests.browser.horizon import Horizon
from tests.browser.person import Person
from tests.browser.service import Service

PLUGIN = os.environ.get('FREEZER_DASHBOARD', os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))
# Where pictures for the documents go; without it none are made.
PICTURES = os.environ.get('FREEZER_PICTURES')
# A Horizon that has the plugin already; without it one is started.
URL = os.environ.get('FREEZER_HORIZON_URL')
# What things are called: where pictures are made, as an operator would; by words of the test's name, the first that is in it.
IS_PICTURED = bool(os.environ.get('FREEZER_NAMES'))
NAMES = (('wizard', 'nightly-web'), ('volume', 'shop-data'), ('server', 'web'), ('image', 'golden'),
         ('of_a_project', 'intranet'), ('pinned', 'accounts'), ('followed', 'media'), ('', 'mail'))
STATE = '#freezer-run-state'
ENDED = ('success', 'partial', 'fail', 'aborted')
# What a page is judged by: its own part, without what Horizon draws for every panel (menus of rows
# without a name, tabs of its wizard, buttons of numbers and selects).
MAIN = {'include': [['#content_body']], 'exclude': [
    ['.page-breadcrumb'], ['.dropdown-toggle'], ['.wizard-tabs'], ['.themable-spinner-btn'],
    ['.themable-select > button']]}
# Whose text must stand out from what is behind it: what the panels draw themselves (of long tables
# some rows), without links, buttons and fields, whose colours are the theme's.
OWN = ('[id^=freezer-]', '.detail', 'table.datatable tbody tr:nth-child(-n+20)')
THEMES = ('a', '.btn', 'button', 'input', 'select', 'textarea', '.page-breadcrumb', '.themable-select')
# The role of tables is that of the script that sorts them.
RULES = {'resultTypes': ['violations'], 'runOnly': ['wcag2a', 'wcag2aa'], 'rules': {
    'color-contrast': {'enabled': False}, 'aria-required-children': {'enabled': False}}}
CONTRAST = {'resultTypes': ['violations'], 'runOnly': {'type': 'rule', 'values': ['color-contrast']}}
# Violations that weigh of what is on the page, each with what it is about.
JUDGE = '''
var done = arguments[arguments.length - 1];
axe.run(arguments[0], arguments[1]).then(
  function (results) {
    var found = [];
    results.violations.forEach(function (violation) {
      if (['serious', 'critical'].indexOf(violation.impact) < 0) { return; }
      violation.nodes.forEach(function (node) {
        found.push(violation.id + ': ' + node.html.slice(0, 200) + ' ' + node.failureSummary);
      });
    });
    done(found);
  }, function (error) { done(['axe: ' + error]); });
'''
_started = []


def place():
    """Horizon's address and a folder; both are made at first use and end with the process."""
    if not _started:
        folder = tempfile.mkdtemp(prefix='freezer-dashboard-')
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _started.extend((URL or _start(os.path.join(folder, 'horizon.log')), folder))
    return _started


def _start(log):
    horizon = Horizon(PLUGIN, log)
    atexit.register(horizon.end)
    try:
        horizon.wait()
    except BaseException:
        with open(log, encoding='utf-8') as said:
            print(said.read()[-4000:])
        raise
    return horizon.url


class Journey(unittest.TestCase):
    """Each test has a name of its own for all it makes, and removes it."""

    def setUp(self):
        self.word = self.named()
        self.url, folder = place()
        self.folder = self.made_folder(folder)
        self.source = os.path.join(self.folder, 'data')
        self.store = os.path.join(self.folder, 'backups')
        os.makedirs(self.source)
        self.demo = Service('demo', 'demo')
        self.addCleanup(self.demo.forget, self.word)
        self.person = Person(self.url, tempfile.mkdtemp(dir=folder))
        self.addCleanup(self.person.leave)

    def named(self):
        """A name that nothing else has."""
        some = uuid.uuid4().hex
        if not IS_PICTURED:
            return 'e2e-' + some[:8]
        name = next(name for word, name in NAMES if word in self._testMethodName)
        return '%s-%s' % (name, some[:4])

    def made_folder(self, folder):
        if not IS_PICTURED:
            return tempfile.mkdtemp(prefix=self.word, dir=folder)
        made = os.path.join('/srv', self.word)
        os.mkdir(made, 0o700)
        self.addCleanup(shutil.rmtree, made, ignore_errors=True)
        return made

    def write_source(self, mib=24):
        with open(os.path.join(self.source, 'small'), 'w', encoding='utf-8') as file:
            file.write('what is to be saved: %s\n' % self.word)
        with open(os.path.join(self.source, 'large'), 'wb') as file:
            file.write(os.urandom(mib << 20))

    def made_job(self, **changes):
        """A job that the API has made, stopped."""
        action = dict({'action': 'backup', 'mode': 'fs', 'path_to_backup': self.source,
                       'storage': 'local', 'container': self.store, 'backup_name': self.word},
                      **changes)
        return self.demo.call('POST', '/jobs', {
            'description': self.word, 'client_id': self.demo.agent(),
            'job_actions': [{'freezer_action': action, 'max_retries': 0}],
            'job_schedule': {'event': 'stop'}})['job_id']

    def started(self, job_id):
        self.demo.call('POST', '/jobs/%s/event' % job_id, {'start': None})
        return job_id

    def central(self):
        return next(one['client']['client_id']
                    for one in self.demo.call('GET', '/clients?limit=1000')['clients']
                    if one['client']['is_central'])

    def picture(self, name, only=None):
        """For the documents; of a table `only` the rows with a text."""
        if PICTURES:
            if only:
                self.person.narrow(only)
            self.person.picture(os.path.join(PICTURES, name + '.png'))

    def bar_is_above(self, percent):
        """Waits at the page of a run until its bar says more than this; returns what it says."""
        return self.person.until(lambda: self._more_than(percent), 'a bar above %d' % percent, 120)

    def _more_than(self, percent):
        now = int(self.person.driver.find_element(
            By.CSS_SELECTOR, '#freezer-run [role=progressbar]').get_attribute('aria-valuenow') or 0)
        return now if now > percent else None

    def stays(self):
        """From now on it shows if the page was loaded again."""
        self.person.find(STATE)
        self.person.driver.execute_script('window.neverLoadedAgain = true')

    def run_ends(self, state):
        """Waits at the page of a run until it shows this end, by itself."""
        person = self.person
        self.stays()
        person.until(lambda: person.find(STATE).get_attribute('data-state') in ENDED,
                     'the end of the run', 900)
        self.assertEqual(person.find(STATE).get_attribute('data-state'), state, person.text())
        self.assertTrue(person.driver.execute_script('return window.neverLoadedAgain'))

    def judge(self, where):
        """Nothing of weight is wrong with what is shown now, by axe-core."""
        self.assertEqual([], self.found(MAIN, RULES), where)
        self.judge_contrast(where)

    def judge_contrast(self, where):
        """What the panels draw themselves can be told from what is behind it."""
        there = [[one] for one in OWN if self.person.driver.find_elements(By.CSS_SELECTOR, one)]
        if there:
            own = {'include': there, 'exclude': [[one] for one in THEMES]}
            self.assertEqual([], self.found(own, CONTRAST), where)

    def found(self, context, options):
        driver = self.person.driver
        if not driver.execute_script('return Boolean(window.axe)'):
            with open(os.environ['FREEZER_AXE'], encoding='utf-8') as script:
                driver.execute_script(script.read())
        driver.set_script_timeout(120)
        return driver.execute_async_script(JUDGE, context, options)
