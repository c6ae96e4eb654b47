"""Forms of sessions."""

from django.utils.translation import gettext_lazy as _
from horizon import forms
from horizon import messages

from freezer_dashboard import api
from freezer_dashboard import saying
from freezer_dashboard.content.jobs import when


class SessionForm(when.PlanForm):
    """Makes a session; with `session_id` changes that one."""

    name = forms.CharField(label=_('Name'), max_length=255)
    hold_off = forms.IntegerField(
        label=_('Seconds to Wait for Late Jobs'), min_value=0, max_value=86400, initial=30,
        help_text=_('A job that starts within this time belongs to the round.'))

    def __init__(self, request, *args, **kwargs):
        self.session_id = kwargs.pop('session_id', None)
        super().__init__(request, *args, **kwargs)

    def act(self, request, data):
        session = {'description': data['name'], 'hold_off': data['hold_off']}
        session.update(self.plan_of(data, 'schedule'))
        if self.session_id:
            api.session_update(request, self.session_id, session)
        else:
            api.session_create(request, session)
        messages.success(request, _('Saved the session "%s".') % data['name'])
        return True


class AttachForm(saying.Asked, forms.SelfHandlingForm):
    job = forms.ChoiceField(label=_('Job'))

    def __init__(self, request, *args, **kwargs):
        self.session_id = kwargs.pop('session_id')
        super().__init__(request, *args, **kwargs)
        free = [(job['job_id'], job.get('description') or job['job_id'])
                for job in api.job_list(request) if not job.get('session_id')]
        self.fields['job'].choices = sorted(free, key=lambda one: one[1]) or [
            ('', _('(no job that is not in a session)'))]

    def act(self, request, data):
        api.session_add_job(request, self.session_id, data['job'])
        messages.success(request, _('The job belongs to the session now, and runs by its plan.'))
        return True
