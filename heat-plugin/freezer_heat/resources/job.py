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

"""OS::Freezer::Job"""

from heat.common import exception
from heat.common.i18n import _
from heat.engine import constraints
from heat.engine import properties

from freezer_heat import job_resource
from freezer_heat import runs
from freezer_heat import schedule


class Job(job_resource.JobResource):
    """Actions that one agent does, one after the other, when the schedule says so.

    Without a schedule or session the job starts once, as soon as it is there.
    """

    PROPERTIES = (NAME, CLIENT, JOB_ACTIONS, SCHEDULE, SESSION) = (
        'name', 'client', 'actions', 'schedule', 'session',
    )

    ATTRIBUTES = (
        job_resource.STATUS,
        job_resource.RESULT,
        job_resource.NEXT_RUN_AT,
        job_resource.LAST_RUN,
    )

    properties_schema = {
        NAME: job_resource.name_schema(_('Name of the job.')),
        CLIENT: job_resource.client_schema(_('Id of the agent that works.'), required=True),
        JOB_ACTIONS: properties.Schema(
            properties.Schema.LIST,
            _('Ids of the actions, in their order.'),
            schema=properties.Schema(
                properties.Schema.STRING,
                constraints=[constraints.CustomConstraint('freezer.action')],
            ),
            required=True,
            constraints=[constraints.Length(min=1, description=_('must name an action'))],
            update_allowed=True,
        ),
        SCHEDULE: schedule.property_schema(_('When the job starts; see SESSION.')),
        SESSION: properties.Schema(
            properties.Schema.STRING,
            _('Id of the session with whose schedule the job starts.'),
            constraints=[constraints.CustomConstraint('freezer.session')],
            update_allowed=True,
        ),
    }

    attributes_schema = job_resource.attributes_schema(*ATTRIBUTES)

    def validate(self):
        super().validate()
        if self.properties.data.get(self.SCHEDULE) and self.properties.data.get(self.SESSION):
            raise exception.ResourcePropertyConflict(self.SCHEDULE, self.SESSION)

    def handle_create(self):
        session = self.properties[self.SESSION]
        body = {
            'job_id': self.new_id(),
            'client_id': self.properties[self.CLIENT],
            'description': self.name_wanted(),
            'job_actions': self._actions(self.properties[self.JOB_ACTIONS]),
            # From the start: a job without a plan would fire before it has joined the session.
            'job_schedule': self._plan(session, self.properties[self.SCHEDULE]),
        }
        self.client().post(self.noun, body=body)
        if session:
            self._join(session)

    def handle_update(self, json_snippet, tmpl_diff, prop_diff):
        after = json_snippet.properties(self.properties_schema, self.context)
        session = after[self.SESSION]
        body = {}
        if self.NAME in prop_diff:
            body['description'] = prop_diff[self.NAME] or self.physical_resource_name()
        if self.CLIENT in prop_diff:
            body['client_id'] = prop_diff[self.CLIENT]
        if self.JOB_ACTIONS in prop_diff:
            body['job_actions'] = self._actions(prop_diff[self.JOB_ACTIONS])
        has_left = self.SESSION in prop_diff and not session
        if self.SCHEDULE in prop_diff or has_left:
            body['job_schedule'] = self._plan(session, after[self.SCHEDULE])
        self.changed(body)
        if self.SESSION in prop_diff:
            self._move(session, body.get('job_schedule'))

    def _actions(self, ids):
        return [{'action_id': action_id} for action_id in ids]

    def _plan(self, session, own):
        if session:
            return self.client().get('sessions', session)['schedule']
        return schedule.document(own)

    def _join(self, session):
        self.client().put('sessions', session, 'jobs', self.resource_id)

    def _move(self, session, plan):
        if session:
            # Who joins another session leaves its old one.
            return self._join(session)
        left = self.client().get(self.noun, self.resource_id).get('session_id')
        if left:
            self.client().delete('sessions', left, 'jobs', self.resource_id)
            # Leaving stops the job.
            if plan:
                self.client().post(self.noun, self.resource_id, 'event', body={'start': None})

    def handle_delete(self):
        if self.resource_id is None:
            return None
        return runs.Removal(self.client(), self.resource_id)

    def check_delete_complete(self, removal):
        return removal is None or removal.step()

    def live(self, document):
        live = {
            self.NAME: document.get('description'),
            self.CLIENT: document['client_id'],
            self.JOB_ACTIONS: [action['action_id'] for action in document['job_actions']],
            self.SESSION: document.get('session_id') or None,
        }
        if not live[self.SESSION]:
            live[self.SCHEDULE] = schedule.live(document['job_schedule'])
        return live


def resource_mapping():
    return {'OS::Freezer::Job': Job}
