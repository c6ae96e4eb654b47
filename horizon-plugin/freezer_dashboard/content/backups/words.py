"""What a restore or a check does, in words. Pure."""

from django.utils.translation import gettext_lazy as _

from freezer_dashboard import facts
from freezer_dashboard import kinds

TARGETS = {'new': _('a new volume'), 'over': _('the old volume'),
           'replace': _("a new volume, attached in the old one's place")}
LABELS = (
    ('backup_name', _('Backup')), ('hostname', _('Saved on')),
    ('restore_from_date', _('Point in Time (UTC)')),
    ('cindernative_backup_id', _('Cinder Backup')),
    ('storage', _('Storage')), ('container', _('Container')),
    ('restore_abs_path', _('Into the Folder')), ('restore_name', _('New Name')),
    ('nova_restore_network', _('Networks')), ('nova_restore_flavor', _('Flavor')),
    ('project_select', _('Only')), ('project_map', _('In the Place of Others')),
)


def restore(action):
    """Rows of the page that asks for confirmation."""
    mode = kinds.mode_of(action)
    rows = [(_('Kind'), kinds.MODES.get(mode, mode))]
    rows.extend((label, action[key]) for key, label in LABELS if action.get(key))
    if mode == 'cinder':
        rows.append((_('Into'), TARGETS[action.get('cinder_restore_to', 'new')]))
    elif mode == 'cindernative':
        rows.append((_('Into'), TARGETS['over' if action.get('overwrite') else 'new']))
    return rows


def warning(action):
    """What is lost by it, if anything."""
    mode = kinds.mode_of(action)
    if mode == 'fs':
        if action.get('overwrite'):
            return _('Files in the folder that have the name of a saved file are replaced.')
        return None
    if action.get('cinder_restore_to') == 'over' or (
            mode == 'cindernative' and action.get('overwrite')):
        return _('All that is on the volume now is lost.')
    if action.get('cinder_restore_to') == 'replace':
        return _('The server that uses the old volume gets the new one in its place. The old '
                 'one stays, detached.')
    return None


def check(mode):
    if mode == 'fs':
        return _('All of the backup, with the backups it builds on, is fetched, decrypted and '
                 'read against its checksums. Nothing is written.')
    return _('The agent looks whether the backup is there with all that it builds on, and what '
             'a restore would make. Data are not read, and nothing is written.')


def of_lists(metadata):
    """What a record has as lists and objects, as titles with lines."""
    found = []
    for key, value in metadata.items():
        if isinstance(value, dict) and value:
            found.append((key, ['%s: %s' % (name, _line(inner))
                                for name, inner in value.items()]))
        elif isinstance(value, list) and value:
            found.append((key, [_line(inner) for inner in value]))
    return found


def _line(value):
    if isinstance(value, dict):
        return ', '.join('%s: %s' % pair for pair in facts.of(value))
    return str(value)
