"""What each project uses and may use of the backup service."""

from django.urls import reverse
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from horizon import forms
from horizon import messages
from horizon import tables
from horizon.utils import memoized

from freezer_dashboard import api
from freezer_dashboard import columns
from freezer_dashboard import facts
from freezer_dashboard import projects
from freezer_dashboard import saying

INDEX = 'horizon:admin:backup_quotas:index'
LIMITS = (
    ('jobs', _('Jobs')), ('runs', _('Runs at the Same Time')),
    ('stored_bytes', _('Stored Bytes')), ('weight', _('Weight')),
)
# One request for each project: a page of a larger cloud would not be answered in time.
MOST_PROJECTS = 200


class Project:
    """A project's usage as a row."""

    def __init__(self, project_id, name, usage):
        self.id = project_id
        self.name = name
        for key in ('jobs', 'runs', 'stored_bytes'):
            setattr(self, key, of_limit(usage.get(key) or {}, key))


def of_limit(figures, key):
    """What is used of a limit, in words."""
    show = facts.people if key == 'stored_bytes' else str
    used = show(figures.get('used', 0))
    limit = figures.get('limit', -1)
    if limit < 0:
        return _('%(used)s, no limit') % {'used': used}
    return _('%(used)s of %(limit)s') % {'used': used, 'limit': show(limit)}


class Edit(tables.LinkAction):
    name = 'edit'
    verbose_name = _('Change Limits')
    url = 'horizon:admin:backup_quotas:edit'
    classes = ('ajax-modal',)
    icon = 'pencil'


class Reset(saying.Told, tables.BatchAction):
    name = 'reset'
    icon = 'undo'
    failed = _('Not taken back')
    help_text = _('The limits configured for all projects hold again.')

    @staticmethod
    def action_present(count):
        return ngettext_lazy('Take Limits back', 'Take Limits back', count)

    @staticmethod
    def action_past(count):
        return ngettext_lazy('Took back the limits of', 'Took back the limits of', count)

    def act(self, request, project_id):
        api.quota_reset(request, project_id)


class QuotasTable(tables.DataTable):
    name = columns.Column('name', verbose_name=_('Project'))
    jobs = columns.Column('jobs', verbose_name=_('Jobs'))
    runs = columns.Column('runs', verbose_name=_('Runs at Work'))
    stored_bytes = columns.Column('stored_bytes', verbose_name=_('Stored'))

    class Meta:
        name = 'backup_quotas'
        verbose_name = _('Backup Quotas')
        table_actions = (tables.NameFilterAction,)
        row_actions = (Edit, Reset)
        multi_select = False


class IndexView(tables.DataTableView):
    table_class = QuotasTable
    page_title = _('Backup Quotas')

    def get_data(self):
        names = sorted(projects.names(self.request).items(), key=lambda one: one[1].lower())
        if len(names) > MOST_PROJECTS:
            messages.warning(self.request, _('Only the first %d projects are shown.')
                             % MOST_PROJECTS)
        rows = []
        try:
            for project_id, name in names[:MOST_PROJECTS]:
                rows.append(Project(project_id, name, api.usage_show(self.request, project_id)))
        except api.ServiceError as error:
            saying.tell(self.request, _('The usage could not be read:'), error)
        return rows


class QuotaForm(saying.Asked, forms.SelfHandlingForm):
    jobs = forms.IntegerField(label=LIMITS[0][1], min_value=-1, required=False)
    runs = forms.IntegerField(label=LIMITS[1][1], min_value=-1, required=False)
    stored_bytes = forms.IntegerField(label=LIMITS[2][1], min_value=-1, required=False)
    weight = forms.IntegerField(label=LIMITS[3][1], min_value=1, max_value=1000, required=False)

    def __init__(self, request, *args, **kwargs):
        self.project_id = kwargs.pop('project_id')
        super().__init__(request, *args, **kwargs)

    def act(self, request, data):
        limits = {key: data[key] for key, _label in LIMITS if data[key] is not None}
        api.quota_set(request, self.project_id, limits)
        messages.success(request, _('Changed the limits.'))
        return True


class EditView(saying.Shown, forms.ModalFormView):
    form_class = QuotaForm
    template_name = 'freezer_dashboard/form.html'
    success_url = reverse_lazy(INDEX)
    refused_url = INDEX
    page_title = modal_header = _('Change Limits')
    submit_label = _('Save Changes')
    form_id = modal_id = 'backup_quota_form'

    @memoized.memoized_method
    def get_quota(self):
        return api.quota_show(self.request, self.kwargs['project_id'])

    def get_form_kwargs(self):
        return dict(super().get_form_kwargs(), project_id=self.kwargs['project_id'])

    def get_initial(self):
        return self.get_quota()['set']

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        context['submit_url'] = reverse('horizon:admin:backup_quotas:edit',
                                        args=(self.kwargs['project_id'],))
        context['help'] = _('-1 is no limit. What is empty is as configured for all projects. '
                            'A project of twice the weight gets twice the share of the agents '
                            'when they are short.')
        return context
