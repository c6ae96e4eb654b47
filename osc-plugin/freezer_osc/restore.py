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

"""openstack backup restore"""

from osc_lib.i18n import _

from freezer_osc import follow
from freezer_osc import one_shot
from freezer_osc import restore_action
from freezer_osc import run_columns
from freezer_osc import verdict


class Restore(verdict.ShowVerdict):
    _description = _(
        'Restore a backup. It becomes a job of its own that runs once; with --wait it is removed '
        'again when it has ended'
    )

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        restore_action.add_backup_arguments(parser)
        restore_action.add_target_arguments(parser)
        parser.add_argument(
            '--wait',
            action='store_true',
            help=_('Wait for the end; the exit status is then 0 only if everything was restored'),
        )
        return parser

    def take_action(self, parsed_args):
        service = self.app.client_manager.freezer
        record = restore_action.chosen(service, parsed_args)
        action = restore_action.build(service, record, parsed_args)
        action = restore_action.add_target(action, parsed_args)
        agent = one_shot.agent_for(service, record['backup_metadata'], parsed_args.agent)
        name = restore_action.title('Restore', action)
        if not parsed_args.wait:
            job_id = one_shot.start(service, agent, action, name)
            return (
                ('job_id', 'backup_id', 'client_id', 'description'),
                (job_id, record['backup_id'], agent['client_id'], name),
            )
        one_shot.ensure_driven(agent, _('leave --wait out'))
        run = one_shot.run(service, agent, action, name)
        restored = one_shot.last_result(run).get('restore') or {}
        self.failure = follow.failure(run) or restore_action.other_time(record, restored)
        return run_columns.shown(run)
