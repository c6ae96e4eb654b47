"""The table of agents."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from horizon import tables

from freezer_dashboard import api
from freezer_dashboard import columns
from freezer_dashboard import kinds
from freezer_dashboard import saying
from freezer_dashboard import schedules
from freezer_dashboard import times

LINKS = {'poll': _('polls the API'), 'http': _('HTTPS'), 'amqp': _('message bus')}
# Agents tell of themselves every few seconds; this long without a word is worth a look.
SILENT_SECONDS = 120


class Agent:
    """A client's document as a row."""

    def __init__(self, document, project_id):
        client = document['client']
        self.id = client['client_id']
        self.name = self.id
        self.hostname = client.get('hostname') or '-'
        self.description = client.get('description') or ''
        self.is_own = document['project_id'] == project_id
        self.serves = _('All projects') if client['is_central'] else _('This project')
        self.link = LINKS.get(client.get('link'), client.get('link'))
        self.version = client.get('agent_version') or '-'
        self.modes = [str(kinds.MODES.get(mode, mode))
                      for mode in client.get('supported_modes') or []] or [_('all')]
        self.storages = ', '.join(client.get('supported_storages') or []) or _('all')
        seen = client.get('last_seen_at', -1)
        self.silence = max(0, times.now() - seen) if seen > 0 else None
        # One that polls says nothing of itself between its runs.
        self.is_away = client.get('link') != 'poll' and (
            self.silence is None or self.silence > SILENT_SECONDS)

    @property
    def seen(self):
        if self.silence is None:
            return _('never')
        if self.silence <= SILENT_SECONDS:
            return _('now')
        return _('%s ago') % schedules.duration(self.silence)


class Delete(saying.Told, tables.DeleteAction):
    failed = _('Not removed')
    help_text = _('The agent is forgotten. When it still runs it registers again. Jobs that '
                  'name it cannot run without it.')

    @staticmethod
    def action_present(count):
        return ngettext_lazy('Remove Agent', 'Remove Agents', count)

    @staticmethod
    def action_past(count):
        return ngettext_lazy('Removed Agent', 'Removed Agents', count)

    def act(self, request, client_id):
        api.client_delete(request, client_id)

    def allowed(self, request, agent=None):
        return agent is None or agent.is_own


class AgentsTable(tables.DataTable):
    name = columns.Column('name', verbose_name=_('Agent'))
    hostname = columns.Column('hostname', verbose_name=_('Host'))
    seen = columns.Column('seen', verbose_name=_('Seen'))
    serves = columns.Column('serves', verbose_name=_('Serves'))
    link = columns.Column('link', verbose_name=_('Connected by'))
    version = columns.Column('version', verbose_name=_('Version'))
    modes = columns.Column('modes', verbose_name=_('Can Save'),
                           filters=(lambda modes: ', '.join(str(mode) for mode in modes),))
    storages = columns.Column('storages', verbose_name=_('Storages'))

    class Meta:
        name = 'agents'
        verbose_name = _('Agents')
        table_actions = (tables.NameFilterAction, Delete)
        row_actions = (Delete,)
