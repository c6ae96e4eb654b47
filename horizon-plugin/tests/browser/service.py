"""The service as the tests look at it beside the browser: to make sure, and to tidy up."""

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

PATIENCE_SECONDS = 120
AUTH = os.environ.get('FREEZER_TEST_AUTH_URL', 'http://127.0.0.1:5000/v3')


class Service:
    """The REST API with the token of a user."""

    def __init__(self, user, project, password='minicloud'):
        domain = {'id': 'default'}
        body = {'auth': {
            'identity': {'methods': ['password'], 'password': {
                'user': {'name': user, 'domain': domain, 'password': password}}},
            'scope': {'project': {'name': project, 'domain': domain}}}}
        answer, headers = _call('POST', AUTH + '/auth/tokens', body, {})
        self.token = headers['X-Subject-Token']
        self.project_id = answer['token']['project']['id']
        self.catalog = answer['token']['catalog']
        self.url = self.endpoint('backup')

    def endpoint(self, kind):
        return next(endpoint['url'].rstrip('/') for service in self.catalog
                    if service['type'] == kind for endpoint in service['endpoints']
                    if endpoint['interface'] == 'public')

    def call(self, method, path, body=None):
        return self.other(method, '%s/v2/%s%s' % (self.url, self.project_id, path), body)

    def other(self, method, url, body=None):
        """A call of any service."""
        return _call(method, url, body, {'X-Auth-Token': self.token})[0]

    def jobs(self, word):
        return [job for job in self.call('GET', '/jobs?limit=1000')['jobs']
                if word in (job.get('description') or '')]

    def backups(self, job_ids):
        return [backup for backup in self.call('GET', '/backups?limit=1000')['backups']
                if backup['backup_metadata'].get('job_id') in job_ids]

    def agent(self):
        """The agent of the project's own machine."""
        for one in self.call('GET', '/clients?limit=1000')['clients']:
            client = one['client']
            if not client['is_central'] and 'fs' in client['supported_modes']:
                return client['client_id']
        raise AssertionError('the project has no agent that saves files')

    def forget(self, word):
        """Removes the jobs with this word in their names and the records they have made."""
        jobs = self.jobs(word)
        for backup in self.backups({job['job_id'] for job in jobs}):
            self.call('DELETE', '/backups/' + backup['backup_id'])
        for job in jobs:
            self.call('DELETE', '/jobs/' + job['job_id'])


class Volume:
    """A small volume of Cinder's, and the container its backups go to; both end with it."""

    def __init__(self, service, name):
        self.service, self.name = service, name
        self.url = service.endpoint('volumev3') + '/volumes'
        self.id = service.other('POST', self.url, {
            'volume': {'name': name, 'size': 1}})['volume']['id']
        self.wait(lambda volume: volume and volume['status'] == 'available')

    def wait(self, condition):
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            try:
                volume = self.service.other('GET', '%s/%s' % (self.url, self.id))['volume']
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
                volume = None
            if condition(volume):
                return
            time.sleep(0.5)
        raise AssertionError('waited in vain for the volume: %s' % volume)

    def forget(self):
        self.wait(self._deleted)
        for container in (self.name, self.name + '_segments'):
            self._empty('%s/%s' % (self.service.endpoint('object-store'), container))

    def _deleted(self, volume):
        if volume and volume['status'] != 'deleting':
            try:
                self.service.other('DELETE', '%s/%s' % (self.url, self.id))
            except urllib.error.HTTPError as error:
                # A run that was broken off still tidies up.
                if error.code != 400:
                    raise
        return volume is None

    def _empty(self, url):
        try:
            objects = self.service.other('GET', url + '?format=json')
            for one in objects or []:
                self.service.other('DELETE', '%s/%s' % (
                    url, urllib.parse.quote(one['name'])))
            self.service.other('DELETE', url)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise


def _call(method, url, body, headers):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, dict(headers, **{
        'Content-Type': 'application/json', 'Accept': 'application/json'}), method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
        return json.loads(text) if text else None, answer.headers
