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

"""Times that users type."""

import argparse
import datetime

from osc_lib.i18n import _


def seconds(text):
    """Epoch seconds of a time in ISO 8601; without a zone it is UTC, as in schedules."""
    try:
        moment = datetime.datetime.fromisoformat(
            text[:-1] + '+00:00' if text.endswith('Z') else text
        )
    except ValueError:
        raise argparse.ArgumentTypeError(
            _('"%s" is not a time; write YYYY-MM-DDThh:mm:ss, with Z or an offset if you like')
            % text
        )
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return int(moment.timestamp())


def days(text):
    """A number of days, parts allowed."""
    try:
        count = float(text)
    except ValueError:
        count = -1
    if not 0 < count < 36500:
        raise argparse.ArgumentTypeError(_('"%s" is not a number of days above 0') % text)
    return count


def count(text):
    """A whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(_('"%s" is not a whole number above 0') % text)
    return int(text)
