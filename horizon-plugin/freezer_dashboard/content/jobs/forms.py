"""Forms of a job that is there: editing and cloning it."""

from django.utils.translation import gettext_lazy as _
from horizon import forms
from horizon import messages

from freezer_dashboard import api
from freezer_dashboard import choices
from freezer_dashboard import documents
from freezer_dashboard.content.jobs import when

REFUSED = _('The job was not changed:')


class EditJob(forms.SelfHandlingForm):
    """Changes name, agent and plan; what the job does stays as it is."""

    name = forms.CharField(label=_('Name of the Job'), max_length=documents.NAME_MAX)
    agent = forms.ChoiceField(label=_('Agent'))
    repeat = when.repeat_field()
    every = when.every_field()
    unit = when.unit_field()
    first = when.moment_field(_('First Time'))
    last = when.moment_field(_('Not after'))

    def __init__(self, request, *args, **kwargs):
        self.job_id = kwargs.pop('job_id')
        has_form_plan = kwargs.pop('has_form_plan')
        super().__init__(request, *args, **kwargs)
        self.fields['agent'].choices = choices.of_agents(request)
        if not has_form_plan:
            # A plan made elsewhere that these fields cannot hold is left alone.
            for field in ('repeat', 'every', 'unit', 'first', 'last'):
                del self.fields[field]

    def clean(self):
        data = super().clean()
        if 'repeat' in self.fields:
            when.cleaned(self, data)
        return data

    def handle(self, request, data):
        changes = {'description': data['name'], 'client_id': data['agent']}
        if 'repeat' in self.fields:
            changes['job_schedule'] = when.plan(data)
        try:
            api.job_update(request, self.job_id, changes)
        except api.ServiceError as error:
            self.api_error('%s %s' % (REFUSED, error))
            return False
        messages.success(request, _('Changed the backup job "%s".') % data['name'])
        return True


class CloneJob(forms.SelfHandlingForm):
    """Makes a stopped copy under another name."""

    name = forms.CharField(label=_('Name of the New Job'), max_length=documents.NAME_MAX)

    def __init__(self, request, *args, **kwargs):
        self.job_id = kwargs.pop('job_id')
        super().__init__(request, *args, **kwargs)

    def handle(self, request, data):
        try:
            job = api.job_get(request, self.job_id)
            api.job_create(request, documents.copy_of(job, data['name']))
        except api.ServiceError as error:
            self.api_error(str(error))
            return False
        messages.success(request, _('Created the backup job "%s"; it waits to be started.')
                         % data['name'])
        return True
