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

"""openstack backup retention apply"""

from osc_lib.i18n import _

from freezer_osc import retention_run


class ApplyRetention(retention_run.RetentionRun):
    _description = _(
        'Remove old backups of a job now, and wait for it; "openstack backup plan retention" shows '
        'beforehand which'
    )

    polls = _('set its retention in the job instead')

    def take_action(self, parsed_args):
        found = []
        for action, result in self.results(parsed_args, 'Retention of %s'):
            for removed in parts(result.get('removed') or {}):
                found.append((action.get('backup_name'),) + removed)
        return ('Backup Name', 'Chains', 'Levels', 'Leftovers', 'Objects', 'Remarks'), found


def parts(removed):
    """What was removed, in numbers; sets and their members apart."""
    if 'cinder_backups' in removed:
        return [(None, len(removed['cinder_backups']), None, None, ', '.join(removed['errors']))]
    if 'sets' in removed:
        return [part for key in ('sets', 'members') for part in parts(removed[key])]
    if not removed:
        return []
    return [
        tuple(removed[key] for key in ('chains', 'levels', 'orphans', 'objects'))
        + (', '.join(removed['skipped']),)
    ]
