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

"""openstack backup quota set"""

from osc_lib import exceptions
from osc_lib.command import command
from osc_lib.i18n import _

from freezer_osc import quota_of


class SetQuota(command.ShowOne):
    _description = _('Limit what a project may use of the service; for administrators')

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        quota_of.add_project_argument(parser)
        for option, text in (
            ('jobs', _('Jobs that the project may have; -1 for no limit')),
            ('runs', _('Runs at a time; -1 for no limit')),
            ('stored-bytes', _('Bytes that its backups may take; -1 for no limit')),
            ('weight', _('Its share where runs wait for each other')),
        ):
            parser.add_argument('--' + option, metavar='<number>', type=int, help=text)
        return parser

    def take_action(self, parsed_args):
        given = {key: getattr(parsed_args, key) for key in quota_of.LIMITS}
        given = {key: value for key, value in given.items() if value is not None}
        if not given:
            raise exceptions.CommandError(_('Give --jobs, --runs, --stored-bytes or --weight'))
        service = quota_of.service(self.app, parsed_args.project)
        # The service takes the whole set; what is not named here stays.
        wanted = {k: v for k, v in service.get('quotas')['set'].items() if v is not None}
        return quota_of.shown(service.put('quotas', body=dict(wanted, **given)))
