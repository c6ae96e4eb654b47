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

"""openstack backup plan retention"""

from osc_lib.i18n import _

from freezer_osc import columns
from freezer_osc import retention_run


class PlanRetention(retention_run.RetentionRun):
    _description = _('Show which backups of a job retention would remove, and remove nothing')

    polls = _('it could take a plan for an order to remove')

    def take_action(self, parsed_args):
        found = []
        for _action, result in self.results(parsed_args, 'Plan of retention of %s', dry_run=True):
            found += rows(result.get('plan'))
        return ('Backup', 'Chain Since', 'Levels', 'Decision', 'Reason'), found


def rows(plan):
    """The decisions, one row each. Sets of backups that belong together tell their members, too."""
    if plan is None:
        return []
    if isinstance(plan, list):
        return [row for one in plan for row in rows(one)]
    if 'set' in plan:
        return [row for part in [plan['set']] + plan['members'] for row in rows(part)]
    if 'skipped' in plan:
        return list(_of_cinder(plan))
    return [
        (
            plan['hbn'],
            columns.Time(decision['chain_timestamp']),
            len(decision['levels']),
            verb,
            decision['reason'],
        )
        for verb in ('remove', 'keep')
        for decision in plan[verb]
    ]


def _of_cinder(plan):
    """Cinder's own backups: a full one with its increments."""
    for chain in plan['remove']:
        moment = columns.Time(chain['newest_secs'])
        yield chain['full'], moment, len(chain['backups']), 'remove', None
    for full in plan['keep']:
        yield full, columns.Time(None), None, 'keep', None
    for reason in plan['skipped']:
        yield None, columns.Time(None), None, 'keep', reason
