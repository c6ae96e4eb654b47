"""The service as the tests look at it beside the browser: to make sure, and to tidy up."""

import contextlib
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

import rados
import rbd

PATIENCE_SECONDS = 600
AUTH = os.environ.get('FREEZER_TEST_AUTH_URL', 'http://127.0.0.1:5000/v3')
REGION = 'RegionOne'


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
        # Other tests, beside these, have services of their own in regions of their own.
        return next(endpoint['url'].rstrip('/') for service in self.catalog
                    if service['type'] == kind for endpoint in service['endpoints']
                    if endpoint['interface'] == 'public' and endpoint['region'] == REGION)

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

    def forget_container(self, name):
        """Removes a container with its segments."""
        for container in (name, name + '_segments'):
            self._empty('%s/%s' % (self.endpoint('object-store'), urllib.parse.quote(container)))

    def _empty(self, url):
        try:
            objects = self.other('GET', url + '?format=json')
            for one in objects or []:
                self.other('DELETE', '%s/%s' % (url, urllib.parse.quote(one['name'])))
            self.other('DELETE', url)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise

    def forget(self, word):
        """Removes the jobs with this word in their names and the records they have made."""
        jobs = self.jobs(word)
        for backup in self.backups({job['job_id'] for job in jobs}):
            self.call('DELETE', '/backups/' + backup['backup_id'])
        for job in jobs:
            self.call('DELETE', '/jobs/' + job['job_id'])


class Volume:
    """A small volume of Cinder's, and the container its backups go to; both end with it."""

    def __init__(self, service, name, volume_id=None):
        self.service, self.name = service, name
        self.url = service.endpoint('volumev3') + '/volumes'
        self.id = volume_id or service.other('POST', self.url, {
            'volume': {'name': name, 'size': 1}})['volume']['id']
        self.wait(lambda volume: volume and volume['status'] == 'available')

    def named(self, name):
        """Volumes of this name."""
        found = self.service.other('GET', '%s?%s' % (
            self.url, urllib.parse.urlencode({'name': name})))['volumes']
        return [Volume(self.service, name, one['id']) for one in found]

    def write(self, content):
        """Writes pieces of content, by their offsets, where Cinder keeps them."""
        with self._image() as image:
            for offset, piece in content.items():
                image.write(piece, offset)

    def read(self, content):
        """What is where those pieces are."""
        with self._image() as image:
            return {offset: image.read(offset, len(piece)) for offset, piece in content.items()}

    @contextlib.contextmanager
    def _image(self):
        with rados.Rados(conffile='/etc/ceph/ceph.conf', conf={'admin_socket': ''}) as cluster:
            with cluster.open_ioctx('volumes') as pool:
                with rbd.Image(pool, 'volume-' + self.id) as image:
                    yield image

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
        self.service.forget_container(self.name)

    def _deleted(self, volume):
        if volume and volume['status'] != 'deleting':
            try:
                self.service.other('DELETE', '%s/%s' % (self.url, self.id))
            except urllib.error.HTTPError as error:
                # A run that was broken off still tidies up.
                if error.code != 400:
                    raise
        return volume is None


class Images:
    """The project's images of one name; they end with the test."""

    def __init__(self, service, name):
        self.service, self.name = service, name
        self.url = service.endpoint('image') + '/v2/images'

    def make(self, content):
        made = self.service.other('POST', self.url, {
            'name': self.name, 'disk_format': 'raw', 'container_format': 'bare'})['id']
        _call('PUT', '%s/%s/file' % (self.url, made), content,
              {'X-Auth-Token': self.service.token, 'Content-Type': 'application/octet-stream'})
        return made

    def hashes(self):
        """Hashes of the content of the images that are ready."""
        return [image['os_hash_value'] for image in self.found() if image['status'] == 'active']

    def found(self):
        return self.service.other('GET', '%s?%s' % (
            self.url, urllib.parse.urlencode({'name': self.name})))['images']

    def forget(self):
        for image in self.found():
            self.service.other('DELETE', '%s/%s' % (self.url, image['id']))


def _call(method, url, body, headers):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, dict({
        'Content-Type': 'application/json', 'Accept': 'application/json'}, **headers),
        method=method)
    with urllib.request.urlopen(request, timeout=300) as answer:
        text = answer.read()
        return json.loads(text) if text else None, answer.headers
