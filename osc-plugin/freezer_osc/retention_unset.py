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

"""openstack backup retention unset"""

from osc_lib import exceptions
from osc_lib.command import command
from osc_lib.i18n import _

from freezer_osc import find


class UnsetRetention(command.Command):
    _description = _('Let a job keep all its backups')

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument('job', metavar='<job>', help=_('Job to change (name or id)'))
        return parser

    def take_action(self, parsed_args):
        service = self.app.client_manager.freezer
        job = find.job(service, parsed_args.job)
        kept = [
            entry
            for entry in job['job_actions']
            if entry['freezer_action'].get('action') != 'admin'
        ]
        if len(kept) == len(job['job_actions']):
            raise exceptions.CommandError(_('Job %s has no retention') % job['job_id'])
        service.patch('jobs', job['job_id'], body={'job_actions': kept})
