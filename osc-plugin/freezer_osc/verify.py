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

"""openstack backup verify"""

from osc_lib import exceptions
from osc_lib.i18n import _

from freezer_osc import columns
from freezer_osc import follow
from freezer_osc import one_shot
from freezer_osc import restore_action
from freezer_osc import verdict

POLLS = _('it could take a check for a restore')


class Verify(verdict.ShowVerdict):
    _description = _(
        'Check that a backup is as it was written: an agent reads all of it, and of what it is '
        'built on, and compares checksums; nothing is restored'
    )

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        restore_action.add_backup_arguments(parser)
        parser.add_argument(
            '--quick',
            action='store_true',
            help=_('Only look whether the storage lists the backup as complete; data are not read'),
        )
        return parser

    def take_action(self, parsed_args):
        service = self.app.client_manager.freezer
        record = restore_action.chosen(service, parsed_args)
        action = restore_action.build(service, record, parsed_args)
        agent = one_shot.agent_for(service, record['backup_metadata'], parsed_args.agent)
        one_shot.ensure_driven(agent, POLLS)
        if parsed_args.quick:
            return self._listed(service, record, action, agent)
        if action.get('mode') == 'cindernative':
            raise exceptions.CommandError(
                _('Only Cinder reads its own backups: restore this one into a new volume')
            )
        return self._read_back(service, record, action, agent)

    def _read_back(self, service, record, action, agent):
        action['action'] = 'verify'
        run = one_shot.run(service, agent, action, restore_action.title('Check', action))
        report = one_shot.last_result(run).get('verify') or {}
        levels = list(_levels(report))
        newest = max((level['timestamp'] for level in levels), default=None)
        self.failure = follow.failure(run)
        if not self.failure and not _is_several(report):
            self.failure = restore_action.other_time(record, {'timestamp': newest})
        return (
            (
                'backup_id',
                'backup_name',
                'time',
                'method',
                'result',
                'levels',
                'bytes_read',
                'faults',
                'run_id',
            ),
            (
                record['backup_id'],
                action['backup_name'],
                columns.Time(newest),
                'all data read back',
                run['state'],
                report.get('levels'),
                columns.Size(report.get('bytes_checked')),
                '\n'.join(_faults(report)),
                run['run_id'],
            ),
        )

    def _listed(self, service, record, action, agent):
        wanted = dict(action, action='info')
        wanted.pop('restore_from_date', None)
        run = one_shot.run(service, agent, wanted, restore_action.title('Quick check', action))
        self.failure = follow.failure(run)
        standing = _standing(one_shot.last_result(run), action, record)
        if not self.failure and not standing.startswith('complete'):
            self.failure = _('Backup %(id)s is %(standing)s') % {
                'id': record['backup_id'],
                'standing': standing,
            }
        return (
            ('backup_id', 'backup_name', 'time', 'method', 'result', 'run_id'),
            (
                record['backup_id'],
                action['backup_name'],
                columns.Time(record['backup_metadata'].get('time_stamp')),
                'list of the storage',
                standing,
                run['run_id'],
            ),
        )


def _levels(report):
    """The levels of the backup itself, without those of a set's members."""
    for one in report.get('reports') or []:
        yield from one.get('set', one)['levels']


def _is_several(report):
    return len(report.get('reports') or []) != 1


def _faults(report):
    for one in report.get('reports') or []:
        members = one.get('members') or []
        parts = [one.get('set', one)] + members
        for part in parts:
            for level in part['levels']:
                yield from level['faults']
        for member in members:
            if member.get('fault'):
                yield member['fault']


def _standing(result, action, record):
    name = '%s_%s' % (action.get('hostname', ''), action['backup_name'])
    moment = record['backup_metadata'].get('time_stamp')
    for level in (result.get('info') or {}).get('backups') or []:
        if level['name'] == name and level['time_stamp'] == moment:
            return level['standing']
    return _('not in the storage')
