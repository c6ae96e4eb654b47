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

"""openstack backup retention set"""

from osc_lib import exceptions
from osc_lib.command import command
from osc_lib.i18n import _

from freezer_osc import find
from freezer_osc import retention_rules


class SetRetention(command.Command):
    _description = _('Let a job remove its old backups after each run')

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument('job', metavar='<job>', help=_('Job to change (name or id)'))
        retention_rules.add_arguments(parser)
        return parser

    def take_action(self, parsed_args):
        service = self.app.client_manager.freezer
        rules = retention_rules.given(parsed_args)
        if not rules:
            raise exceptions.CommandError(retention_rules.NO_RULES)
        job = find.job(service, parsed_args.job)
        backups = retention_rules.backups_of(job)
        kept = [entry for entry in job['job_actions'] if not _is_replaced(entry, backups)]
        new = [{'freezer_action': retention_rules.rotation(backup, rules)} for backup in backups]
        service.patch('jobs', job['job_id'], body={'job_actions': kept + new})


def _is_replaced(entry, backups):
    action = entry['freezer_action']
    return action.get('action') == 'admin' and any(
        retention_rules.is_same(action, backup) for backup in backups
    )
