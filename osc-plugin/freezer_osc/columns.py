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

"""Values that are one thing for people and another for programs."""

import datetime

from cliff import columns

UNITS = ('B', 'KiB', 'MiB', 'GiB', 'TiB')


def time_text(secs):
    """Epoch seconds as the service writes times; -1 and None are never."""
    if secs is None or secs < 0:
        return None
    moment = datetime.datetime.fromtimestamp(secs, datetime.timezone.utc)
    return moment.strftime('%Y-%m-%dT%H:%M:%SZ')


def size_text(count):
    """Bytes for people."""
    value, unit = float(count), 0
    while value >= 1024 and unit + 1 < len(UNITS):
        value, unit = value / 1024, unit + 1
    return '%d B' % count if unit == 0 else '%.1f %s' % (value, UNITS[unit])


class Time(columns.FormattableColumn):
    """A moment; dashes where there is none."""

    def human_readable(self):
        return time_text(self._value) or '-'

    def machine_readable(self):
        return time_text(self._value)


class Size(columns.FormattableColumn):
    """A number of bytes."""

    def human_readable(self):
        return '-' if self._value is None else size_text(self._value)

    def machine_readable(self):
        return self._value


class Words(columns.FormattableColumn):
    """A list of words."""

    def human_readable(self):
        return ', '.join(self._value)

    def machine_readable(self):
        return list(self._value)
