"""Documents of the service as pairs for people: what is set, in their words. Pure."""

from django.utils.translation import gettext_lazy as _

from freezer_dashboard import kinds
from freezer_dashboard import labels
from freezer_dashboard import times

# What is never shown, though the service may hold it because a user put it there.
SECRETS = ('password', 'secret', 'access_key')
MOMENTS = ('time_stamp', 'timestamp', 'chain_time_stamp', 'chain_timestamp', 'time_created',
           'time_started', 'time_ended', 'since_secs', 'until_secs', 'newest_secs', 'taken_at')
# Sizes whose keys do not begin with `bytes_`.
SIZES = ('bytes', 'size_bytes', 'data_bytes', 'image_bytes')
# Values of a few words, by their keys.
TARGETS = {'new': _('a new volume'), 'over': _('the old volume'),
           'replace': _("a new volume, attached in the old one's place")}
VALUES = {'action': kinds.ACTIONS, 'mode': kinds.MODES, 'backup_media': kinds.MODES,
          'cinder_restore_to': TARGETS}


def of(document, values=None):
    """Pairs of label and text of what is set, secrets hidden; `values` has words for values, by key."""
    values = dict(VALUES, **(values or {}))
    pairs = []
    for key, value in document.items():
        if value in (None, '', [], {}, -1) or isinstance(value, (dict, list)):
            continue
        words = values.get(key, {}).get(value) if isinstance(value, str) else None
        pairs.append((label(key), words or _text(key, value)))
    return pairs


def label(key):
    """What a key is called; one that is not known here, as it may be a name or an id, stays as it is."""
    return labels.LABELS.get(key, key)


def _text(key, value):
    if any(word in key for word in SECRETS):
        return _('(hidden)')
    if key in MOMENTS and times.moment(value):
        return times.shown(value)
    if (key.startswith('bytes_') or key in SIZES) and isinstance(value, int):
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
