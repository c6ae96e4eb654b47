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

"""The property `schedule`: when a job or a session starts. The keys are the API's, shorter."""

from heat.common.i18n import _
from heat.engine import constraints
from heat.engine import properties

PREFIX = 'schedule_'
DATE = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?'
DATE_TEXT = _('must be a time, YYYY-MM-DDThh:mm:ss, UTC unless it ends with a zone (+01:00)')
INTERVAL = r'continuous|\d+ +(weeks|days|hours|minutes|seconds)'

DATES = (
    ('date', _('The one time at which to start.')),
    ('start_date', _('Not before this time. An interval counts from here.')),
    ('end_date', _('Not after this time.')),
)
CRON = (
    ('year', _('Years, four digits.')),
    ('month', _('Months as in cron.')),
    ('day', _('Days of the month as in cron.')),
    ('week', _('Weeks of the year.')),
    ('day_of_week', _('Days of the week, 0 or mon to 6 or sun.')),
    ('hour', _('Hours as in cron.')),
    ('minute', _('Minutes as in cron.')),
    ('second', _('Seconds as in cron.')),
)


def property_schema(description):
    """Of a property `schedule` that can be changed in place."""
    keys = {
        'interval': properties.Schema(
            properties.Schema.STRING,
            _('"continuous", or a number and a unit: "1 days", "12 hours".'),
            constraints=[
                constraints.AllowedPattern(
                    INTERVAL,
                    description=_(
                        'interval must be "continuous", or a number and one of weeks, days, '
                        'hours, minutes, seconds: "1 days"'
                    ),
                )
            ],
        )
    }
    for key, text in DATES:
        pattern = constraints.AllowedPattern(DATE, description='%s %s' % (key, DATE_TEXT))
        keys[key] = properties.Schema(properties.Schema.STRING, text, constraints=[pattern])
    for key, text in CRON:
        keys[key] = properties.Schema(properties.Schema.STRING, text)
    return properties.Schema(
        properties.Schema.MAP, description, schema=keys, update_allowed=True
    )


def document(value):
    """The API's schedule of a property's value."""
    return {PREFIX + key: text for key, text in (value or {}).items() if text is not None}


def live(document):
    """The property's value of an API's schedule; what is not plan is left out."""
    known = ['interval'] + [key for key, _text in DATES + CRON]
    found = {key: document.get(PREFIX + key) for key in known}
    return found if any(found.values()) else None
