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

"""What resources that come from a backup share.

The restore is a job for one run. Its id is kept among the resource's data until the job is removed
again; the resource's own id is that of what was restored.
"""

import uuid

from heat.common import exception
from heat.common.i18n import _
from heat.engine import constraints
from heat.engine import properties
from heat.engine import resource

from freezer_heat import client_plugin
from freezer_heat import find
from freezer_heat import restore_action
from freezer_heat import runs
from freezer_heat import schedule
from freezer_heat import service as rest

JOB_ID = 'job_id'


def common_schema(what):
    """The properties that all of them have."""
    return {
        'backup': properties.Schema(
            properties.Schema.STRING,
            _('Id of the backup, or its name: then the newest one of that name.'),
            required=True,
            constraints=[constraints.CustomConstraint('freezer.backup')],
        ),
        'not_after': properties.Schema(
            properties.Schema.STRING,
            _('With a name: the newest one that is not newer than this time.'),
            constraints=[
                constraints.AllowedPattern(
                    schedule.DATE, description='not_after %s' % schedule.DATE_TEXT
                )
            ],
        ),
        'name': properties.Schema(
            properties.Schema.STRING,
            what,
            constraints=[constraints.Length(min=1, max=255)],
            update_allowed=True,
        ),
        # Who worked, and how, is of no account any more when the work is done.
        'client': properties.Schema(
            properties.Schema.STRING,
            _('Id of the agent that restores; by default the one that made the backup.'),
            constraints=[constraints.CustomConstraint('freezer.agent')],
            update_allowed=True,
        ),
        'options': properties.Schema(
            properties.Schema.MAP,
            _('Any other options of the agent by their names, such as encrypt_pass_file.'),
            default={},
            update_allowed=True,
        ),
    }


class Restored(resource.Resource):
    """Something of the cloud that is made from a backup."""

    (BACKUP, NOT_AFTER, NAME, CLIENT, OPTIONS) = (
        'backup', 'not_after', 'name', 'client', 'options',
    )
    BACKUP_ID = 'backup_id'
    # The mode of backups that can become this, and how the run's result names what was made.
    mode = None
    made_key = None
    # What holds data is not replaced because a look at it failed.
    always_replace_on_check_failed = False

    def service(self):
        return self.client(client_plugin.CLIENT_NAME)

    def extra_options(self):
        """Options of the agent that come from further properties."""
        return {}

    def remove_made(self):
        """Asks for the end of what was restored; False if it must be asked again."""
        raise NotImplementedError

    def is_made_gone(self):
        raise NotImplementedError

    def name_wanted(self):
        return self.properties[self.NAME] or self.physical_resource_name()

    def validate(self):
        super().validate()
        given = self.properties.data.get(self.OPTIONS) or {}
        own = {'action', 'mode', 'restore_name', 'backup_name', 'restore_from_date'}
        twice = sorted(own & set(given))
        if twice:
            raise exception.StackValidationFailed(
                message=_('options: %s are not for you to give here') % ', '.join(twice)
            )

    # ---- create --------------------------------------------------------------------------------

    def handle_create(self):
        service = self.service()
        record = find.backup(service, self.properties[self.BACKUP], self.properties[self.NOT_AFTER])
        mode = record['backup_metadata'].get('mode')
        if mode != self.mode:
            raise rest.BackupServiceError(
                _('Backup %(backup)s is of mode %(mode)s; this resource needs one of mode %(own)s')
                % {'backup': record['backup_id'], 'mode': mode, 'own': self.mode}
            )
        client = self.properties[self.CLIENT] or find.agent_of(service, record)
        find.ensure_driven(service, client)
        options = dict(self.properties[self.OPTIONS] or {}, restore_name=self.name_wanted())
        options.update(self.extra_options())
        action = restore_action.build(service, record, options)
        self.data_set(self.BACKUP_ID, record['backup_id'])
        self._start(client, action)
        return record['backup_metadata'].get('time_stamp')

    def _start(self, client, action):
        job_id = uuid.uuid4().hex
        self.data_set(JOB_ID, job_id)
        entry = {'action_id': job_id, 'freezer_action': action, 'max_retries': 0}
        body = {
            'job_id': job_id,
            'client_id': client,
            'description': self.physical_resource_name(),
            'job_schedule': {},
            'job_actions': [entry],
        }
        self.service().post('jobs', body=body)

    def check_create_complete(self, meant):
        job_id = self.data().get(JOB_ID)
        newest = runs.newest(self.service(), job_id)
        if newest is None or runs.is_active(newest):
            return False
        run = self.service().get('runs', newest['run_id'])
        restored = self._note_made(run)
        failure = runs.failure(run) or _other_time(meant, restored)
        if failure:
            raise rest.BackupServiceError(failure)
        self._remove_job(job_id)
        return True

    def _note_made(self, run):
        """From here on what was made is the stack's, also if something of it is missing."""
        restored = runs.last_result(run).get('restore') or {}
        if restored.get(self.made_key):
            self.resource_id_set(restored[self.made_key])
        return restored

    def _remove_job(self, job_id):
        self.service().delete('jobs', job_id)
        self.service().delete('actions', job_id)
        self.data_delete(JOB_ID)

    # ---- delete --------------------------------------------------------------------------------

    def handle_delete(self):
        job_id = self.data().get(JOB_ID)
        return {
            'removal': runs.Removal(self.service(), job_id) if job_id else None,
            'is_asked': False,
        }

    def check_delete_complete(self, progress):
        removal = progress['removal']
        if removal is not None:
            # A restore that was faster than its end has made something.
            if not removal.step():
                return False
            self._note_late(removal.ended_run())
            self._remove_job(self.data().get(JOB_ID))
            progress['removal'] = None
        if self.resource_id is None:
            return True
        if not progress['is_asked']:
            progress['is_asked'] = self.remove_made()
            return False
        return self.is_made_gone()

    def _note_late(self, run):
        if run is not None and self.resource_id is None:
            self._note_made(self.service().get('runs', run['run_id']))


def _other_time(meant, restored):
    """Says so when another state came back than the one that was meant, which is gone then."""
    found = (restored.get('report') or restored).get('timestamp')
    if meant is None or found in (None, meant):
        return None
    return _(
        'The state as of %(meant)s is not in the storage any more; this is the one as of %(found)s'
    ) % {'meant': restore_action.time_text(meant), 'found': restore_action.time_text(found)}
