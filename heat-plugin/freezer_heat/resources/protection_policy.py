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

"""OS::Freezer::ProtectionPolicy"""

from heat.common import exception
from heat.common.i18n import _
from heat.engine import attributes
from heat.engine import constraints
from heat.engine import properties

from freezer_heat import base
from freezer_heat import find
from freezer_heat import job_resource
from freezer_heat import marks
from freezer_heat import policy_actions
from freezer_heat import runs
from freezer_heat import schedule


class ProtectionPolicy(job_resource.JobResource):
    """Saves servers and volumes on a schedule, and keeps as many backups as wanted.

    It is one job of the backup service. Servers and volumes are named by their ids, so that the
    template cannot lose one; or servers by a tag or metadata, then also those that come later, such
    as members of a group that scales. Servers that are named along with a tag or metadata get it.
    Volumes have no tags: those with a pair of metadata are looked up at each create and update.
    """

    PROPERTIES = (
        NAME, CLIENT, SERVERS, SERVER_TAG, SERVER_METADATA, VOLUMES, VOLUME_METADATA, SCHEDULE,
        STORAGE, CONTAINER, BACKUP_NAME, MAX_LEVEL, KEEP_LAST, KEEP_DAYS, OPTIONS,
    ) = (
        'name', 'client', 'servers', 'server_tag', 'server_metadata', 'volumes', 'volume_metadata',
        'schedule', 'storage', 'container', 'backup_name', 'max_level', 'keep_last', 'keep_days',
        'options',
    )
    _WHAT = (SERVERS, SERVER_TAG, SERVER_METADATA, VOLUMES, VOLUME_METADATA)
    _MARK = (SERVER_TAG, SERVER_METADATA)

    BACKUP_NAMES = 'backup_names'
    _JOB_ATTRIBUTES = (job_resource.RESULT, job_resource.NEXT_RUN_AT, job_resource.LAST_RUN)
    ATTRIBUTES = _JOB_ATTRIBUTES + (BACKUP_NAMES,)

    properties_schema = {
        NAME: job_resource.name_schema(_('Name of the policy\'s job.')),
        CLIENT: job_resource.client_schema(
            _('Id of the agent that works; by default a central one that can do it.')
        ),
        SERVERS: properties.Schema(
            properties.Schema.LIST,
            _('Ids of servers. Each is saved with all its volumes.'),
            schema=properties.Schema(
                properties.Schema.STRING,
                constraints=[constraints.CustomConstraint('nova.server')],
            ),
            update_allowed=True,
        ),
        SERVER_TAG: properties.Schema(
            properties.Schema.STRING,
            _('All servers of the project that bear this tag are saved.'),
            constraints=[
                constraints.AllowedPattern(
                    r'[^/,]{1,60}',
                    description=_('server_tag must have 1 to 60 characters, and no / or ,'),
                )
            ],
            update_allowed=True,
        ),
        SERVER_METADATA: properties.Schema(
            properties.Schema.MAP,
            _('All servers of the project with this pair of metadata are saved.'),
            constraints=[
                constraints.Length(
                    min=1, max=1, description=_('server_metadata must be one pair, key: value')
                )
            ],
            update_allowed=True,
        ),
        VOLUMES: properties.Schema(
            properties.Schema.LIST,
            _('Ids of volumes that are saved by themselves.'),
            schema=properties.Schema(
                properties.Schema.STRING,
                constraints=[constraints.CustomConstraint('cinder.volume')],
            ),
            update_allowed=True,
        ),
        VOLUME_METADATA: properties.Schema(
            properties.Schema.MAP,
            _('All volumes that the project has with this pair of metadata, too.'),
            constraints=[
                constraints.Length(
                    min=1, max=1, description=_('volume_metadata must be one pair, key: value')
                )
            ],
            update_allowed=True,
        ),
        SCHEDULE: schedule.property_schema(_('When backups are made; by default once, now.')),
        STORAGE: properties.Schema(
            properties.Schema.STRING,
            _('Kind of storage.'),
            default='swift',
            update_allowed=True,
        ),
        CONTAINER: properties.Schema(
            properties.Schema.STRING,
            _('Container for the backups.'),
            default='freezer_backups',
            constraints=[constraints.Length(min=1, max=255)],
            update_allowed=True,
        ),
        BACKUP_NAME: properties.Schema(
            properties.Schema.STRING,
            _('What the backups\' names begin with; _ and the id of the server or volume follow.'),
            constraints=[constraints.Length(min=1, max=200)],
            update_allowed=True,
        ),
        MAX_LEVEL: properties.Schema(
            properties.Schema.INTEGER,
            _('Increments after each full backup; 0 saves everything every time.'),
            default=6,
            constraints=[constraints.Range(min=0)],
            update_allowed=True,
        ),
        KEEP_LAST: properties.Schema(
            properties.Schema.INTEGER,
            _('After a success, remove all but this many backups, and those they build on.'),
            constraints=[constraints.Range(min=1)],
            update_allowed=True,
        ),
        KEEP_DAYS: properties.Schema(
            properties.Schema.NUMBER,
            _('After a success, remove chains whose newest backup is older than this.'),
            constraints=[constraints.Range(min=0)],
            update_allowed=True,
        ),
        OPTIONS: properties.Schema(
            properties.Schema.MAP,
            _('Any other options of the agent by their names.'),
            default={},
            update_allowed=True,
        ),
    }

    attributes_schema = dict(
        job_resource.attributes_schema(*_JOB_ATTRIBUTES),
        **{
            BACKUP_NAMES: attributes.Schema(
                _('Names of the backups, by the ids of servers that are named, and of volumes.'),
                type=attributes.Schema.MAP,
            )
        }
    )

    always_replace_on_check_failed = False

    def needs_replace_failed(self):
        """An update puts everything right that is there."""
        return self.resource_id is None or self.client().find(self.noun, self.resource_id) is None

    def _needs_update(self, after, before, after_props, *words, **options):
        # Also without a change of the template, so that marks which are gone come back, and
        # volumes are saved that have the metadata since.
        return (
            super()._needs_update(after, before, after_props, *words, **options)
            or self.status == self.FAILED
            or self._has_other_volumes(after_props)
        )

    def _has_other_volumes(self, values):
        try:
            return any(self._moved(values))
        except Exception:
            # Whatever it is, the update meets it too, where Heat can tell of it.
            return True

    def validate(self):
        super().validate()
        given = self.properties.data
        if not any(given.get(name) for name in self._WHAT):
            raise exception.StackValidationFailed(
                message=_('A protection policy needs one of %s') % ', '.join(self._WHAT)
            )
        for one, other in (self._MARK, (self.KEEP_LAST, self.KEEP_DAYS)):
            if given.get(one) is not None and given.get(other) is not None:
                raise exception.ResourcePropertyConflict(one, other)
        base.refuse_named_twice(
            self.properties, self.OPTIONS, self.PROPERTIES + policy_actions.OWN
        )

    # ---- the job -------------------------------------------------------------------------------

    def handle_create(self):
        job_id = self.new_id()
        self._mark(self.properties, self.properties[self.SERVERS] or ())
        body = self._document(self.properties)
        body['job_id'] = job_id
        self.client().post(self.noun, body=body)

    def handle_update(self, json_snippet, tmpl_diff, prop_diff):
        before = self.properties
        after = json_snippet.properties(self.properties_schema, self.context)
        self._mark(after, after[self.SERVERS] or ())
        stored = self.client().find(self.noun, self.resource_id) or {'job_actions': []}
        body = self._document(after)
        if self.SCHEDULE not in prop_diff:
            del body['job_schedule']
        self.changed(body)
        self._remove_actions(stored)
        self._take_off(before, after)

    def _document(self, values):
        """The job as it shall be."""
        what = policy_actions.What(
            servers=values[self.SERVERS] or [],
            tag=values[self.SERVER_TAG],
            pair=_pair(values[self.SERVER_METADATA]),
            volumes=(values[self.VOLUMES] or []) + self._found(values),
        )
        how = policy_actions.How(
            name=self._backup_name(values),
            storage=values[self.STORAGE],
            container=values[self.CONTAINER],
            max_level=values[self.MAX_LEVEL],
            keep_last=values[self.KEEP_LAST],
            keep_days=values[self.KEEP_DAYS],
            options=values[self.OPTIONS] or {},
        )
        if not what.modes():
            # Known only now: the lists were to be filled by other resources, or by Cinder.
            self._refuse_unknown_pair(values)
            raise exception.StackValidationFailed(
                message=_('A protection policy needs one of %s') % ', '.join(self._WHAT)
            )
        client = values[self.CLIENT] or find.central_agent(
            self.client(), what.modes(), how.storage
        )
        return {
            'client_id': client,
            'description': values[self.NAME] or self.physical_resource_name(),
            'job_schedule': schedule.document(values[self.SCHEDULE]),
            'job_actions': policy_actions.build(what, how),
        }

    def _backup_name(self, values):
        return values[self.BACKUP_NAME] or self.physical_resource_name()

    def _remove_actions(self, stored):
        """The job's actions are its own; those it does not use any more would be left behind."""
        now = self.client().find(self.noun, self.resource_id) or {'job_actions': []}
        used = {action['action_id'] for action in now['job_actions']}
        for action in stored['job_actions']:
            if action['action_id'] not in used:
                self.client().delete('actions', action['action_id'])

    def handle_delete(self):
        if self.resource_id is None:
            return None
        self._take_off(self.properties, None)
        removal = runs.Removal(self.client(), self.resource_id)
        return removal, self.client().find(self.noun, self.resource_id) or {'job_actions': []}

    def check_delete_complete(self, progress):
        if progress is None:
            return True
        removal, stored = progress
        if not removal.step():
            return False
        self._remove_actions(stored)
        return True

    # ---- the servers' mark ---------------------------------------------------------------------

    def _marks(self, values):
        """None where servers are named by their ids alone."""
        tag, pair = values[self.SERVER_TAG], _pair(values[self.SERVER_METADATA])
        if not (tag or pair):
            return None
        plugin = self.client_plugin('nova')
        return marks.Marks(
            self.context,
            plugin._get_region_name(),
            plugin._get_client_option('nova', 'endpoint_type'),
            tag=tag,
            pair=pair,
        )

    def _mark(self, values, servers):
        mark = self._marks(values)
        if mark is not None:
            for server_id in servers:
                mark.put(server_id)

    def _take_off(self, before, after):
        """From the servers that the policy no longer names, unless others live by the mark.

        One of these may be the resource that takes this one's place.
        """
        mark = self._marks(before)
        if mark is None or self._is_shared(before):
            return
        stays = after is not None and all(before[key] == after[key] for key in self._MARK)
        kept = set(after[self.SERVERS] or ()) if stays else set()
        for server_id in before[self.SERVERS] or ():
            if server_id not in kept:
                mark.take_off(server_id)

    def _is_shared(self, values):
        key, mark = policy_actions.mark_option(
            values[self.SERVER_TAG], _pair(values[self.SERVER_METADATA])
        )
        return any(
            action['freezer_action'].get(key) == mark
            for job in self.client().list(self.noun)
            if job['job_id'] != self.resource_id
            for action in job['job_actions']
        )

    def _bare(self):
        """Servers whose mark is gone."""
        mark = self._marks(self.properties)
        servers = self.properties[self.SERVERS] or () if mark is not None else ()
        return [server_id for server_id in servers if not mark.is_on(server_id)]

    # ---- the volumes' metadata -----------------------------------------------------------------

    def _found(self, values):
        """The volumes with the metadata, as Cinder knows them now."""
        pair = _pair(values[self.VOLUME_METADATA])
        return find.volumes(self.client('cinder'), pair) if pair else []

    def _refuse_unknown_pair(self, values):
        pair = _pair(values[self.VOLUME_METADATA])
        if pair:
            raise exception.Error(
                _('Nothing to save: no volume of the project has the metadata %s')
                % ('%s=%s' % pair)
            )

    def _moved(self, values):
        """Volumes that got the metadata since the job was written, and those that lost it."""
        if not values[self.VOLUME_METADATA]:
            return [], []
        wanted = set(values[self.VOLUMES] or ()) | set(self._found(values))
        saved = policy_actions.volumes_of(self._show_resource())
        return sorted(wanted - saved), sorted(saved - wanted)

    # ---- both ----------------------------------------------------------------------------------

    def handle_check(self):
        super().handle_check()
        late, left = self._moved(self.properties)
        wrong = [
            text % ', '.join(ids)
            for text, ids in (
                (_('Not saved, for their mark is gone: servers %s'), self._bare()),
                (_('Not saved yet, but have the metadata: volumes %s'), late),
                (_('Still saved, but have the metadata no more: volumes %s'), left),
            )
            if ids
        ]
        if wrong:
            raise exception.Error(_('%s; update the stack') % '; '.join(wrong))

    # ---- what it shows -------------------------------------------------------------------------

    def _resolve_attribute(self, name):
        if name != self.BACKUP_NAMES or self.resource_id is None:
            return super()._resolve_attribute(name)
        named = (self.properties[self.SERVERS] or []) + (self.properties[self.VOLUMES] or [])
        if self.properties[self.VOLUME_METADATA]:
            named += sorted(policy_actions.volumes_of(self._show_resource()))
        prefix = self._backup_name(self.properties)
        return {one: policy_actions.backup_name(prefix, one) for one in named}

    def live(self, document):
        return {
            self.NAME: document.get('description'),
            self.SCHEDULE: schedule.live(document['job_schedule']),
        }


def _pair(metadata):
    """The one pair of metadata."""
    return next(iter(metadata.items()), None) if metadata else None


def resource_mapping():
    return {'OS::Freezer::ProtectionPolicy': ProtectionPolicy}
