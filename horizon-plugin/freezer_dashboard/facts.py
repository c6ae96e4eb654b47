"""Documents of the service as pairs for people: what is set, in the service's own words."""

from django.utils.translation import gettext_lazy as _

from freezer_dashboard import times

# What is never shown, though the service may hold it because a user put it there.
SECRETS = ('password', 'secret', 'access_key')
MOMENTS = ('time_stamp', 'timestamp', 'chain_time_stamp', 'chain_timestamp', 'time_created',
           'time_started', 'time_ended')
# What most people look at has words of its own; other keys are shown as they are.
LABELS = {
    'time_stamp': _('Point in time'), 'timestamp': _('Point in time'),
    'chain_time_stamp': _('Chain begun'), 'chain_timestamp': _('Chain begun'),
    'hbn': _('Chain'), 'backup_name': _('Backup name'), 'hostname': _('Host'),
    'level': _('Level'), 'curr_backup_level': _('Level'), 'level_reason': _('Why this level'),
    'bytes_read': _('Read'), 'bytes_stored': _('Stored'), 'bytes_written': _('Written'),
    'bytes_fetched': _('Fetched'), 'bytes_pruned': _('Removed'), 'files': _('Entries'),
    'already_there': _('Files there already'),
    'problem_count': _('Files with problems'), 'is_partial': _('Incomplete'),
    'dry_run': _('Without writing'), 'target': _('Into'), 'restore_abs_path': _('Into'),
    'path_to_backup': _('Path'), 'storage': _('Storage'), 'container': _('Container'),
    'compression': _('Compression'), 'encrypted': _('Encrypted'), 'folder': _('Stored as'),
    'incremental': _('Only what has changed'), 'max_level': _('Increments before a full backup'),
    'keep_last': _('Backups to keep'), 'restore_from_date': _('Point in time (UTC)'),
    'schedule_interval': _('Interval'), 'schedule_date': _('Date'),
    'schedule_start_date': _('First time'), 'schedule_end_date': _('Not after'),
    'time_created': _('Created'), 'time_started': _('Begun'), 'time_ended': _('Ended'),
    'status': _('Status'), 'result': _('Result'), 'event': _('Asked for'),
    'action': _('Action'), 'mode': _('Mode'), 'cinder_vol_id': _('Volume'),
    'volume_name': _('Volume name'), 'nova_inst_id': _('Server'), 'server_name': _('Server name'),
    'consistency': _('Consistency'), 'segments': _('Segments'), 'restore_name': _('New name'),
}


def of(document):
    """Pairs of label and text of what is set, secrets hidden."""
    pairs = []
    for key, value in document.items():
        if value in (None, '', [], {}, -1) or isinstance(value, (dict, list)):
            continue
        pairs.append((LABELS.get(key, key), _text(key, value)))
    return pairs


def _text(key, value):
    if any(word in key for word in SECRETS):
        return _('(hidden)')
    if key in MOMENTS and times.moment(value):
        return times.shown(value)
    if key.startswith('bytes_') and isinstance(value, int):
        return people(value)
    if isinstance(value, bool):
        return _('yes') if value else _('no')
    return str(value)


def people(size):
    """Bytes as people read them; a dash where nothing is known."""
    if not isinstance(size, (int, float)) or isinstance(size, bool):
        return '-'
    for unit in ('B', 'KiB', 'MiB', 'GiB'):
        if abs(size) < 1024:
            return '%d %s' % (size, unit) if unit == 'B' else '%.1f %s' % (size, unit)
        size /= 1024
    return '%.1f TiB' % size
