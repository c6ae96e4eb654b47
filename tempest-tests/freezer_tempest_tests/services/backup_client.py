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

"""The client of the backup service.

Every noun of the API has the same verbs, so the verbs take the noun. Success is judged by the exact
status of the contract.
"""

import json
from urllib import parse

from tempest.lib.common import rest_client


class BackupClient(rest_client.RestClient):
    """Calls for the project of the login, unless another project is named."""

    def path(self, *parts, project=None):
        """The path below a project; its parts may be any text."""
        parts = [project or self.tenant_id] + list(parts)
        return '/v2/' + '/'.join(parse.quote(part, safe='') for part in parts)

    def list(self, noun, search=None, **params):
        """Elements of a list."""
        return self._get(self.path(noun), search, params)[noun]

    def show(self, noun, item_id):
        return self._get(self.path(noun, item_id))

    def create(self, noun, document):
        """Creates an item under an id of the service, or of the document; returns the answer."""
        return self._write('post', self.path(noun), document, 201)

    def replace(self, noun, item_id, document):
        """Creates or replaces an item."""
        return self._write('post', self.path(noun, item_id), document, 201)

    def update(self, noun, item_id, document):
        return self._write('patch', self.path(noun, item_id), document, 200)

    def remove(self, noun, item_id):
        """Deletes an item, also one that is not there."""
        return self._empty('delete', self.path(noun, item_id))

    def send_event(self, job_id, event):
        return self._write('post', self.path('jobs', job_id, 'event'), {event: None}, 202)['result']

    def list_runs_of_job(self, job_id, **params):
        """Runs of a job, the newest first."""
        return self._get(self.path('jobs', job_id, 'runs'), None, params)['runs']

    def act(self, session_id, action, **values):
        """A member of a session says that it starts or has ended."""
        path = self.path('sessions', session_id, 'action')
        return self._write('post', path, {action: values}, 202)

    def add_job(self, session_id, job_id):
        return self._empty('put', self.path('sessions', session_id, 'jobs', job_id), '')

    def remove_job(self, session_id, job_id):
        return self._empty('delete', self.path('sessions', session_id, 'jobs', job_id))

    def call(self, method, path, body=None, headers=None, is_anonymous=False):
        """Any call, unjudged: status, headers, and the document or text of the answer."""
        sent = dict(headers or {}, Accept=(headers or {}).get('Accept', 'application/json'))
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        if is_anonymous:
            url = self.base_url + path
        else:
            url, sent, text = self.auth_provider.auth_request(
                method, path, headers=sent, body=text, filters=self.filters
            )
        answer, content = self.raw_request(url, method, headers=sent, body=text)
        content = content.decode() if isinstance(content, bytes) else content
        try:
            content = json.loads(content)
        except ValueError:
            pass
        return answer.status, answer, content

    def _get(self, path, search=None, params=None):
        if params:
            path += '?' + parse.urlencode(params)
        body = None if search is None else json.dumps(search)
        answer, content = self.request('GET', path, body=body)
        self.expected_success(200, answer.status)
        return json.loads(content)

    def _write(self, verb, path, document, expected):
        answer, content = getattr(self, verb)(path, json.dumps(document))
        self.expected_success(expected, answer.status)
        return json.loads(content)

    def _empty(self, verb, path, *body):
        answer, content = getattr(self, verb)(path, *body)
        self.expected_success(204, answer.status)
        return content
