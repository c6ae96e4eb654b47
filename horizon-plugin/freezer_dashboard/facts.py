"""Documents of the service as pairs for people: what is set, in the service's own words."""

from django.utils.translation import gettext as _

from freezer_dashboard import times

# What is never shown, though the service may hold it because a user put it there.
SECRETS = ('password', 'secret', 'access_key')
MOMENTS = ('time_stamp', 'chain_time_stamp', 'time_created', 'time_started', 'time_ended')


def of(document):
    """Pairs of key and text of what is set, secrets hidden."""
    pairs = []
    for key, value in document.items():
        if value in (None, '', [], {}, -1) or isinstance(value, (dict, list)):
            continue
        pairs.append((key, _text(key, value)))
    return pairs


def _text(key, value):
    if any(word in key for word in SECRETS):
        return _('(hidden)')
    if key in MOMENTS and times.moment(value):
        return times.shown(value)
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
