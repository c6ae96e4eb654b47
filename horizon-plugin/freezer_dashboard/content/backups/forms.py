"""Forms about a backup: bringing it back (where to, in what place, under what name), checking it,
pinning it, letting it go, deleting its record."""

from django import shortcuts
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from horizon import forms
from horizon import messages
from openstack_dashboard import api as openstack

from freezer_dashboard import api
from freezer_dashboard import choices
from freezer_dashboard import documents
from freezer_dashboard import kinds
from freezer_dashboard import pins
from freezer_dashboard import restores
from freezer_dashboard import saying
from freezer_dashboard import schedules
from freezer_dashboard.content.jobs import when


# Beginning of the fields that say what takes the place of a network.
NETWORK = 'network_'


class BackupForm(saying.Asked, forms.SelfHandlingForm):
    """Who works, and how he gets at the backup."""

    pass_file = forms.CharField(
        label=_('File with the Pass Phrase'), max_length=4096,
        help_text=_("The backup is encrypted. The file is on the agent's machine."))
    agent = forms.ChoiceField(label=_('Agent'), help_text=_('Who does the work.'))
    # The action that an agent must know; older ones do not know all of them.
    verb = None
    # Whether the data are read: that takes the pass phrase.
    is_reading = True

    def __init__(self, request, *args, **kwargs):
        self.record = kwargs.pop('record')
        self.access = kwargs.pop('access')
        super().__init__(request, *args, **kwargs)
        metadata = self.record['backup_metadata']
        self.fields['agent'].choices = (
            choices.of_agents(request, kinds.mode_of(metadata), self.verb) or
            [('', _('(no agent can do this)'))])
        if self.is_reading and metadata.get('encrypted') is True:
            self.fields['pass_file'].initial = self.access.get('encrypt_pass_file')
            self.fields['pass_file'] = self.fields.pop('pass_file')
        else:
            del self.fields['pass_file']
        # Who is asked last.
        self.fields['agent'] = self.fields.pop('agent')

    def reach(self, data):
        """Keys of the action that say how to get at the backup."""
        return dict(self.access, encrypt_pass_file=data.get('pass_file'))


class RestoreForm(BackupForm):
    """What all kinds have; a subclass a kind says what it takes beside."""

    def wishes(self, data):
        """Keys of the action that these fields mean."""
        return {}

    def act(self, request, data):
        """Nothing is done yet: the next page shows what will be, and asks."""
        action = documents.restore_action(self.record, dict(self.reach(data),
                                                            **self.wishes(data)))
        return shortcuts.redirect(restores.confirm_url(data['agent'], action))


class FilesForm(RestoreForm):
    folder = forms.CharField(label=_('Into the Folder'), max_length=4096,
                             help_text=_('On the machine of the agent. It is made when missing.'))
    overwrite = forms.BooleanField(
        label=_('The folder may have files in it'), required=False,
        help_text=_('Files of the same name are replaced; others stay.'))

    def clean_folder(self):
        folder = self.cleaned_data['folder']
        if not folder.startswith('/'):
            raise forms.ValidationError(_('Give the whole path, from / on.'))
        return folder

    def wishes(self, data):
        return {'restore_abs_path': data['folder'], 'overwrite': data['overwrite'] or None}


class VolumeForm(RestoreForm):
    target = forms.ChoiceField(
        label=_('Into'), choices=[
            ('new', _('A new volume')),
            ('over', _('The old volume: its content is replaced')),
            ('replace', _("A new volume that is attached in the old one's place")),
        ], widget=forms.Select(attrs={'class': 'switchable', 'data-slug': 'target'}))
    name = forms.CharField(
        label=_('Name of the New Volume'), max_length=255, required=False,
        widget=forms.TextInput(attrs=when.switched('target', new=_('Name of the New Volume'),
                                                   replace=_('Name of the New Volume'))))

    def wishes(self, data):
        name = data['name'] if data['target'] != 'over' else None
        return {'cinder_restore_to': data['target'], 'restore_name': name}


class NativeForm(RestoreForm):
    target = forms.ChoiceField(label=_('Into'), choices=[
        ('new', _('A new volume')), ('over', _('The old volume: its content is replaced'))])

    def wishes(self, data):
        return {'overwrite': data['target'] == 'over'}


class NamedForm(RestoreForm):
    """Images: always a new one."""

    name = forms.CharField(label=_('Name of the New Image'), max_length=255, required=False)

    def wishes(self, data):
        return {'restore_name': data['name']}


class ServerForm(RestoreForm):
    server = forms.ChoiceField(label=_('Server'))
    name = forms.CharField(label=_('Name of the New Server'), max_length=255, required=False)
    network = forms.ChoiceField(
        label=_('Network'), required=False,
        help_text=_('For all its interfaces; or say below which takes the place of which.'))
    mapping = forms.CharField(
        label=_('Networks in the Place of Others'), max_length=2000, required=False,
        help_text=_('old=new, with commas between; each by name or ID.'))
    flavor = forms.ChoiceField(label=_('Flavor'), required=False)

    def __init__(self, request, *args, **kwargs):
        super().__init__(request, *args, **kwargs)
        metadata = self.record['backup_metadata']
        servers = metadata.get('servers') or {}
        if servers:
            self.fields['server'].choices = [
                (one, (saved or {}).get('server_name') or one) for one, saved in servers.items()]
        else:
            del self.fields['server']
        as_saved = [('', _('As it was saved'))]
        networks = _found(
            lambda: [(net.id, net.name_or_id) for net in
                     openstack.neutron.network_list_for_tenant(request, request.user.project_id)])
        self.fields['network'].choices = as_saved + networks
        self.fields['flavor'].choices = as_saved + _found(
            lambda: [(flavor.id, flavor.name) for flavor in openstack.nova.flavor_list(request)])
        ids = [metadata['nova_inst_id']] if metadata.get('nova_inst_id') else list(servers)
        self.old_networks = _found(lambda: _networks_of(request, ids))
        if len(self.old_networks) < 2:
            # One field for all interfaces says it.
            self.old_networks = []
        shown = dict(networks)
        for old in self.old_networks:
            self.fields[NETWORK + old] = forms.ChoiceField(
                label=_('In the Place of %s') % shown.get(old, old), required=False,
                choices=as_saved + [pair for pair in networks if pair[0] != old])

    def clean(self):
        data = super().clean()
        if data.get('network') and self.pairs(data):
            raise forms.ValidationError(
                _('Choose either one network for all interfaces, or others in the place of some.'))
        return data

    def pairs(self, data):
        """Which network takes the place of which."""
        pairs = ['%s=%s' % (old, data[NETWORK + old]) for old in self.old_networks
                 if data.get(NETWORK + old)]
        return ','.join(pairs + [data['mapping']] * bool(data.get('mapping')))

    def wishes(self, data):
        wishes = {'restore_name': data['name'], 'nova_restore_flavor': data['flavor'],
                  'nova_restore_network': self.pairs(data) or data['network']}
        if 'server' in self.fields:
            wishes.update(documents.of_server(self.record['backup_metadata'], data['server']))
        return wishes


class ProjectForm(RestoreForm):
    select = forms.CharField(
        label=_('Only These'), max_length=2000, required=False,
        help_text=_('kind or kind/name-or-id, with commas between, and what they need: '
                    'volume/data, network. Empty: all that is gone. Or let the agent plan first, '
                    'and choose from the plan.'))
    mapping = forms.CharField(
        label=_('In the Place of Others'), max_length=2000, required=False,
        help_text=_('What takes the place of an old resource: kind/old=new, with commas '
                    'between: network/public=<ID>.'))

    def wishes(self, data):
        return {'project_select': data['select'], 'project_map': data['mapping']}


BY_MODE = {'fs': FilesForm, 'cinder': VolumeForm, 'cindernative': NativeForm,
           'glance': NamedForm, 'nova': ServerForm, 'project': ProjectForm}


def _networks_of(request, server_ids):
    """The networks on which a server is now; none when it is gone, or one of several."""
    if len(server_ids) != 1:
        return []
    ports = openstack.neutron.port_list(request, device_id=server_ids[0])
    return list(dict.fromkeys(port.network_id for port in ports))


def _found(listed):
    try:
        return listed()
    except Exception:
        # A service that does not answer leaves what was saved as the only choice.
        return []


class RunForm(BackupForm):
    """What is done at once, by a job that runs once; the next page is that of its run."""

    title = None

    def actions(self, request, data):
        raise NotImplementedError

    def act(self, request, data):
        name = str(self.title % self.record['backup_metadata'].get('backup_name'))
        job = documents.once(name, data['agent'], *self.actions(request, data))
        job_id = api.job_create(request, job)
        return shortcuts.redirect(reverse('horizon:project:backup_runs:follow', args=(job_id,)))


class CheckForm(RunForm):
    """A restore that writes nothing."""

    title = _('Check of %s')

    def actions(self, request, data):
        can_verify = choices.has_action(request, data['agent'], 'verify')
        if not can_verify and not choices.is_driven(request, data['agent']):
            raise api.ServiceError(restores.POLLS)
        return [restores.check(self.record, self.reach(data), can_verify)]


class PinForm(RunForm):
    """Keeps a backup, and what it is built on, from being removed."""

    reason = forms.CharField(label=_('Why'), max_length=1000,
                             help_text=_('For those who wonder later why it is still there.'))
    until = when.moment_field(_('Until'))
    title = _('Pin of %s')
    verb = pins.HOLD
    is_reading = False

    def clean_until(self):
        until = self.cleaned_data['until']
        if until and until <= timezone.now():
            raise forms.ValidationError(_('The end must be in the future.'))
        return until

    def actions(self, request, data):
        wishes = dict(self.reach(data), hold_reason=data['reason'], hold_by=request.user.username,
                      hold_until=schedules.utc(data['until']) if data['until'] else None)
        return pins.actions(self.record, pins.HOLD, wishes)


class UnpinForm(RunForm):
    title = _('Letting go of %s')
    verb = pins.RELEASE
    is_reading = False

    def actions(self, request, data):
        return pins.actions(self.record, pins.RELEASE, self.reach(data))


class DeleteForm(saying.Asked, forms.SelfHandlingForm):
    """Asks nothing: what it means is said beside the button."""

    def __init__(self, request, *args, **kwargs):
        self.backup_id = kwargs.pop('backup_id')
        super().__init__(request, *args, **kwargs)

    def act(self, request, data):
        api.backup_delete(request, self.backup_id)
        messages.success(request, _('Deleted the record.'))
        return True
