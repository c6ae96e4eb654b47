"""Somebody at a browser: looks for what people see, waits until it is there, clicks on it."""

import base64
import os

from selenium import webdriver
from selenium.common import exceptions
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_SECONDS = int(os.environ.get('FREEZER_PATIENCE', '300'))
# Of a page that is longer than the window a picture shows as much.
PICTURE_PIXELS = 1500
AWAY = (exceptions.NoSuchElementException, exceptions.StaleElementReferenceException,
        exceptions.ElementNotInteractableException, exceptions.ElementClickInterceptedException)


class Person:
    def __init__(self, url, folder):
        self.url = url
        options = Options()
        options.binary_location = '/usr/bin/chromium'
        for flag in ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage',
                     '--disable-gpu', '--window-size=1280,900', '--lang=en-US',
                     '--user-data-dir=' + os.path.join(folder, 'chromium')):
            options.add_argument(flag)
        self.driver = webdriver.Chrome(service=Service('/usr/bin/chromedriver'), options=options)

    def leave(self):
        self.driver.quit()

    # ---- going and looking ------------------------------------------------

    def go(self, path):
        self.driver.get(self.url + path)

    def log_in(self, user, password='minicloud'):
        # Who was here before goes without being asked: newer Horizons let nobody out by a mere visit of a page.
        # Nothing of his page may answer after that: it would bring his session back.
        self.driver.get('about:blank')
        self.driver.execute_cdp_cmd('Network.clearBrowserCookies', {})
        self.go('/auth/login/')
        self.write('username', user)
        self.write('password', password)
        domains = self.driver.find_elements(By.NAME, 'domain')
        if domains and domains[0].is_displayed():
            domains[0].send_keys('Default')
        self.click('#loginBtn')
        self.until(lambda: '/auth/login' not in self.driver.current_url, 'being logged in')

    def until(self, condition, what, patience=PATIENCE_SECONDS):
        """Waits for a condition, however often the page changes meanwhile."""
        def holds(_driver):
            try:
                return condition()
            except AWAY:
                return False
        try:
            return WebDriverWait(self.driver, patience, 0.2).until(holds)
        except exceptions.TimeoutException:
            raise AssertionError('waited in vain for %s on %s, which says:\n%s' % (
                what, self.driver.current_url, self.text()[:3000])) from None

    def text(self):
        return self.driver.find_element(By.TAG_NAME, 'body').text

    def sees(self, text):
        return self.until(lambda: text in self.text(), repr(text))

    def told(self, text):
        """As `sees`, for Horizon's messages of success, which fade after three seconds."""
        script = ("return [].map.call(document.querySelectorAll('#main_content .messages'),"
                  " function (one) { return one.textContent; }).join(' ')")
        return self.until(lambda: text in ' '.join(self.driver.execute_script(script).split()),
                          'being told %r' % text)

    def find(self, selector):
        return self.until(lambda: self.driver.find_element(By.CSS_SELECTOR, selector), selector)

    def row(self, text):
        """The row of a table that has this text."""
        def there():
            for row in self.driver.find_elements(By.CSS_SELECTOR, 'table tbody tr'):
                if text in row.text:
                    return row
            return None
        return self.until(there, 'a row with %r' % text)

    def has_row(self, text):
        return any(text in row.text for row in
                   self.driver.find_elements(By.CSS_SELECTOR, 'table tbody tr'))

    def is_replaced(self, element):
        """Whether this one is not part of the page any more."""
        try:
            element.is_displayed()
        except exceptions.StaleElementReferenceException:
            return True
        return False

    # ---- doing ------------------------------------------------------------

    def click(self, selector):
        self.until(lambda: self.driver.find_element(By.CSS_SELECTOR, selector).click() or True,
                   'clicking on ' + selector)

    def submit(self, form):
        self.click('form#%s input[type=submit]' % form)

    def click_text(self, text, inside='body'):
        """Clicks on the link or button that says so."""
        def clicked():
            place = self.driver.find_element(By.CSS_SELECTOR, inside)
            for one in place.find_elements(By.CSS_SELECTOR, 'a, button, input[type=submit]'):
                said = one.text.strip() or one.get_attribute('value') or ''
                if said.strip() == text and one.is_displayed():
                    one.click()
                    return True
            return False
        self.until(clicked, 'clicking on %r' % text)

    def click_summary(self, text):
        """Opens what is behind these words."""
        self.until(lambda: self.driver.find_element(
            By.XPATH, '//summary[normalize-space()="%s"]' % text).click() or True,
            'opening %r' % text)

    def act_on(self, row_text, action):
        """Chooses an action of a row, behind its menu if need be."""
        def chosen():
            row = self.row(row_text)
            for toggle in row.find_elements(By.CSS_SELECTOR, '.dropdown-toggle'):
                if not row.find_elements(By.CSS_SELECTOR, '.btn-group.open'):
                    toggle.click()
            for one in row.find_elements(By.CSS_SELECTOR, '.actions_column a, '
                                                          '.actions_column button'):
                if one.text.strip() == action and one.is_displayed():
                    one.click()
                    return True
            return False
        self.until(chosen, 'action %r of %r' % (action, row_text))

    def confirm(self):
        """Says yes to Horizon's question."""
        self.sees('Please confirm your selection.')
        self.click('.modal-dialog .modal-footer .btn-danger, '
                   '.modal-dialog .modal-footer .btn-primary')

    def write(self, name, text):
        def written():
            field = self.driver.find_element(By.NAME, name)
            field.clear()
            field.send_keys(text)
            return True
        self.until(written, 'the field ' + name)

    def choose(self, name, value):
        def chosen():
            field = self.driver.find_element(By.NAME, name)
            if not field.is_displayed():
                return False
            Select(field).select_by_value(value)
            return True
        self.until(chosen, 'choosing %s in %s' % (value, name))

    def tick(self, name, wanted):
        """Sets a check box; Horizon's are drawn by their labels."""
        def ticked():
            box = self.driver.find_element(By.NAME, name)
            if box.is_selected() != wanted:
                self.driver.execute_script('arguments[0].click()', box)
            return box.is_selected() == wanted
        self.until(ticked, 'ticking ' + name)

    def narrow(self, text):
        """Types into the field above the table, which then shows only the rows that have this."""
        def typed():
            field = self.driver.find_element(By.CSS_SELECTOR, '.table_search input')
            field.clear()
            field.send_keys(text)
            return True
        self.until(typed, 'the field above the table')
        self.until(lambda: self.shows_only(text), 'only rows with %r' % text)

    def shows_only(self, text):
        """Whether the page's table shows rows, and none without this text."""
        return self.driver.execute_script("""
            var wanted = arguments[0];
            var shown = [].filter.call(document.querySelectorAll('table.datatable tbody tr'),
                                       function (row) { return row.offsetParent !== null; });
            return shown.length > 0 && shown.every(function (row) {
              return row.textContent.indexOf(wanted) >= 0;
            });""", text)

    def picture(self, path):
        """What is in the window, and of a page without a dialog before it also what is below."""
        if self.driver.find_elements(By.CSS_SELECTOR, '.modal-backdrop'):
            self.driver.save_screenshot(path)
            return
        page = self.driver.execute_cdp_cmd('Page.getLayoutMetrics', {})['cssContentSize']
        taken = self.driver.execute_cdp_cmd('Page.captureScreenshot', {
            'format': 'png', 'captureBeyondViewport': True,
            'clip': {'x': 0, 'y': 0, 'width': page['width'],
                     'height': min(page['height'], PICTURE_PIXELS), 'scale': 1}})
        with open(path, 'wb') as file:
            file.write(base64.b64decode(taken['data']))
