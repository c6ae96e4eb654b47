"""When a job runs: from what a form holds to what the service takes, and into words.

The service reads times without a zone as UTC; so they are always written with a Z here.
Pure: nothing here talks to a service.
"""

import datetime

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.utils.translation import ngettext

ONCE = 'once'
CUSTOM = 'custom'
REPEATS = (
    (ONCE, gettext_lazy('Once, when it is started')),
    ('1 hours', gettext_lazy('Every hour')),
    ('1 days', gettext_lazy('Every day')),
    ('1 weeks', gettext_lazy('Every week')),
    (CUSTOM, gettext_lazy('Another interval')),
)
UNITS = (
    ('minutes', gettext_lazy('minutes')), ('hours', gettext_lazy('hours')),
    ('days', gettext_lazy('days')), ('weeks', gettext_lazy('weeks')),
)
SECONDS = {'seconds': 1, 'minutes': 60, 'hours': 3600, 'days': 86400, 'weeks': 604800}
# What of `job_schedule` is the user's plan; the rest is the service's state.
PLAN_KEYS = (
    'schedule_date', 'schedule_start_date', 'schedule_end_date', 'schedule_interval',
    'schedule_year', 'schedule_month', 'schedule_day', 'schedule_week', 'schedule_day_of_week',
    'schedule_hour', 'schedule_minute', 'schedule_second',
)
CRON_KEYS = PLAN_KEYS[4:]


def plan_of(schedule):
    """The plan of a `job_schedule`, without state."""
    return {key: schedule[key] for key in PLAN_KEYS if schedule.get(key)}


def utc(moment):
    """A moment as the service takes it."""
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment)
    return moment.astimezone(datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')


def parse(text):
    """A moment of the service's, or None when it cannot be read."""
    for form in ('%Y-%m-%dT%H:%M:%SZ', '%Y-%m-%dT%H:%M:%S'):
        try:
            return datetime.datetime.strptime(text or '', form).replace(
                tzinfo=datetime.timezone.utc)
        except ValueError:
            continue
    return None


def plan(repeat, every=None, unit=None, first=None, last=None):
    """The plan that a form means."""
    made = {}
    interval = '%d %s' % (every, unit) if repeat == CUSTOM else repeat
    if repeat != ONCE:
        made['schedule_interval'] = interval
    if first:
        made['schedule_date' if repeat == ONCE else 'schedule_start_date'] = utc(first)
    if last and repeat != ONCE:
        made['schedule_end_date'] = utc(last)
    return made


def form_values(schedule):
    """The form's values for a plan, or None for a plan that the form cannot hold."""
    held = plan_of(schedule)
    interval = held.get('schedule_interval')
    if any(key in held for key in CRON_KEYS) or interval == 'continuous':
        return None
    values = {'repeat': interval or ONCE}
    if interval and interval not in dict(REPEATS):
        every, unit = interval.split()
        if unit not in dict(UNITS):
            return None
        values.update(repeat=CUSTOM, every=int(every), unit=unit)
    for key, field in (('schedule_date', 'first'), ('schedule_start_date', 'first'),
                       ('schedule_end_date', 'last')):
        if key in held:
            moment = parse(held[key])
            if moment is None:
                return None
            values[field] = moment
    return values


def interval_seconds(schedule):
    """Seconds from one run to the next, or None when the plan has no fixed interval."""
    try:
        every, unit = schedule.get('schedule_interval', '').split()
        return int(every) * SECONDS[unit]
    except (ValueError, KeyError):
        return None


def describe(schedule):
    """A plan in words."""
    held = plan_of(schedule)
    cron = ' '.join('%s=%s' % (key[len('schedule_'):], held[key])
                    for key in CRON_KEYS if key in held)
    if cron:
        return cron
    interval = held.get('schedule_interval')
    if not interval:
        return _('Once')
    if interval == 'continuous':
        return _('Without a pause')
    words = dict(REPEATS)
    if interval in words:
        return str(words[interval])
    every, _space, unit = interval.partition(' ')
    return _('Every %(every)s %(unit)s') % {'every': every, 'unit': unit}


def duration(seconds):
    """A length of time in words, as coarse as people say it."""
    seconds = int(seconds)
    if seconds < 60:
        return ngettext('%d second', '%d seconds', seconds) % seconds
    if seconds < 3600:
        return ngettext('%d minute', '%d minutes', seconds // 60) % (seconds // 60)
    if seconds < 172800:
        return ngettext('%d hour', '%d hours', seconds // 3600) % (seconds // 3600)
    return ngettext('%d day', '%d days', seconds // 86400) % (seconds // 86400)
