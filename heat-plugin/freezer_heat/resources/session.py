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

"""OS::Freezer::Session"""

from heat.common.i18n import _
from heat.engine import attributes
from heat.engine import constraints
from heat.engine import properties

from freezer_heat import base
from freezer_heat import schedule
from freezer_heat import service as rest


class Session(base.FreezerResource):
    """Jobs that start together, on the session's schedule. Jobs name it by their `session`."""

    PROPERTIES = (NAME, SCHEDULE, HOLD_OFF) = ('name', 'schedule', 'hold_off')

    ATTRIBUTES = (STATUS, RESULT, ROUND, JOBS) = ('status', 'result', 'round', 'jobs')

    properties_schema = {
        NAME: properties.Schema(
            properties.Schema.STRING,
            _('Name of the session.'),
            constraints=[constraints.Length(max=base.NAME_MAX)],
            update_allowed=True,
        ),
        SCHEDULE: schedule.property_schema(_('When the jobs of the session start.')),
        HOLD_OFF: properties.Schema(
            properties.Schema.INTEGER,
            _('Seconds within which a late job still belongs to the round that has begun.'),
            constraints=[constraints.Range(min=0)],
            update_allowed=True,
        ),
    }

    attributes_schema = {
        STATUS: attributes.Schema(
            _('Whether a round is running.'),
            cache_mode=attributes.Schema.CACHE_NONE,
            type=attributes.Schema.STRING,
        ),
        RESULT: attributes.Schema(
            _('How the last round ended.'),
            cache_mode=attributes.Schema.CACHE_NONE,
            type=attributes.Schema.STRING,
        ),
        ROUND: attributes.Schema(
            _('Number of the last round.'),
            cache_mode=attributes.Schema.CACHE_NONE,
            type=attributes.Schema.INTEGER,
        ),
        JOBS: attributes.Schema(
            _('The jobs by their ids, each with its part in the last round.'),
            cache_mode=attributes.Schema.CACHE_NONE,
            type=attributes.Schema.MAP,
        ),
    }

    noun = 'sessions'

    def _document(self, changed):
        body = {}
        if self.NAME in changed:
            body['description'] = changed[self.NAME] or self.physical_resource_name()
        if self.SCHEDULE in changed:
            body['schedule'] = schedule.document(changed[self.SCHEDULE])
        if changed.get(self.HOLD_OFF) is not None:
            body['hold_off'] = changed[self.HOLD_OFF]
        return body

    def handle_create(self):
        body = self._document({key: self.properties[key] for key in self.PROPERTIES})
        # Under an id of the caller's choice the round must be said too.
        body['session_tag'] = 0
        self.client().post(self.noun, self.new_id(), body=body)

    def handle_update(self, json_snippet, tmpl_diff, prop_diff):
        self.changed(self._document(prop_diff))
        if self.SCHEDULE in prop_diff:
            self._hand_down()

    def _hand_down(self):
        """The jobs keep the schedule that the session had when they joined: they join again."""
        for job_id in self.client().get(self.noun, self.resource_id)['jobs']:
            try:
                self.client().put(self.noun, self.resource_id, 'jobs', job_id)
            except rest.NotThere:
                # The job was deleted meanwhile.
                continue

    def _resolve_attribute(self, name):
        if self.resource_id is None:
            return None
        document = self._show_resource()
        return document['session_tag'] if name == self.ROUND else document.get(name)

    def live(self, document):
        return {
            self.NAME: document.get('description'),
            self.SCHEDULE: schedule.live(document['schedule']),
            self.HOLD_OFF: document['hold_off'],
        }


def resource_mapping():
    return {'OS::Freezer::Session': Session}
