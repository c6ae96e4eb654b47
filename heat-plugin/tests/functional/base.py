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

"""What every functional test starts from."""

import unittest

from heatclient import exc as heat_exc

from tests.functional import world


class StackTest(unittest.TestCase):
    """Stacks in a real engine."""

    longMessage = True

    @classmethod
    def setUpClass(cls):
        cls.world = world.shared()

    def template(self, **resources):
        """A template of these resources; an output shows each of them."""
        return {
            'heat_template_version': '2021-04-16',
            'resources': resources,
            'outputs': {
                name: {'value': {'get_attr': [name, 'show']}} for name in resources
            },
        }

    def refused(self, template, text, user='member', **parameters):
        """The template is refused before anything is made, with a message that holds this."""
        with self.assertRaises(heat_exc.HTTPBadRequest) as caught:
            self.world.create(template, user, **parameters)
        self._is_clear(str(caught.exception), text)

    def fails(self, template, text, user='member', **parameters):
        """The stack fails with a reason that holds this; returns its id."""
        stack_id = self.world.create(template, user, **parameters)
        found = self.world.ended(stack_id, 'CREATE_FAILED', user)
        self._is_clear(found.stack_status_reason, text)
        return stack_id

    def _is_clear(self, message, text):
        self.assertIn(text, message)
        for word in ('Traceback', 'File "', 'KeyError', 'TypeError', 'NoneType'):
            self.assertNotIn(word, message)

    def document(self, noun, object_id, user='member'):
        """An object of the service; None if it is not there."""
        answer = self.world.api(user).get('/%s/%s' % (noun, object_id), raise_exc=False)
        return answer.json() if answer.status_code == 200 else None

    @staticmethod
    def outputs(stack):
        return {entry['output_key']: entry['output_value'] for entry in stack.outputs}
