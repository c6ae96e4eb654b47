"""Forms that bring a backup back: where to, in what place, under what name."""

from django import shortcuts
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from horizon import forms
from openstack_dashboard import api as openstack

from freezer_dashboard import api
from freezer_dashboard import choices
from freezer_dashboard import documents
from freezer_dashboard import kinds
from freezer_dashboard import restores
from freezer_dashboard.content.jobs import when


class RestoreForm(forms.SelfHandlingForm):
    """What all kinds have; a subclass a kind says what it takes beside."""

    agent = forms.ChoiceField(label=_('Agent'), help_text=_('Who does the work.'))

    def __init__(self, request, *args, **kwargs):
        self.record = kwargs.pop('record')
        super().__init__(request, *args, **kwargs)
        mode = kinds.mode_of(self.record['backup_metadata'])
        self.fields['agent'].choices = (choices.of_agents(request, mode) or
                                        [('', _('(no agent can do this)'))])
        # Who is asked last.
        self.fields['agent'] = self.fields.pop('agent')

    def wishes(self, data):
        """Keys of the action that these fields mean."""
        return {}

    def handle(self, request, data):
        """Nothing is done yet: the next page shows what will be, and asks."""
        action = documents.restore_action(self.record, self.wishes(data))
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
        servers = self.record['backup_metadata'].get('servers') or {}
        if servers:
            self.fields['server'].choices = [
                (one, (saved or {}).get('server_name') or one) for one, saved in servers.items()]
        else:
            del self.fields['server']
        as_saved = [('', _('As it was saved'))]
        self.fields['network'].choices = as_saved + _found(
            lambda: [(net.id, net.name_or_id) for net in
                     openstack.neutron.network_list_for_tenant(request, request.user.project_id)])
        self.fields['flavor'].choices = as_saved + _found(
            lambda: [(flavor.id, flavor.name) for flavor in openstack.nova.flavor_list(request)])

    def wishes(self, data):
        wishes = {'restore_name': data['name'], 'nova_restore_flavor': data['flavor'],
                  'nova_restore_network': data['mapping'] or data['network']}
        if 'server' in self.fields:
            saved = self.record['backup_metadata']['servers'][data['server']] or {}
            wishes.update(nova_inst_id=data['server'], backup_name=saved.get('backup_name'))
        return wishes


class ProjectForm(RestoreForm):
    select = forms.CharField(
        label=_('Only These'), max_length=2000, required=False,
        help_text=_('kind or kind/name-or-id, with commas between, and what they need: '
                    'volume/data, network. Empty: all that is gone.'))
    mapping = forms.CharField(
        label=_('In the Place of Others'), max_length=2000, required=False,
        help_text=_('What takes the place of an old resource: kind/old=new, with commas '
                    'between: network/public=<ID>.'))

    def wishes(self, data):
        return {'project_select': data['select'], 'project_map': data['mapping']}


BY_MODE = {'fs': FilesForm, 'cinder': VolumeForm, 'cindernative': NativeForm,
           'glance': NamedForm, 'nova': ServerForm, 'project': ProjectForm}


def _found(listed):
    try:
        return listed()
    except Exception:
        # A service that does not answer leaves what was saved as the only choice.
        return []


class CheckForm(forms.SelfHandlingForm):
    """A restore that writes nothing."""

    agent = forms.ChoiceField(label=_('Agent'), help_text=_('Who does the work.'))

    def __init__(self, request, *args, **kwargs):
        self.record = kwargs.pop('record')
        super().__init__(request, *args, **kwargs)
        mode = kinds.mode_of(self.record['backup_metadata'])
        self.fields['agent'].choices = (choices.of_agents(request, mode) or
                                        [('', _('(no agent can do this)'))])

    def handle(self, request, data):
        name = _('Check of %s') % self.record['backup_metadata'].get('backup_name')
        job = documents.once(str(name), data['agent'], restores.check(self.record))
        try:
            job_id = api.job_create(request, job)
        except api.ServiceError as error:
            self.api_error(str(error))
            return False
        return shortcuts.redirect(reverse('horizon:project:backup_runs:follow', args=(job_id,)))
