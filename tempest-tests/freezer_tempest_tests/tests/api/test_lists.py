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

"""What all lists have in common: pages, order, search, and how they take bad questions."""

from tempest.lib import decorators

from freezer_tempest_tests.tests import base

# The runs of a project are made by agents; see the scenarios.
NOUNS = tuple(base.KEYS)


class ListsTest(base.BackupTest):

    @decorators.idempotent_id('a1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0001')
    def test_pages_follow_each_other(self):
        for noun in NOUNS:
            made = [self.make(noun) for _ in range(4)]
            listed = self.ids(noun, limit=1000)
            self.assertLessEqual(set(made), set(listed), noun)
            pages = [self.ids(noun, limit=3, offset=offset) for offset in range(0, len(listed), 3)]
            self.assertEqual(listed, sum(pages, []), noun)
            self.assertEqual([], self.ids(noun, offset=len(listed)), noun)

    @decorators.idempotent_id('a1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0002')
    def test_the_trailing_slash_is_served(self):
        for noun in NOUNS + ('runs',):
            status, _headers, document = self.client.call('GET', self.client.path(noun) + '/')
            self.assertEqual((200, [noun]), (status, list(document)))

    @decorators.idempotent_id('a1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0003')
    def test_search(self):
        for noun in NOUNS:
            made = [self.make(noun) for _ in range(2)]
            for search in (
                {'match': [{base.KEYS[noun]: made[0]}]},
                {'match': [{'_all': made[0]}]},
                {'match': [{'_all': '[{"%s": "%s"}]' % (base.KEYS[noun], made[0])}]},
            ):
                self.assertEqual([made[0]], self.ids(noun, search=search), (noun, search))
            others = self.ids(noun, search={'match_not': [{base.KEYS[noun]: made[0]}]}, limit=1000)
            self.assertNotIn(made[0], others)
            self.assertIn(made[1], others)

    @decorators.idempotent_id('a1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0004')
    def test_bad_questions(self):
        for noun in NOUNS + ('runs',):
            path = self.client.path(noun)
            for query in ('limit=x', 'limit=-1', 'offset=1.5', 'limit=99999999999999999999'):
                self.check_refused(
                    400, self.client.call('GET', path + '?' + query), query.split('=')[0]
                )
            for body in ('[1]', '"x"', '{"match": 1}', '{"match": [1]}', '{"match":'):
                self.check_refused(400, self.client.call('GET', path, body))

    @decorators.idempotent_id('a1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0005')
    def test_bodies_that_are_none(self):
        for noun in NOUNS:
            path = self.client.path(noun)
            for body in ('', '[]', 'null', '{"a":', '{}'):
                self.check_refused(400, self.client.call('POST', path, body))

    @decorators.idempotent_id('a1c4b6c7-6f06-4c63-8b5c-3a0a1d0e0006')
    def test_what_is_not_there(self):
        for noun in NOUNS:
            path = self.client.path(noun, 'nothing')
            self.assertEqual((404, ''), self.client.call('GET', path)[::2])
            self.client.remove(noun, 'nothing')
            if noun != 'clients':
                self.check_refused(
                    404,
                    self.client.call(
                        'PATCH', path, {} if noun != 'backups' else {'status': 'error'}
                    ),
                    'nothing not found',
                )
