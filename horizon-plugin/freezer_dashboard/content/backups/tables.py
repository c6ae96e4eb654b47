"""The table of backups: points in time that can be restored."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from django.utils.translation import pgettext_lazy
from horizon import tables

from freezer_dashboard import api
from freezer_dashboard import columns
from freezer_dashboard import coverage
from freezer_dashboard import facts
from freezer_dashboard import kinds
from freezer_dashboard import pins
from freezer_dashboard import saying
from freezer_dashboard import searching
from freezer_dashboard import times

# Modes that the forms of this dashboard can restore.
RESTORABLE = ('nova', 'cinder', 'cindernative', 'glance', 'project', 'fs')
STATUSES = (
    ('available', pgettext_lazy('status of a backup', 'Available')),
    ('incomplete', pgettext_lazy('status of a backup', 'Incomplete')),
    ('creating', pgettext_lazy('status of a backup', 'Creating')),
    ('error', pgettext_lazy('status of a backup', 'Error')),
    ('deleting', pgettext_lazy('status of a backup', 'Deleting')),
    ('deleted', pgettext_lazy('status of a backup', 'Deleted')),
)


class Backup:
    """A record's document as a row."""

    def __init__(self, document, known=None, pin=None):
        metadata = document['backup_metadata']
        self.document = document
        self.metadata = metadata
        self.id = document['backup_id']
        self.name = metadata.get('backup_name') or self.id
        self.mode = kinds.mode_of(metadata)
        self.kind = kinds.MODES.get(self.mode, self.mode)
        self.what = kinds.resource(metadata, known) or self.name
        self.hostname = metadata.get('hostname') or '-'
        self.time_stamp = metadata.get('time_stamp') or 0
        self.moment = times.shown(self.time_stamp)
        level = metadata.get('curr_backup_level')
        self.level = level if level not in (None, '') else '-'
        self.stored = facts.people(metadata.get('bytes_stored'))
        self.status = document.get('status') or 'available'
        if self.status == 'available' and not coverage.is_good(document):
            self.status = 'incomplete'
        self.encrypted = _('yes') if metadata.get('encrypted') is True else _('no')
        self.pin = pin

    @property
    def is_restorable(self):
        return self.mode in RESTORABLE and self.status in ('available', 'incomplete')

    @property
    def is_pinnable(self):
        return self.is_restorable and pins.can_be(self.metadata)

    @property
    def pinned(self):
        """How long it is pinned, for a table."""
        if self.pin is None:
            return '-'
        if self.pin.until is None:
            return _('until let go')
        return _('until %s') % times.shown(self.pin.until.timestamp())

    def searched(self):
        return (self.name, self.what, self.kind, self.hostname, self.moment, self.id)


class Restore(tables.LinkAction):
    name = 'restore'
    verbose_name = _('Restore')
    url = 'horizon:project:backup_backups:restore'
    icon = 'undo'

    def allowed(self, request, backup=None):
        return backup is None or backup.is_restorable


class Check(tables.LinkAction):
    name = 'check'
    verbose_name = _('Check')
    url = 'horizon:project:backup_backups:check'
    classes = ('ajax-modal',)
    icon = 'check'

    def allowed(self, request, backup=None):
        return backup is None or backup.is_restorable


class Pin(tables.LinkAction):
    name = 'pin'
    verbose_name = pgettext_lazy('keep a backup from being removed', 'Pin')
    url = 'horizon:project:backup_backups:pin'
    classes = ('ajax-modal',)
    icon = 'thumb-tack'

    def allowed(self, request, backup=None):
        return backup is None or (backup.is_pinnable and backup.pin is None)


class Unpin(tables.LinkAction):
    name = 'unpin'
    verbose_name = pgettext_lazy('a pinned backup', 'Let Go')
    url = 'horizon:project:backup_backups:unpin'
    classes = ('ajax-modal',)
    icon = 'unlink'

    def allowed(self, request, backup=None):
        # Only where a pin is known: an agent lets go the newest that is held up to this time.
        return backup is None or backup.pin is not None


class DeleteOne(tables.LinkAction):
    """A page says what it means before it is done."""

    name = 'delete_one'
    verbose_name = _('Delete Record')
    url = 'horizon:project:backup_backups:delete'
    classes = ('ajax-modal', 'btn-danger')
    icon = 'trash'


class Delete(saying.Told, tables.DeleteAction):
    failed = _('Not deleted')
    help_text = _('Only the record goes: the backup cannot be chosen here any more. What is '
                  'stored stays until a job removes old backups of that name.')

    @staticmethod
    def action_present(count):
        return ngettext_lazy('Delete Record', 'Delete Records', count)

    @staticmethod
    def action_past(count):
        return ngettext_lazy('Deleted Record', 'Deleted Records', count)

    def act(self, request, backup_id):
        api.backup_delete(request, backup_id)


class BackupsTable(tables.DataTable):
    moment = columns.Column('moment', verbose_name=_('Point in Time'), classes=('text-nowrap',),
                            link='horizon:project:backup_backups:detail')
    kind = columns.Column('kind', verbose_name=_('Kind'))
    what = columns.WrappingColumn('what', verbose_name=_('Of'))
    name = columns.Column('name', verbose_name=_('Backup Name'))
    level = columns.Column('level', verbose_name=_('Level'),
                           help_text=_('0 is a full backup; the others build on those before.'))
    stored = columns.Column('stored', verbose_name=_('Stored'))
    encrypted = columns.Column('encrypted', verbose_name=_('Encrypted'))
    status = columns.Column('status', verbose_name=_('Status'), display_choices=STATUSES)
    pinned = columns.Column('pinned', verbose_name=_('Pinned'))

    def get_object_display(self, backup):
        return '%s, %s' % (backup.what, backup.moment)

    class Meta:
        name = 'backups'
        verbose_name = _('Backups')
        table_actions = (searching.Filter, Delete)
        row_actions = (Restore, Check, Pin, Unpin, DeleteOne)
