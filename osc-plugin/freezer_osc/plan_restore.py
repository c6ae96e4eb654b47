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

"""openstack backup plan restore"""

from osc_lib.i18n import _

from freezer_osc import columns
from freezer_osc import follow
from freezer_osc import one_shot
from freezer_osc import restore_action
from freezer_osc import verdict

POLLS = _('it could take a plan for a restore')


class PlanRestore(verdict.ListVerdict):
    _description = _('Show what a restore would do, and do nothing')

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        restore_action.add_backup_arguments(parser)
        restore_action.add_target_arguments(parser)
        return parser

    def take_action(self, parsed_args):
        service = self.app.client_manager.freezer
        record = restore_action.chosen(service, parsed_args)
        action = restore_action.build(service, record, parsed_args)
        action = restore_action.add_target(action, parsed_args)
        action['dry_run'] = True
        agent = one_shot.agent_for(service, record['backup_metadata'], parsed_args.agent)
        one_shot.ensure_driven(agent, POLLS)
        run = one_shot.run(service, agent, action, restore_action.title('Plan', action))
        plan = one_shot.last_result(run).get('restore') or {}
        self.failure = follow.failure(run) or restore_action.other_time(record, plan)
        found = [] if follow.failure(run) else rows(plan, action)
        return ('Resource', 'Name', 'Deed', 'Remark'), found


def rows(plan, action):
    """The steps, one row each; each mode tells its plan in its own way."""
    if 'steps' in plan:
        return list(_of_project(plan))
    moment = columns.time_text(plan.get('timestamp'))
    if 'servers' in plan:
        return list(_of_servers(plan))
    if 'volume' in plan:
        volume = plan['volume']
        return [
            (
                'volume',
                volume.get('name') or volume.get('id'),
                action.get('cinder_restore_to', 'new'),
                _('as of %s') % moment,
            )
        ]
    if 'files' in plan:
        numbers = _('%(files)d entries, %(size)s, from %(levels)d levels as of %(time)s') % {
            'files': plan['files'],
            'size': columns.size_text(plan['bytes_written']),
            'levels': len(plan['levels']),
            'time': moment,
        }
        head = ('folder', action.get('restore_abs_path'), 'write', numbers)
        return [head] + [('note', '', '', note) for note in plan.get('warnings') or []]
    # The agent says no more than that it would.
    name = action.get('restore_name') or action['backup_name']
    moment = _('as of %s') % action.get('restore_from_date')
    return [(action.get('mode', 'fs'), name, 'restore', moment)]


def _of_servers(plan):
    for row in plan['servers']:
        moment = _('as of %s') % columns.time_text(row['timestamp'])
        yield 'server', row['name'], 'create', moment
        # Older agents say no more than that.
        if 'flavor_id' in row:
            yield 'flavor', row['flavor_id'], 'use', ''
        for disk in row.get('disks') or []:
            yield 'disk', disk['role'], 'create', disk['device'] or ''
        for port in row.get('ports') or []:
            remark = ', '.join(port['addresses']) or _('an address that Neutron chooses')
            yield 'interface', port['network_was'], 'create', remark
        for note in row.get('notes') or []:
            yield 'note', '', '', note
        for what in row.get('missing') or []:
            yield 'missing', '', '', what
    for failure in plan.get('failed') or []:
        yield 'server', '', 'REFUSED', failure


def _of_project(plan):
    for step in plan['steps']:
        yield step['resource']['kind'], step['name'], _deed(step['deed']), step['reason']
    for refusal in plan['refused']:
        yield refusal['resource']['kind'], refusal['name'], 'REFUSED', refusal['reason']
    for quota in plan['quotas']:
        yield ('quota', quota['service'] + ' ' + quota['resource']) + _quota(quota)


def _quota(quota):
    left = quota['left']
    word = 'ok' if left is None or left >= quota['needed'] else 'TOO LITTLE'
    return word, _('%(needed)d needed, %(left)s left') % {
        'needed': quota['needed'],
        'left': _('any number') if left is None else left,
    }


def _deed(deed):
    """A word, or an object whose key is the word."""
    return deed if isinstance(deed, str) else ' '.join(deed)
