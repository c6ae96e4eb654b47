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

"""Which resources a backup holds, by its record, and whether that is recent and whole."""

from freezer_osc import find

# Keys of a record that name one resource.
ONE = ('nova_inst_id', 'cinder_vol_id', 'cindernative_vol_id')


class Newest:
    """The newest backups of one resource: the newest whole one, and the newest at all."""

    def __init__(self):
        self.whole = None
        self.any = None

    def add(self, record, is_partial):
        if _time(record) >= _time(self.any):
            self.any = record
        if not is_partial and _time(record) >= _time(self.whole):
            self.whole = record

    def judge(self, since):
        """A word and the record it is about. A recent whole backup counts, whatever is newer."""
        if self.any is None:
            return 'no', None
        if self.whole is not None and _time(self.whole) >= since:
            return 'yes', self.whole
        if _time(self.any) >= since:
            return 'partial', self.any
        return 'old', self.whole or self.any


def newest_backups(service):
    """Newest backups by the id of the resource."""
    newest = {}
    search = {'match': [{'status': 'available'}]}
    for record in service.list('backups', search=search):
        if find.is_data(record):
            for resource, is_partial in resources(record['backup_metadata']):
                newest.setdefault(resource, Newest()).add(record, is_partial)
    return newest


def resources(metadata):
    """Ids of what the backup holds, each with whether something of it is missing."""
    # Some problems are only notices; where the record does not tell, something is missing.
    is_partial = metadata.get('is_partial', bool(metadata.get('problem_count')))
    for key in ONE:
        if metadata.get(key):
            yield metadata[key], is_partial
    # The disks of a server: its volumes, by their ids.
    for disk in metadata.get('disks') or {}:
        yield disk, False
    # What is named as a member of a project was saved; what was not is missing among them.
    for member in metadata.get('members') or []:
        yield member['id'], False
    for server in (metadata.get('servers') or {}).values():
        yield from resources(server)


def _time(record):
    return -1 if record is None else record['backup_metadata'].get('time_stamp') or 0
