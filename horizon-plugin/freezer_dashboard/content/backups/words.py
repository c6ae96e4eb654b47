"""What a restore, a check, a pin or a removal does, in words. Pure."""

from django.utils.translation import gettext_lazy as _

from freezer_dashboard import facts
from freezer_dashboard import kinds
from freezer_dashboard import retention

LABELS = (
    ('backup_name', _('Backup')), ('hostname', _('Saved on')),
    ('restore_from_date', _('Point in Time (UTC)')),
    ('cindernative_backup_id', _('Cinder Backup')),
    ('storage', _('Storage')), ('container', _('Container')), ('ssh_host', _('Machine')),
    ('ftp_host', _('Machine')),
    ('encrypt_pass_file', _('Pass Phrase in')),
    ('restore_abs_path', _('Into the Folder')), ('restore_name', _('New Name')),
    ('nova_restore_network', _('Networks')), ('nova_restore_flavor', _('Flavor')),
    ('project_select', _('Only')), ('project_map', _('In the Place of Others')),
)


# What the page that asks for confirmation calls the thing, by action: title, caption, button, and the
# names of the jobs that plan and do it.
ASKED = {
    'restore': (_('Restore: What Will Be Done'), _('What will be restored, and where to'),
                _('Restore Now'), _('Plan of a restore of %s'), _('Restore of %s')),
    'admin': (_('Remove Old Backups: What Will Be Done'), _('What will be removed, and by which rules'),
              _('Remove Now'), _('Plan of a removal of old backups of %s'),
              _('Removal of old backups of %s')),
}


def asked(action):
    """The words for an action, as a page takes them."""
    return dict(zip(('title', 'caption', 'go', 'planned', 'done'), ASKED[action['action']]))


def rows(action):
    """Rows of the page that asks for confirmation."""
    mode = kinds.mode_of(action)
    found = [(_('Kind'), kinds.MODES.get(mode, mode))]
    found.extend((label, action[key]) for key, label in LABELS if action.get(key))
    if action['action'] == 'admin':
        found.extend([(_('Of'), kinds.resource(action))] if kinds.resource(action) else [])
        found.extend((label, action[key]) for key, label in retention.RULES + retention.OTHERS
                     if action.get(key) not in (None, ''))
    elif mode == 'cinder':
        found.append((_('Into'), facts.TARGETS[action.get('cinder_restore_to', 'new')]))
    elif mode == 'cindernative':
        found.append((_('Into'), facts.TARGETS['over' if action.get('overwrite') else 'new']))
    return found


def warning(action):
    """What is lost by it, if anything."""
    mode = kinds.mode_of(action)
    if action.get('action') == 'admin':
        return _('Backups that the rules let go are removed for good, with their data. Pinned ones, '
                 'and the last that can be restored, stay.')
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


PIN = _('No job removes this backup, nor those that it builds on, until the time given or until '
        'somebody lets it go. Freezer in Python knows nothing of pins.')
UNPIN = _('From then on jobs that remove old backups may remove this one, too.')


def check(mode):
    if mode == 'fs':
        return _('All of the backup, with the backups it builds on, is fetched, decrypted and '
                 'read against its checksums. Nothing is written.')
    if mode == 'cindernative':
        return _('The agent looks whether the backup is there. Data are not read, as only Cinder '
                 'can, and nothing is written.')
    return _('All of the backup, with the backups it builds on, is fetched and read against its '
             'checksums. An agent that is too old for this only looks whether all is there. '
             'Nothing is written.')


def of_lists(metadata):
    """What a record has as lists and objects, as titles with lines."""
    found = []
    for key, value in metadata.items():
        if isinstance(value, dict) and value:
            found.append((facts.label(key), ['%s: %s' % (facts.label(name), _line(inner))
                                             for name, inner in value.items()]))
        elif isinstance(value, list) and value:
            found.append((facts.label(key), [_line(inner) for inner in value]))
    return found


def _line(value):
    if isinstance(value, dict):
        return ', '.join('%s: %s' % pair for pair in facts.of(value))
    return str(value)
