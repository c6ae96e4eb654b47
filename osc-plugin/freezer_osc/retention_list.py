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

"""openstack backup retention list"""

from osc_lib.command import command
from osc_lib.i18n import _

from freezer_osc import retention_rules


class ListRetention(command.Lister):
    _description = _('List what jobs save, and how long it is kept')

    def take_action(self, parsed_args):
        service = self.app.client_manager.freezer
        return (
            ('Job', 'Description', 'Backup Name', 'Container', 'Mode', 'Retention'),
            (row for job in service.list('jobs') for row in _rows(job)),
        )


def _rows(job):
    rotations = retention_rules.rotations_of(job)
    for entry in job['job_actions']:
        action = entry['freezer_action']
        if action.get('action') != 'backup':
            continue
        rules = {}
        for rotation in rotations:
            if retention_rules.is_same(rotation, action):
                rules.update(retention_rules.of_action(rotation))
        yield (
            job['job_id'],
            job.get('description'),
            action.get('backup_name'),
            action.get('container'),
            action.get('mode') or 'fs',
            retention_rules.text(rules),
        )
