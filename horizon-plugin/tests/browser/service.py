"""The service as the tests look at it beside the browser: to make sure, and to tidy up."""

import json
import os
import urllib.request

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
        self.url = next(endpoint['url'] for service in answer['token']['catalog']
                        if service['type'] == 'backup' for endpoint in service['endpoints']
                        if endpoint['interface'] == 'public')

    def call(self, method, path, body=None):
        url = '%s/v2/%s%s' % (self.url.rstrip('/'), self.project_id, path)
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


def _call(method, url, body, headers):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, dict(headers, **{
        'Content-Type': 'application/json', 'Accept': 'application/json'}), method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
        return json.loads(text) if text else None, answer.headers
