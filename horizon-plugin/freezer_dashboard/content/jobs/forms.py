"""Forms of a job that is there: editing and cloning it, and rules to try on what it has saved."""

from django.utils.translation import gettext_lazy as _
from horizon import forms
from horizon import messages

from freezer_dashboard import api
from freezer_dashboard import choices
from freezer_dashboard import documents
from freezer_dashboard import retention
from freezer_dashboard import saying
from freezer_dashboard.content.jobs import when


class EditJob(when.PlanForm):
    """Changes name, agent and plan; what the job does stays as it is."""

    name = forms.CharField(label=_('Name of the Job'), max_length=documents.NAME_MAX)
    agent = forms.ChoiceField(label=_('Agent'))

    def __init__(self, request, *args, **kwargs):
        self.job_id = kwargs.pop('job_id')
        super().__init__(request, *args, **kwargs)
        self.fields['agent'].choices = choices.of_agents(request)

    def act(self, request, data):
        changes = {'description': data['name'], 'client_id': data['agent']}
        changes.update(self.plan_of(data, 'job_schedule'))
        api.job_update(request, self.job_id, changes)
        messages.success(request, _('Changed the backup job "%s".') % data['name'])
        return True


class CloneJob(saying.Asked, forms.SelfHandlingForm):
    """Makes a stopped copy under another name."""

    name = forms.CharField(label=_('Name of the New Job'), max_length=documents.NAME_MAX)

    def __init__(self, request, *args, **kwargs):
        self.job_id = kwargs.pop('job_id')
        super().__init__(request, *args, **kwargs)

    def act(self, request, data):
        job = api.job_get(request, self.job_id)
        api.job_create(request, documents.copy_of(job, data['name']))
        messages.success(request, _('Created the backup job "%s"; it waits to be started.')
                         % data['name'])
        return True


class RulesForm(forms.Form):
    """Rules of retention, in the address: nothing is done by them."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for key, label in retention.RULES:
            # As many days as the service takes; it says itself what is too much.
            self.fields[key] = forms.IntegerField(
                label=label, min_value=0, required=False,
                widget=forms.NumberInput(attrs={'class': 'form-control'}))

    def rules(self):
        return {key: value for key, value in self.cleaned_data.items() if value is not None}
