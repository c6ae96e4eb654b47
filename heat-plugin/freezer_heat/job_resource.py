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

"""What resources share that are a job of the backup service: Job and ProtectionPolicy."""

from heat.common.i18n import _
from heat.engine import attributes
from heat.engine import constraints
from heat.engine import properties

from freezer_heat import base
from freezer_heat import runs

(STATUS, RESULT, NEXT_RUN_AT, LAST_RUN) = ('status', 'result', 'next_run_at', 'last_run')


def name_schema(what):
    return properties.Schema(
        properties.Schema.STRING,
        what,
        constraints=[constraints.Length(max=base.NAME_MAX)],
        update_allowed=True,
    )


def client_schema(what, required=False):
    """Who works: an agent that the owner of the stack can see."""
    return properties.Schema(
        properties.Schema.STRING,
        what,
        required=required,
        constraints=[constraints.CustomConstraint('freezer.agent')],
        update_allowed=True,
    )


def attributes_schema(*names):
    """What a job tells of itself; it is asked anew each time."""
    known = {
        STATUS: (
            _('What the job is about to do: scheduled, running, completed, stop.'),
            attributes.Schema.STRING,
        ),
        RESULT: (
            _('How the last run ended: success, fail or aborted.'),
            attributes.Schema.STRING,
        ),
        NEXT_RUN_AT: (
            _('Time of the next run, in seconds since 1970.'),
            attributes.Schema.INTEGER,
        ),
        LAST_RUN: (
            _('The newest run: run_id, state, error, progress and others.'),
            attributes.Schema.MAP,
        ),
    }
    return {
        name: attributes.Schema(
            known[name][0], cache_mode=attributes.Schema.CACHE_NONE, type=known[name][1]
        )
        for name in names
    }


class JobResource(base.FreezerResource):

    noun = 'jobs'

    def _resolve_attribute(self, name):
        if self.resource_id is None:
            return None
        if name == LAST_RUN:
            return runs.newest(self.client(), self.resource_id)
        document = self._show_resource()
        if name == NEXT_RUN_AT:
            return document.get(name)
        return document['job_schedule'].get(name)
