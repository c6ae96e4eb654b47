"""Which servers and volumes of a project have a recent good backup. Pure.

Only what a record says counts: a job that will run is not a backup. A record is good when
nothing could not be read; it is recent when it is not older than the limit given.
"""

import collections

from freezer_dashboard import kinds

PROTECTED = 'protected'
INCOMPLETE = 'incomplete'
OUTDATED = 'outdated'
UNPROTECTED = 'unprotected'

Covered = collections.namedtuple('Covered', 'kind id name state time_stamp')


def saved_resources(metadata):
    """Pairs of kind and id of what a record holds."""
    found = set()
    for slug, keys in (('server', ('nova_inst_id',)),
                       ('volume', ('cinder_vol_id', 'cindernative_vol_id'))):
        found.update((slug, metadata[key]) for key in keys if metadata.get(key))
    servers = metadata.get('servers')
    if isinstance(servers, dict):
        found.update(('server', server) for server in servers)
    members = metadata.get('members')
    if kinds.mode_of(metadata) == 'project' and isinstance(members, list):
        found.update((member['kind'], member['id']) for member in members
                     if isinstance(member, dict) and member.get('kind') in ('server', 'volume') and
                     member.get('id'))
    return found


def is_good(record):
    metadata = record['backup_metadata']
    # Some problems are only notices; where the record does not tell, something is missing.
    is_partial = metadata.get('is_partial', bool(metadata.get('problem_count')))
    return (record.get('status', 'available') == 'available' and not is_partial and
            not metadata.get('failed'))


def newest(records):
    """The newest usable record of each resource, and the newest good one's time."""
    best = {}
    for record in records:
        if record.get('status', 'available') != 'available':
            continue
        time_stamp = record['backup_metadata'].get('time_stamp') or 0
        for resource in saved_resources(record['backup_metadata']):
            any_at, good_at = best.get(resource, (0, 0))
            best[resource] = (max(any_at, time_stamp),
                              max(good_at, time_stamp) if is_good(record) else good_at)
    return best


def coverage(servers, volumes, records, now, recent_seconds):
    """What is known of each server and volume, the unprotected ones first."""
    best = newest(records)
    rows = []
    for kind, resources in (('server', servers), ('volume', volumes)):
        for resource_id, name in resources:
            any_at, good_at = best.get((kind, resource_id), (0, 0))
            if good_at >= now - recent_seconds:
                state, at = PROTECTED, good_at
            elif any_at >= now - recent_seconds:
                state, at = INCOMPLETE, any_at
            elif any_at:
                state, at = OUTDATED, any_at
            else:
                state, at = UNPROTECTED, None
            rows.append(Covered(kind, resource_id, name or resource_id, state, at))
    order = (UNPROTECTED, OUTDATED, INCOMPLETE, PROTECTED)
    return sorted(rows, key=lambda row: (order.index(row.state), row.kind, str(row.name)))


def stored_by_day(records, now, days):
    """Bytes that the records of the last days add up to at the end of each day (UTC)."""
    today = now // 86400
    first = today - days + 1
    added = [0] * days
    for record in records:
        metadata = record['backup_metadata']
        day = (metadata.get('time_stamp') or 0) // 86400 - first
        stored = metadata.get('bytes_stored')
        if day >= 0 and isinstance(stored, int):
            added[min(day, days - 1)] += stored
    total, points = 0, []
    for offset, stored in enumerate(added):
        total += stored
        points.append(((first + offset) * 86400, total))
    return points
