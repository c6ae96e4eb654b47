"""What the tests of panels share: Horizon with the service's answers given."""

import copy
from unittest import mock

from django.urls import reverse
from openstack_dashboard.test import helpers

from freezer_dashboard import api
from freezer_dashboard import projects
from tests.unit import answers

AWAY = api.ServiceError('the service says why', 422)
SERVICE = {'type': 'backup', 'name': 'freezer', 'endpoints_links': [], 'endpoints': [
    {'interface': 'public', 'region': 'RegionOne', 'url': 'http://127.0.0.1:9', 'id': 'e'}]}


class PanelTest(helpers.TestCase):
    """Everything of the service is given; a test changes what it is about."""

    def setUp(self):
        super().setUp()
        self.catalog = list(self.service_catalog) + [SERVICE]
        self.setActiveUser(
            id=self.user.id, token=self.token, username=self.user.name,
            tenant_id=self.tenant.id, authorized_tenants=self.tenants.list(),
            service_catalog=self.catalog)
        self.given = {
            'job_list': [answers.job()], 'job_get': answers.job(), 'job_create': 'job2',
            'job_update': {}, 'job_delete': None, 'job_event': {},
            'run_list': [answers.run()], 'run_get': answers.run(),
            'backup_list': [answers.backup()], 'backup_get': answers.backup(),
            'backup_delete': None, 'retention_plan': answers.RETENTION,
            'client_list': answers.CLIENTS, 'client_delete': None,
            'session_list': [answers.session()], 'session_get': answers.session(),
            'session_create': 's', 'session_update': {}, 'usage_show': answers.USAGE,
        }
        self.api = {}
        for name, value in self.given.items():
            patcher = mock.patch.object(api, name, return_value=copy.deepcopy(value))
            self.api[name] = patcher.start()
            self.addCleanup(patcher.stop)
        for name, found in (('servers', [('s1', 'web')]), ('volumes', [('v1', 'data')]),
                            ('images', [('i1', 'tiny')])):
            patcher = mock.patch('freezer_dashboard.names.' + name, return_value=(found, True))
            patcher.start()
            self.addCleanup(patcher.stop)

    def url(self, panel, view='index', *args):
        return reverse('horizon:project:backup_%s:%s' % (panel, view), args=args)

    def shown(self, *where, **data):
        response = self.client.get(self.url(*where), data)
        self.assertEqual(response.status_code, 200)
        return response.content.decode()

    def said(self, response):
        """The messages that the user sees next."""
        return ' '.join(str(message) for message in response.wsgi_request._messages)

    def sent(self, name):
        return self.api[name].call_args[0][1:]


class AdministratorTest(PanelTest):
    """The same for an administrator's panels; Keystone knows one project."""

    def setUp(self):
        super().setUp()
        self.setActiveUser(
            id=self.user.id, token=self.token, username=self.user.name,
            tenant_id=self.tenant.id, roles=[{'id': 'a', 'name': 'admin'}],
            service_catalog=self.catalog)
        for name, value in (('quota_show', {'set': {}}), ('quota_set', {}), ('quota_reset', None)):
            patcher = mock.patch.object(api, name, return_value=value)
            self.api[name] = patcher.start()
            self.addCleanup(patcher.stop)
        for name, value in (('listed', [(answers.PROJECT, 'demo')]), ('name', 'demo')):
            patcher = mock.patch.object(projects, name, return_value=value)
            setattr(self, name, patcher.start())
            self.addCleanup(patcher.stop)

    def at(self, panel, view='index', *args):
        return reverse('horizon:admin:%s:%s' % (panel, view), args=args)

    def becomes_a_member(self):
        self.setActiveUser(
            id=self.user.id, token=self.token, username=self.user.name, tenant_id=self.tenant.id,
            service_catalog=self.catalog)
