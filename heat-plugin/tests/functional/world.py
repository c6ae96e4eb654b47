#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""What the functional tests share: two projects with users, and a Heat with the plugin.

Everything is real: Keystone, Heat, Nova, Cinder, the service and its central agent. It is made at
first use and removed when the process ends.
"""

import atexit
import contextlib
import logging
import os
import shutil
import tempfile
import time
import uuid

from heatclient import client as heat_client
from heatclient import exc as heat_exc
from keystoneauth1 import adapter
from keystoneauth1 import identity
from keystoneauth1 import session
import openstack
import yaml

from tests.functional import engine

# How long anything may take before a test gives up.
PATIENCE = 600
EXAMPLES = os.path.join(os.path.dirname(__file__), '../../examples')
_shared = None
# It says of each request to Swift that there is nothing to discover.
logging.getLogger('keystoneauth').setLevel(logging.ERROR)


def shared():
    """The one world of this process."""
    global _shared
    if _shared is None:
        _shared = World()
        atexit.register(_shared.end)
        try:
            _shared.make()
        except Exception as failure:
            _shared.failure = failure
    if _shared.failure:
        raise AssertionError('there is no Heat to test with') from _shared.failure
    return _shared


class World:
    def __init__(self):
        self.tag = 'heat-' + uuid.uuid4().hex[:8]
        self.folder = tempfile.mkdtemp(prefix='freezer-heat-')
        self.admin = openstack.connect()
        self._projects, self._users, self._apis, self._heats = {}, {}, {}, {}
        self._stacks = []
        self.failure = None
        self.engine = engine.Engine(self.tag, self.folder)

    def make(self):
        for name in ('own', 'other'):
            self._projects[name] = self.admin.identity.create_project(
                name='%s-%s' % (self.tag, name)
            )
        self._user('member', 'own')
        self._user('stranger', 'other')
        self.engine.start()

    def _user(self, name, project):
        secret = uuid.uuid4().hex
        user = self.admin.identity.create_user(name='%s-%s' % (self.tag, name), password=secret)
        self._users[name] = (user, secret, self._projects[project])
        role = self.admin.identity.find_role('member', ignore_missing=False).id
        self.admin.identity.assign_project_role_to_user(
            project=self._projects[project], user=user, role=role
        )

    def project_id(self, name='member'):
        return self._users[name][2].id

    def _login(self, name):
        user, secret, project = self._users[name]
        return {
            'auth_url': os.environ['OS_AUTH_URL'],
            'username': user.name,
            'password': secret,
            'user_domain_id': user.domain_id,
            'project_id': project.id,
        }

    def cloud(self, name='member'):
        """The cloud through openstacksdk, as a user."""
        return openstack.connect(
            region_name=os.environ.get('OS_REGION_NAME', 'RegionOne'),
            load_envvars=False,
            load_yaml_config=False,
            **self._login(name)
        )

    def heat(self, name='member'):
        """Heat's own client, as a user, at our engine."""
        if name not in self._heats:
            self._heats[name] = heat_client.Client(
                '1',
                session=session.Session(auth=identity.Password(**self._login(name))),
                endpoint_override='http://127.0.0.1:%d/v1/%s'
                % (self.engine.port, self.project_id(name)),
            )
        return self._heats[name]

    def api(self, name='member'):
        """The backup service, as a user."""
        if name not in self._apis:
            self._apis[name] = _api(self.cloud(name), self.project_id(name))
        return self._apis[name]

    def create(self, template, user='member', **parameters):
        """Starts a stack; returns its id."""
        made = self.heat(user).stacks.create(
            stack_name='%s-%s' % (self.tag, uuid.uuid4().hex[:6]),
            template=_text(template),
            parameters=parameters,
        )
        stack_id = made['stack']['id']
        self._stacks.append((user, stack_id))
        return stack_id

    def created(self, template, user='member', **parameters):
        """A stack that is complete; returns it."""
        stack_id = self.create(template, user, **parameters)
        return self.ended(stack_id, 'CREATE_COMPLETE', user)

    def updated(self, stack_id, template, user='member', status='UPDATE_COMPLETE', **parameters):
        self.heat(user).stacks.update(stack_id, template=_text(template), parameters=parameters)
        return self.ended(stack_id, status, user)

    def ended(self, stack_id, status, user='member'):
        """Waits for the end of what goes on, which must be this; returns the stack."""
        action = status.partition('_')[0]

        def look():
            found = self.heat(user).stacks.get(stack_id)
            now = found.stack_status
            return found if now.startswith(action) and not now.endswith('IN_PROGRESS') else None

        found = self.until('stack is ' + status, look)
        if found.stack_status != status:
            raise AssertionError('%s: %s' % (found.stack_status, found.stack_status_reason))
        return found

    def deleted(self, stack_id, user='member'):
        """Deletes a stack and waits until it is gone."""
        self.heat(user).stacks.delete(stack_id)

        def look():
            try:
                found = self.heat(user).stacks.get(stack_id)
            except heat_exc.HTTPNotFound:
                return 'DELETE_COMPLETE', ''
            now = found.stack_status
            return now in ('DELETE_COMPLETE', 'DELETE_FAILED') and (now, found.stack_status_reason)

        status, reason = self.until('the stack is gone', look)
        if status != 'DELETE_COMPLETE':
            raise AssertionError('%s: %s' % (status, reason))

    # ---- things of the cloud that stacks work on ---------------------------------------------

    def image(self, content):
        """A raw image of these bytes; returns its id."""
        made = self.cloud().image.create_image(
            name=self.tag, disk_format='raw', container_format='bare', data=content
        )
        return made.id

    def volume(self, name):
        """An empty volume; returns its id."""
        made = self.cloud().block_storage.create_volume(name=name, size=1)
        self.until('the volume is there', lambda: self._volume_status(made.id) == 'available')
        return made.id

    def mark_volume(self, volume_id, pairs):
        """Gives a volume this metadata in place of what it had."""
        answer = self.cloud().block_storage.put(
            '/volumes/%s/metadata' % volume_id, json={'metadata': pairs}
        )
        answer.raise_for_status()

    def _volume_status(self, volume_id):
        return self.cloud().block_storage.get_volume(volume_id).status

    def hash_of(self, volume_id):
        """Of the whole content of a volume, as Glance computes it of an image."""
        cloud = self.cloud()
        wanted = {'image_name': self.tag, 'disk_format': 'raw', 'container_format': 'bare'}
        made = cloud.block_storage.post(
            '/volumes/%s/action' % volume_id, json={'os-volume_upload_image': wanted}
        )
        image_id = made.json()['os-volume_upload_image']['image_id']
        self.until(
            'the image is active', lambda: cloud.image.get_image(image_id).status == 'active'
        )
        self.until('the volume is free', lambda: self._volume_status(volume_id) == 'available')
        return cloud.image.get_image(image_id).hash_value

    def server(self, name):
        """A server that runs; returns its id."""
        compute = self.cloud().compute
        made = compute.create_server(
            name=name,
            image_id=self.cloud().image.find_image('tiny', ignore_missing=False).id,
            flavor_id=compute.find_flavor('tiny', ignore_missing=False).id,
            networks='none',
        )
        self.until('the server runs', lambda: compute.get_server(made.id).status == 'ACTIVE')
        return made.id

    def unmark(self, server_id):
        """Takes all tags and metadata off a server."""
        compute = self.cloud().compute
        server = compute.get_server(server_id)
        compute.put('/servers/%s/tags' % server_id, json={'tags': []}, microversion='2.26')
        compute.delete_server_metadata(server, list(server.metadata))

    def physical(self, stack_id, name, user='member'):
        """The id of what a resource is outside of Heat."""
        return self.heat(user).resources.get(stack_id, name).physical_resource_id

    def until(self, what, look):
        """Waits until look gives something true, and returns it."""
        end = time.monotonic() + PATIENCE
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError('waited in vain until %s\n%s' % (what, self._tail()))
            time.sleep(0.3)

    def _tail(self):
        return self.engine.log()[-3000:]

    def end(self):
        """Removes all of it, whatever fails on the way."""
        with contextlib.ExitStack() as steps:
            # The last one is done first.
            steps.callback(shutil.rmtree, self.folder, ignore_errors=True)
            for project in self._projects.values():
                steps.callback(self.admin.identity.delete_project, project)
            for user, _secret, _project in self._users.values():
                steps.callback(self.admin.identity.delete_user, user)
            for project in self._projects.values():
                steps.callback(self._clear, project.id)
            if 'member' in self._users:
                steps.callback(self._remove_resources, self.cloud())
            steps.callback(self.engine.end)
            for user, stack_id in self._stacks:
                steps.callback(self._delete_if_there, stack_id, user)

    def _delete_if_there(self, stack_id, user):
        try:
            self.deleted(stack_id, user)
        except heat_exc.HTTPNotFound:
            pass

    def _remove_resources(self, cloud):
        """What the tests made in the cloud beside stacks, and the data of backups."""
        for server in cloud.compute.servers():
            cloud.compute.delete_server(server)
        self.until('the servers are gone', lambda: not list(cloud.compute.servers()))
        for image in cloud.image.images(owner=self.project_id()):
            cloud.image.delete_image(image)
        for volume in cloud.block_storage.volumes():
            cloud.block_storage.delete_volume(volume)
        self.until('the volumes are gone', lambda: not list(cloud.block_storage.volumes()))
        for container in cloud.object_store.containers():
            for item in cloud.object_store.objects(container):
                cloud.object_store.delete_object(item, container=container)
            cloud.object_store.delete_container(container)

    def _clear(self, project_id):
        """What the service keeps of a project is removed by the administrator."""
        api = _api(self.admin, project_id)
        nouns = ('job', 'action', 'session', 'backup')
        for noun in nouns:
            for row in api.get('/%ss?limit=1000' % noun).json()[noun + 's']:
                if row['project_id'] == project_id:
                    api.delete('/%ss/%s' % (noun, row[noun + '_id']))
        for row in api.get('/clients?limit=1000').json()['clients']:
            if row['project_id'] == project_id:
                api.delete('/clients/%s' % row['client']['client_id'])


def example(name):
    """A template of the examples."""
    with open(os.path.join(EXAMPLES, name)) as source:
        return yaml.safe_load(source)


def _text(template):
    return template if isinstance(template, str) else yaml.safe_dump(template)


def _api(cloud, project_id):
    """The service below a project's path."""
    base = cloud.session.get_endpoint(service_type='backup', interface='public')
    return adapter.Adapter(
        session=cloud.session, endpoint_override='%s/v2/%s' % (base.rstrip('/'), project_id)
    )
