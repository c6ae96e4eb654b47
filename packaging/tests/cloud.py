"""What a service needs of the cloud that devstack/minicloud has started, for one test."""

import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import uuid


class Cloud:
    """A database and a virtual host of the message bus; a context that removes them."""

    def __init__(self):
        self.name = 'freezer_test_packages_' + uuid.uuid4().hex[:8]
        self.keystone = os.environ['FREEZER_TEST_KEYSTONE']
        self.password = os.environ['FREEZER_TEST_PASSWORD']
        self.mysql = urllib.parse.urlsplit(os.environ['FREEZER_TEST_MYSQL'])
        self.rabbit = urllib.parse.urlsplit(os.environ['FREEZER_TEST_RABBIT'])
        self.rabbitmqctl = os.environ['FREEZER_TEST_RABBITMQCTL']

    def __enter__(self):
        self.sql('CREATE DATABASE ' + self.name)
        self.control('add_vhost', self.name)
        self.control('set_permissions', '-p', self.name, self.rabbit.username, '.*', '.*', '.*')
        return self

    def __exit__(self, *_):
        self.sql('DROP DATABASE IF EXISTS ' + self.name)
        self.control('delete_vhost', self.name)

    def control(self, *words):
        """Says it to RabbitMQ."""
        subprocess.run([self.rabbitmqctl, *words], check=True, stdout=subprocess.DEVNULL)

    def sql(self, statement):
        """Says it to MariaDB."""
        subprocess.run(['mariadb', '--no-defaults', '-h', self.mysql.hostname,
                        '-P', str(self.mysql.port), '-u', self.mysql.username, '-e', statement],
                       env={**os.environ, 'MYSQL_PWD': self.mysql.password}, check=True)

    @property
    def database_url(self):
        return os.environ['FREEZER_TEST_MYSQL'].rstrip('/') + '/' + self.name

    @property
    def bus_url(self):
        return os.environ['FREEZER_TEST_RABBIT'].rstrip('/') + '/' + self.name

    def token(self, user, project):
        """A token and the project's id."""
        domain = {'id': 'default'}
        login = {'auth': {
            'identity': {'methods': ['password'], 'password': {'user': {
                'name': user, 'domain': domain, 'password': self.password}}},
            'scope': {'project': {'name': project, 'domain': domain}}}}
        request = urllib.request.Request(
            self.keystone + '/auth/tokens', json.dumps(login).encode(),
            {'Content-Type': 'application/json'})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.headers['X-Subject-Token'], json.load(answer)['token']['project']['id']


class Service:
    """The REST API, as one user."""

    def __init__(self, url, token):
        self.url = url
        self.token = token

    def call(self, method, path, body=None):
        """The answer's document; an error of the service is an exception with its text."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method, headers={
            'X-Auth-Token': self.token, 'Content-Type': 'application/json'})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            raise RuntimeError('%s %s: %d %s' % (method, path, error.code, text)) from error
        return json.loads(text) if text else None

    def answers(self):
        """Whether /healthcheck says so."""
        try:
            with urllib.request.urlopen(self.url + '/healthcheck', timeout=10) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False
