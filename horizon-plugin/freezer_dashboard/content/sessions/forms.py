"""Forms of sessions."""

from django.utils.translation import gettext_lazy as _
from horizon import forms
from horizon import messages

from freezer_dashboard import api
from freezer_dashboard.content.jobs import when


class SessionForm(forms.SelfHandlingForm):
    """Makes a session; with `session_id` changes that one."""

    name = forms.CharField(label=_('Name'), max_length=255)
    repeat = when.repeat_field()
    every = when.every_field()
    unit = when.unit_field()
    first = when.moment_field(_('First Time'))
    last = when.moment_field(_('Not after'))
    hold_off = forms.IntegerField(
        label=_('Seconds to Wait for Late Jobs'), min_value=0, max_value=86400, initial=30,
        help_text=_('A job that starts within this time belongs to the round.'))

    def __init__(self, request, *args, **kwargs):
        self.session_id = kwargs.pop('session_id', None)
        has_form_plan = kwargs.pop('has_form_plan', True)
        super().__init__(request, *args, **kwargs)
        if not has_form_plan:
            for field in ('repeat', 'every', 'unit', 'first', 'last'):
                del self.fields[field]

    def clean(self):
        data = super().clean()
        if 'repeat' in self.fields:
            when.cleaned(self, data)
        return data

    def handle(self, request, data):
        session = {'description': data['name'], 'hold_off': data['hold_off']}
        if 'repeat' in self.fields:
            session['schedule'] = when.plan(data)
        try:
            if self.session_id:
                api.session_update(request, self.session_id, session)
            else:
                api.session_create(request, session)
        except api.ServiceError as error:
            self.api_error(str(error))
            return False
        messages.success(request, _('Saved the session "%s".') % data['name'])
        return True


class AttachForm(forms.SelfHandlingForm):
    job = forms.ChoiceField(label=_('Job'))

    def __init__(self, request, *args, **kwargs):
        self.session_id = kwargs.pop('session_id')
        super().__init__(request, *args, **kwargs)
        free = [(job['job_id'], job.get('description') or job['job_id'])
                for job in api.job_list(request) if not job.get('session_id')]
        self.fields['job'].choices = sorted(free, key=lambda one: one[1]) or [
            ('', _('(no job that is not in a session)'))]

    def handle(self, request, data):
        try:
            api.session_add_job(request, self.session_id, data['job'])
        except api.ServiceError as error:
            self.api_error(str(error))
            return False
        messages.success(request, _('The job belongs to the session now, and runs by its plan.'))
        return True
