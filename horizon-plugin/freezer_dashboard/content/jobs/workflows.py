"""The wizard that makes a job: what to protect first, then how, then when."""

from django.utils.translation import gettext_lazy as _
from horizon import forms
from horizon import workflows

from freezer_dashboard import api
from freezer_dashboard import choices
from freezer_dashboard import documents
from freezer_dashboard import kinds
from freezer_dashboard.content.jobs import when

# Which field holds the resource of a kind.
FIELDS = {'server': 'server', 'tagged': 'tag', 'volume': 'volume', 'native': 'volume',
          'image': 'image', 'files': 'folder', 'project': None}


class WhatAction(workflows.Action):
    kind = forms.ChoiceField(
        label=_('Protect'), choices=[(kind.slug, kind.label) for kind in kinds.KINDS],
        widget=forms.Select(attrs={'class': 'switchable', 'data-slug': 'kind'}))
    server = forms.ChoiceField(
        label=_('Server'), required=False,
        widget=forms.Select(attrs=when.switched('kind', server=_('Server'))))
    tag = forms.CharField(
        label=_('Tag'), required=False, max_length=80,
        help_text=_('Servers that get the tag later are saved, too.'),
        widget=forms.TextInput(attrs=when.switched('kind', tagged=_('Tag'))))
    volume = forms.ChoiceField(
        label=_('Volume'), required=False, widget=forms.Select(
            attrs=when.switched('kind', volume=_('Volume'), native=_('Volume'))))
    image = forms.ChoiceField(
        label=_('Image'), required=False,
        widget=forms.Select(attrs=when.switched('kind', image=_('Image'))))
    folder = forms.CharField(
        label=_('Folder or File'), required=False, max_length=4096,
        widget=forms.TextInput(attrs=when.switched('kind', files=_('Folder or File'))))

    class Meta:
        name = _('What')
        slug = 'what'
        help_text = _(
            'Choose what is to be protected. A server is saved with all its disks and with what '
            'it takes to make it again; no agent runs in it. Files are saved by an agent on the '
            'machine that has them.')

    def populate_server_choices(self, request, context):
        return choices.servers(request)

    def populate_volume_choices(self, request, context):
        return choices.volumes(request)

    def populate_image_choices(self, request, context):
        return choices.images(request)

    def clean(self):
        data = super().clean()
        field = FIELDS.get(data.get('kind'))
        if field and field not in self.errors and not data.get(field):
            self.add_error(field, _('Say what is to be protected.'))
        folder = data.get('folder')
        if field == 'folder' and folder and not folder.startswith('/'):
            self.add_error(field, _('Give the whole path, from / on.'))
        return data


class What(workflows.Step):
    action_class = WhatAction
    contributes = ('kind', 'server', 'tag', 'volume', 'image', 'folder')


def _by_ssh(label, help_text=''):
    return forms.CharField(
        label=label, max_length=4096, required=False, help_text=help_text,
        widget=forms.TextInput(attrs=when.switched('storage', ssh=label)))


class HowAction(workflows.Action):
    name = forms.CharField(label=_('Name of the Job'), max_length=documents.NAME_MAX)
    agent = forms.ChoiceField(
        label=_('Agent'), help_text=_('Who does the work. Files are saved by the agent of their '
                                      'machine, all else by any agent that can.'))
    storage = forms.ChoiceField(
        label=_('Keep the Backups in'),
        choices=[('swift', _('Object storage (Swift)')), ('local', _('A folder of the agent')),
                 ('ssh', _('A folder of another machine, by SSH'))],
        widget=forms.Select(attrs={'class': 'switchable', 'data-slug': 'storage'}))
    container = forms.CharField(
        label=_('Container'), max_length=255, required=False, initial='freezer_backups',
        widget=forms.TextInput(attrs=when.switched('storage', swift=_('Container'),
                                                   local=_('Folder'), ssh=_('Folder'))))
    ssh_host = _by_ssh(_('Machine'))
    ssh_port = forms.IntegerField(
        label=_('Port'), min_value=1, max_value=65535, required=False, initial=22,
        widget=forms.NumberInput(attrs=when.switched('storage', ssh=_('Port'))))
    ssh_username = _by_ssh(_('User'))
    ssh_key = _by_ssh(_('File of the Private Key'), _(
        "On the agent's machine. Empty: ~/.ssh/id_rsa of the agent."))
    ssh_known_hosts = _by_ssh(_('File of Known Hosts'), _(
        "On the agent's machine; has the key of the machine. Empty: ~/.ssh/known_hosts of the "
        'agent.'))
    encrypt_pass_file = forms.CharField(
        label=_('Encrypt with the Pass Phrase in the File'), max_length=4096, required=False,
        help_text=_("On the agent's machine; its first line is the pass phrase. Who loses it "
                    'loses the backups. Empty: not encrypted.'))
    incremental = forms.BooleanField(
        label=_('Save only what has changed'), required=False, initial=True,
        help_text=_('Each backup holds what is new since the one before; the first is full.'))
    max_level = forms.IntegerField(
        label=_('Increments before a Full Backup'), min_value=1, max_value=10000,
        required=False, initial=30,
        help_text=_('After this many the next backup is a full one.'))
    keep_last = forms.IntegerField(
        label=_('Backups to Keep'), min_value=1, required=False,
        help_text=_('The newest; older ones are removed after each run, as far as '
                    'no kept one needs them. Empty: all are kept.'))

    class Meta:
        name = _('How')
        slug = 'how'
        help_text = _('Who saves it, where it is kept, and for how long. Restoring an increment '
                      'takes all that it builds on: few increments restore faster, many store '
                      'less.')

    def populate_agent_choices(self, request, context):
        return choices.of_agents(request) or [('', _('(no agents)'))]

    def clean(self):
        data = super().clean()
        kind = kinds.BY_SLUG.get(self.data.get('kind'))
        able = dict(choices.of_agents(self.request, kind.mode)) if kind else {}
        if kind and data.get('agent') and data['agent'] not in able:
            self.add_error('agent', _cannot(data['agent'], kind, able))
        storage = data.get('storage')
        if storage != 'swift' and not (data.get('container') or '').startswith('/'):
            self.add_error('container', _('Give the whole path of the folder, from / on.'))
        for field in ('ssh_host', 'ssh_username') if storage == 'ssh' else ():
            if not data.get(field):
                self.add_error(field, _('A storage by SSH needs this.'))
        self._clean_encryption(data, kind)
        return data

    def _clean_encryption(self, data, kind):
        path = data.get('encrypt_pass_file')
        if path and kind is kinds.NATIVE:
            self.add_error('encrypt_pass_file', _(
                "Cinder's own backup service does not encrypt. Protect the volume as such."))
        elif path and not path.startswith('/'):
            self.add_error('encrypt_pass_file', _('Give the whole path, from / on.'))


def _cannot(agent, kind, able):
    said = {'agent': agent, 'kind': kinds.MODES[kind.mode], 'able': ', '.join(sorted(able))}
    if able:
        return _('Agent %(agent)s cannot save this (%(kind)s). These can: %(able)s.') % said
    return _('Agent %(agent)s cannot save this (%(kind)s), and no other agent can.') % said


class How(workflows.Step):
    action_class = HowAction
    contributes = ('name', 'agent', 'storage', 'container', 'incremental', 'max_level',
                   'keep_last', 'encrypt_pass_file') + documents.SSH


class WhenAction(workflows.Action):
    repeat = when.repeat_field()
    every = when.every_field()
    unit = when.unit_field()
    first = when.moment_field(_('First Time'))
    last = when.moment_field(_('Not after'))
    is_started = forms.BooleanField(
        label=_('Start the job when it is made'), required=False, initial=True,
        help_text=_('Otherwise it waits until somebody starts it.'))

    class Meta:
        name = _('When')
        slug = 'when'
        help_text = _('Times are in your time zone (see Settings). Without a first time '
                      'the job runs as soon as it is started.')

    def clean(self):
        data = super().clean()
        when.cleaned(self, data)
        return data


class When(workflows.Step):
    action_class = WhenAction
    contributes = ('repeat', 'every', 'unit', 'first', 'last', 'is_started')


class CreateJob(workflows.Workflow):
    slug = 'create_job'
    name = _('Create Backup Job')
    finalize_button_name = _('Create Job')
    success_message = _('Created the backup job "%s".')
    failure_message = _('The backup job "%s" was not created.')
    success_url = 'horizon:project:backup_jobs:index'
    default_steps = (What, How, When)
    wizard = True

    def format_status_message(self, message):
        return message % self.context.get('name', '')

    def handle(self, request, context):
        kind = kinds.BY_SLUG[context['kind']]
        field = FIELDS[kind.slug]
        backup = documents.backup_action(kind, context[field] if field else None, context)
        job = documents.backup_job(context['name'], context['agent'], backup, when.plan(context),
                                   context.get('keep_last'), context.get('is_started'))
        try:
            self.object = api.job_create(request, job)
        except api.ServiceError as error:
            # The wizard stays open with what was filled in, and says why.
            self.add_error_to_step(str(error), 'how')
            self.get_step('how').has_errors = True
            raise forms.ValidationError(str(error))
        return True
