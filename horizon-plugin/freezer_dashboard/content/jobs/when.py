"""The fields that say when a job runs; in the wizard and where a job is edited."""

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from horizon import forms

from freezer_dashboard import saying
from freezer_dashboard import schedules

FORMATS = ['%Y-%m-%dT%H:%M', '%Y-%m-%dT%H:%M:%S', '%Y-%m-%d %H:%M', '%Y-%m-%d %H:%M:%S']


def switched(slug, **shown_for):
    """Attributes of a field that Horizon shows for some values of a select element only."""
    attrs = {'class': 'switched', 'data-switch-on': slug}
    attrs.update(('data-%s-%s' % (slug, value), label) for value, label in shown_for.items())
    return attrs


def moment_field(label):
    return forms.DateTimeField(
        label=label, required=False, input_formats=FORMATS,
        widget=forms.DateTimeInput(format=FORMATS[0], attrs={'type': 'datetime-local'}))


def repeat_field():
    return forms.ChoiceField(
        label=_('How Often'), choices=schedules.REPEATS, initial='1 days',
        widget=forms.Select(attrs={'class': 'switchable', 'data-slug': 'repeat'}))


def every_field():
    return forms.IntegerField(
        label=_('Every'), min_value=1, required=False, initial=6,
        widget=forms.NumberInput(attrs=switched('repeat', custom=_('Every'))))


def unit_field():
    return forms.ChoiceField(
        label=_('Unit'), choices=schedules.UNITS, required=False, initial='hours',
        widget=forms.Select(attrs=switched('repeat', custom=_('Unit'))))


class PlanForm(saying.Asked, forms.SelfHandlingForm):
    """What has a plan: jobs and sessions."""

    repeat = repeat_field()
    every = every_field()
    unit = unit_field()
    first = moment_field(_('First Time'))
    last = moment_field(_('Not after'))
    field_order = ('name', 'agent')

    def __init__(self, request, *args, **kwargs):
        has_form_plan = kwargs.pop('has_form_plan', True)
        super().__init__(request, *args, **kwargs)
        if not has_form_plan:
            # A plan made elsewhere that these fields cannot hold is left alone.
            for field in ('repeat', 'every', 'unit', 'first', 'last'):
                del self.fields[field]

    def clean(self):
        data = super().clean()
        if 'repeat' in self.fields:
            cleaned(self, data)
        return data

    def plan_of(self, data, key):
        """The plan under its key, or nothing where these fields could not hold it."""
        return {key: plan(data)} if 'repeat' in self.fields else {}


def initial(schedule):
    """What the fields show of a plan; None of a plan that they cannot hold."""
    values = schedules.form_values(schedule)
    for key in ('first', 'last'):
        if values and key in values:
            values[key] = timezone.localtime(values[key])
    return values


def cleaned(form, data):
    """What the fields contradict in, said at the field."""
    if data.get('repeat') == schedules.CUSTOM:
        for field in ('every', 'unit'):
            if not data.get(field):
                form.add_error(field, _('An interval needs a number and a unit.'))
    first, last = data.get('first'), data.get('last')
    if first and last and last <= first:
        form.add_error('last', _('The end must be after the beginning.'))
    if last and data.get('repeat') == schedules.ONCE:
        form.add_error('last', _('A job that runs once has no end.'))


def plan(data):
    return schedules.plan(data['repeat'], data.get('every'), data.get('unit'),
                          data.get('first'), data.get('last'))
