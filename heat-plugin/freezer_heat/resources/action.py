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

"""OS::Freezer::Action"""

from heat.common.i18n import _
from heat.engine import constraints
from heat.engine import properties

from freezer_heat import base


class Action(base.FreezerResource):
    """What to save, restore, rotate or run, and where backups are kept.

    Any number of jobs may use the same action. A change of it is a change for all of them.
    """

    PROPERTIES = (
        ACTION, MODE, STORAGE, CONTAINER, BACKUP_NAME, PATH_TO_BACKUP, OPTIONS,
        MAX_RETRIES, MAX_RETRIES_INTERVAL, MANDATORY,
    ) = (
        'action', 'mode', 'storage', 'container', 'backup_name', 'path_to_backup', 'options',
        'max_retries', 'max_retries_interval', 'mandatory',
    )
    # Those that become options of the agent as they are.
    _PLAIN = (ACTION, MODE, STORAGE, CONTAINER, BACKUP_NAME, PATH_TO_BACKUP)

    properties_schema = {
        ACTION: properties.Schema(
            properties.Schema.STRING,
            _('What to do.'),
            default='backup',
            constraints=[
                constraints.AllowedValues(
                    [
                        'backup',
                        'restore',
                        'info',
                        'admin',
                        'exec',
                        'verify',
                        'hold',
                        'release',
                        'adopt',
                    ]
                )
            ],
            update_allowed=True,
        ),
        MODE: properties.Schema(
            properties.Schema.STRING,
            _('Kind of source: fs, cinder, nova, glance, project and others.'),
            update_allowed=True,
        ),
        STORAGE: properties.Schema(
            properties.Schema.STRING,
            _('Kind of storage: swift, local, ssh and others.'),
            update_allowed=True,
        ),
        CONTAINER: properties.Schema(
            properties.Schema.STRING,
            _('Container of Swift, or folder.'),
            constraints=[constraints.Length(max=255)],
            update_allowed=True,
        ),
        BACKUP_NAME: properties.Schema(
            properties.Schema.STRING,
            _('Name of the backup.'),
            constraints=[constraints.Length(max=255)],
            update_allowed=True,
        ),
        PATH_TO_BACKUP: properties.Schema(
            properties.Schema.STRING,
            _('File or folder on the agent\'s host, for mode fs.'),
            constraints=[constraints.Length(max=4096)],
            update_allowed=True,
        ),
        OPTIONS: properties.Schema(
            properties.Schema.MAP,
            _('Any other options of the agent by their names, such as max_level or keep_last.'),
            default={},
            update_allowed=True,
        ),
        MAX_RETRIES: properties.Schema(
            properties.Schema.INTEGER,
            _('How often to try again after a failure.'),
            constraints=[constraints.Range(min=0, max=2147483647)],
            update_allowed=True,
        ),
        MAX_RETRIES_INTERVAL: properties.Schema(
            properties.Schema.INTEGER,
            _('Seconds between two tries.'),
            constraints=[constraints.Range(min=0, max=2147483647)],
            update_allowed=True,
        ),
        MANDATORY: properties.Schema(
            properties.Schema.BOOLEAN,
            _('Whether to run it also after an earlier action of the job has failed.'),
            default=False,
            update_allowed=True,
        ),
    }

    noun = 'actions'
    NAME = BACKUP_NAME

    def validate(self):
        super().validate()
        base.refuse_named_twice(self.properties, self.OPTIONS, self._PLAIN)

    def _document(self, values):
        freezer_action = dict(values[self.OPTIONS] or {})
        freezer_action.update(
            {key: values[key] for key in self._PLAIN if values[key] is not None}
        )
        body = {'freezer_action': freezer_action, 'mandatory': values[self.MANDATORY]}
        for key in (self.MAX_RETRIES, self.MAX_RETRIES_INTERVAL):
            if values[key] is not None:
                body[key] = values[key]
        return body

    def handle_create(self):
        body = self._document(self.properties)
        body['action_id'] = self.new_id()
        self.client().post(self.noun, body=body)

    def handle_update(self, json_snippet, tmpl_diff, prop_diff):
        # The options are one document, which is written as a whole.
        after = json_snippet.properties(self.properties_schema, self.context)
        self.changed(self._document(after))

    def live(self, document):
        stored = document['freezer_action']
        live = {key: stored.get(key) for key in self._PLAIN}
        live[self.MANDATORY] = document['mandatory']
        return live


def resource_mapping():
    return {'OS::Freezer::Action': Action}
