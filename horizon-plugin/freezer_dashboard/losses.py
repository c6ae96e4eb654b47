"""What it means to delete a record, told before it is done. Pure."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from freezer_dashboard import coverage
from freezer_dashboard import facts
from freezer_dashboard import kinds
from freezer_dashboard import pins


def of_record(record, others, pin):
    """Sentences; `others` are records of the same name, which may have this one among them."""
    metadata = record['backup_metadata']
    others = [other for other in others if other['backup_id'] != record['backup_id'] and
              _place(other) == _place(record)]
    told = [_('This point in time cannot be chosen here any more: not to be restored, checked or '
              'pinned.')]
    if coverage.is_good(record) and not any(coverage.is_good(other) for other in others):
        told.append(_('It is the only complete backup of this name that has a record.'))
    newer = [other for other in others if _builds_on(other['backup_metadata'], metadata)]
    if newer:
        told.append(ngettext(
            '%d newer backup builds on it. It can still be restored, as the data stay.',
            '%d newer backups build on it. They can still be restored, as the data stay.',
            len(newer)) % len(newer))
    if kinds.mode_of(metadata) == 'cindernative':
        told.append(_('The backup in Cinder stays, and can be deleted there.'))
    else:
        told.append(_('What is stored (%(size)s in %(container)s) stays, until a job removes old '
                      'backups of this name. It does not count for the limit of this project any '
                      'more.') % {'size': facts.people(metadata.get('bytes_stored')),
                                  'container': metadata.get('container') or '-'})
    if pin is not None:
        told.append(_('It is pinned: no job removes its data, and without the record nobody can let '
                      'it go here. Let it go first if the data are to be removed one day.'))
    return told


def _place(record):
    return tuple(record['backup_metadata'].get(key) or '' for key in pins.PLACE)


def _builds_on(metadata, older):
    """Whether one backup needs another: it is a later level of the same chain."""
    chain, of_older = (_chain(one) for one in (metadata, older))
    return (chain is not None and chain == of_older and
            (metadata.get('curr_backup_level') or 0) > (older.get('curr_backup_level') or 0))


def _chain(metadata):
    return metadata.get('chain_time_stamp') or (
        metadata.get('time_stamp') if not metadata.get('curr_backup_level') else None)
