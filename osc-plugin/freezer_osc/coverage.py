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

"""openstack backup coverage"""

import time

from osc_lib.command import command
from osc_lib.i18n import _

from freezer_osc import columns
from freezer_osc import covered
from freezer_osc import when

DAY = 86400


class Coverage(command.Lister):
    _description = _('List which servers and volumes of the project have a recent good backup')

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--within',
            metavar='<days>',
            type=when.days,
            default=1.0,
            help=_('A backup is recent if it is not older than this (default: 1)'),
        )
        parser.add_argument(
            '--type', choices=('server', 'volume'), help=_('Only resources of this type')
        )
        parser.add_argument(
            '--uncovered', action='store_true', help=_('Only those that are not covered')
        )
        parser.add_argument(
            '--check', action='store_true', help=_('End with status 1 if one is not covered')
        )
        parser.add_argument(
            '--long', action='store_true', help=_('List additional fields in output')
        )
        return parser

    is_lacking = False

    def run(self, parsed_args):
        status = super().run(parsed_args)
        return 1 if self.is_lacking and parsed_args.check else status

    def take_action(self, parsed_args):
        newest = covered.newest_backups(self.app.client_manager.freezer)
        since = time.time() - parsed_args.within * DAY
        rows = []
        for kind, resource_id, name in _resources(
            self.app.client_manager.sdk_connection, parsed_args.type
        ):
            word, found = newest.get(resource_id, covered.Newest()).judge(since)
            self.is_lacking |= word != 'yes'
            if not (parsed_args.uncovered and word == 'yes'):
                rows.append(_row(kind, resource_id, name, word, found, parsed_args.long))
        names = ('Type', 'ID', 'Name', 'Covered', 'Last Backup', 'Backup ID')
        return names + (('Backup Name', 'Mode', 'Consistency') if parsed_args.long else ()), rows


def _resources(cloud, wanted):
    """Servers and volumes of the project, as far as the cloud has such services."""
    if wanted in (None, 'server') and cloud.has_service('compute'):
        for server in cloud.compute.servers():
            yield 'server', server.id, server.name
    if wanted in (None, 'volume') and cloud.has_service('block-storage'):
        for volume in cloud.block_storage.volumes():
            yield 'volume', volume.id, volume.name


def _row(kind, resource_id, name, word, found, is_long):
    record = found or {'backup_id': None, 'backup_metadata': {}}
    metadata = record['backup_metadata']
    row = (
        kind,
        resource_id,
        name,
        word,
        columns.Time(metadata.get('time_stamp')),
        record['backup_id'],
    )
    if is_long:
        row += (metadata.get('backup_name'), metadata.get('mode'), metadata.get('consistency'))
    return row
