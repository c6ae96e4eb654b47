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

"""openstack backup run set"""

import argparse
import re

from osc_lib import exceptions
from osc_lib.command import command
from osc_lib.i18n import _

from freezer_osc import find
from freezer_osc import run_columns

UNITS = {'': 1, 'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40}


def rate(text):
    """Bytes a second; -1 for no limit."""
    if text == '-1':
        return -1
    found = re.fullmatch(r'(\d+)([KMGT]?)(?:i?B)?(?:/s)?', text, re.IGNORECASE)
    number = int(found[1]) * UNITS[found[2].upper()] if found else 0
    if number < 1:
        raise argparse.ArgumentTypeError(
            _("'%s' is no rate: give bytes a second, such as 10M, or -1 for no limit") % text
        )
    return number


class SetRun(command.ShowOne):
    _description = _('Change how fast a run that goes on may move its data')

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument('run', metavar='<run>', help=run_columns.RUN_HELP)
        for option, text in (
            ('upload-limit', _('Bytes a second to the storage (10M); -1 for no limit')),
            ('download-limit', _('Bytes a second from the storage; -1 for no limit')),
        ):
            parser.add_argument('--' + option, metavar='<rate>', type=rate, help=text)
        return parser

    def take_action(self, parsed_args):
        given = {
            'upload_limit': parsed_args.upload_limit,
            'download_limit': parsed_args.download_limit,
        }
        wanted = {k: None if v == -1 else v for k, v in given.items() if v is not None}
        if not wanted:
            raise exceptions.CommandError(_('Give --upload-limit or --download-limit'))
        service = self.app.client_manager.freezer
        run = find.run(service, parsed_args.run)
        return run_columns.shown(service.patch('runs', run['run_id'], body=wanted))
