"""A user with a project of their own, and what freezer-web-ui takes a logged-in browser for."""

import contextlib
import os
import uuid

from django.test import RequestFactory
from freezerclient import client as freezerclient
from keystoneauth1 import session
from keystoneauth1.identity import v3
from keystoneclient.v3 import client as keystone
from openstack_auth import user as logins

AUTH = os.environ.get('FREEZER_TEST_AUTH_URL', 'http://127.0.0.1:5000/v3')
PASSWORD = 'minicloud'


class Somebody:
    """A member of a new project, which is their default one: freezer-web-ui exchanges their token
    without a scope. `leave` removes both."""

    def __init__(self):
        admin = _session('admin', PASSWORD, 'admin')
        self.administrator = freezerclient.Client(session=admin,
                                                  project_id=admin.get_project_id())
        self.identity = keystone.Client(session=admin)
        self.left = contextlib.ExitStack()
        try:
            self._make('web-ui-' + uuid.uuid4().hex[:8])
        except BaseException:
            self.left.close()
            raise

    def _make(self, name):
        word = uuid.uuid4().hex
        project = self.identity.projects.create(name, 'default')
        self.left.callback(project.delete)
        self.project_id = project.id
        user = self.identity.users.create(name, domain='default', password=word,
                                          default_project=project)
        self.left.callback(user.delete)
        member = self.identity.roles.find(name='member')
        self.identity.roles.grant(member, user=user, project=project)
        self.session = _session(name, word, name)
        # What the CLI and an agent of the project would use.
        self.client = freezerclient.Client(session=self.session, project_id=project.id)

    def browse(self):
        """A request as Horizon hands it to its panels."""
        access = self.session.auth.get_access(self.session)
        request = RequestFactory().get('/', HTTP_X_REQUESTED_WITH='XMLHttpRequest')
        request.session = {}
        request.user = logins.create_user_from_token(request, logins.Token(access), AUTH)
        return request

    def leave(self):
        self.left.close()


def _session(user, password, project):
    domain = {'user_domain_id': 'default', 'project_domain_id': 'default'}
    return session.Session(v3.Password(AUTH, username=user, password=password,
                                       project_name=project, **domain))
