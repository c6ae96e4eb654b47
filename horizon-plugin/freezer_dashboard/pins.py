"""Pins: backups that no rotation removes until somebody lets them go. Pure.

The service's records know nothing of pins: they lie beside the backups in the storage. What is known
here is what jobs of the project have pinned and let go; a pin of other making does not show.
"""

import collections
import datetime

from freezer_dashboard import documents
from freezer_dashboard import kinds
from freezer_dashboard import schedules

HOLD, RELEASE = 'hold', 'release'
# What of an action says which backups are meant.
PLACE = ('storage', 'container', 'hostname', 'backup_name')

# `until` is None for a pin that stays until it is let go.
Pin = collections.namedtuple('Pin', 'reason until')


def can_be(metadata):
    """Whether backups of this kind can be pinned: Cinder's own cannot."""
    return kinds.mode_of(metadata) != 'cindernative' and bool(metadata.get('time_stamp'))


def actions(record, verb, wishes):
    """What pins a record's point in time or lets it go: an action, or one a server of several."""
    metadata = record['backup_metadata']
    action = dict(documents.restore_action(record, wishes), action=verb)
    servers = metadata.get('servers')
    if not isinstance(servers, dict) or not servers:
        return [action]
    return [dict(action, **documents.of_server(metadata, server)) for server in servers]


def known(jobs):
    """What jobs have pinned and not let go since, by place and point in time."""
    found = {}
    done = (job for job in jobs if job['job_schedule'].get('result') == 'success')
    for job in sorted(done, key=lambda job: job['job_schedule'].get('time_ended') or 0):
        for entry in job['job_actions']:
            _note(found, entry['freezer_action'])
    return found


def _note(found, action):
    place, moment = _where(action)
    if action.get('action') == HOLD and moment:
        found[place, moment] = Pin(action.get('hold_reason') or '', _moment(action.get('hold_until')))
    elif action.get('action') == RELEASE:
        # Without a time all of this name are let go.
        for key in [key for key in found if key[0] == place and moment in (None, key[1])]:
            del found[key]


def of(record, pins, now):
    """The pin that a record's backup has, or None."""
    if not can_be(record['backup_metadata']):
        return None
    held = [pins.get(_where(action)) for action in actions(record, HOLD, {})]
    if not all(held) or (held[0].until and held[0].until.timestamp() <= now):
        return None
    return held[0]


def _where(action):
    return tuple(action.get(key) or '' for key in PLACE), _moment(action.get('restore_from_date'))


def _moment(text):
    """A moment as this dashboard writes it; others are not understood."""
    moment = schedules.parse(text) if isinstance(text, str) and text.endswith('Z') else None
    return moment.astimezone(datetime.timezone.utc) if moment else None
