"""Pages of backups, and the way back from them: form, plan and confirmation, run."""

from django import shortcuts
from django.urls import reverse
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from horizon import exceptions
from horizon import forms
from horizon import messages
from horizon import tables
from horizon import views
from horizon.utils import memoized

from freezer_dashboard import action_keys
from freezer_dashboard import api
from freezer_dashboard import choices
from freezer_dashboard import documents
from freezer_dashboard import facts
from freezer_dashboard import kinds
from freezer_dashboard import losses
from freezer_dashboard import names
from freezer_dashboard import pins
from freezer_dashboard import plans
from freezer_dashboard import restores
from freezer_dashboard import saying
from freezer_dashboard import times
from freezer_dashboard.content.backups import forms as backup_forms
from freezer_dashboard.content.backups import plan_form
from freezer_dashboard.content.backups import server_facts
from freezer_dashboard.content.backups import tables as backup_tables
from freezer_dashboard.content.backups import words

INDEX = 'horizon:project:backup_backups:index'


class IndexView(tables.DataTableView):
    table_class = backup_tables.BackupsTable
    page_title = _('Backups')

    def get_data(self):
        try:
            records = api.backup_list(self.request)
        except api.ServiceError as error:
            saying.tell(self.request, _('The backups could not be listed:'), error)
            return []
        known = names.by_id(self.request) if records else {}
        pinned = pins_known(self.request) if records else {}
        backups = [backup_tables.Backup(record, known, pins.of(record, pinned, times.now()))
                   for record in records]
        return sorted(backups, key=lambda backup: -backup.time_stamp)


def pins_known(request, project_id=None):
    """What is pinned; what cannot be known is said."""
    try:
        return pins.known(api.job_list(request, project_id=project_id))
    except api.ServiceError as error:
        saying.tell(request, _('It is not known what is pinned, as the jobs could not be listed:'),
                    error)
        return {}


class OneBackup(saying.Shown):
    """Views of one record, whose id is in the address."""

    refused_url = INDEX

    @memoized.memoized_method
    def get_record(self):
        return api.backup_get(self.request, self.kwargs['backup_id'])

    @memoized.memoized_method
    def get_job(self):
        """The job that made the backup, as far as it is there to tell; else None."""
        job_id = self.get_record()['backup_metadata'].get('job_id')
        try:
            return api.job_get(self.request, job_id) if job_id else None
        except api.ServiceError:
            return None

    def get_agent(self):
        return (self.get_job() or {}).get('client_id')

    @memoized.memoized_method
    def get_pin(self):
        return pins.of(self.get_record(), pins_known(self.request), times.now())


class BackupForm(OneBackup, forms.ModalFormView):
    """Forms about one record."""

    template_name = 'freezer_dashboard/form.html'
    success_url = reverse_lazy(INDEX)

    def get_form_kwargs(self):
        record, job = self.get_record(), self.get_job()
        access = documents.access(job, record['backup_metadata']) if job else {}
        return dict(super().get_form_kwargs(), record=record, access=access)

    def get_initial(self):
        return {'folder': self.get_record()['backup_metadata'].get('path_to_backup'),
                'agent': self.get_agent()}

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        context['submit_url'] = reverse(self.submit_url, args=(self.kwargs['backup_id'],))
        context['help'] = self.get_help()
        return context


class DetailView(OneBackup, views.HorizonTemplateView):
    template_name = 'freezer_dashboard/backup.html'
    page_title = '{{ backup.what }}, {{ backup.moment }}'

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        backup = backup_tables.Backup(self.get_record(), names.by_id(self.request), self.get_pin())
        table = backup_tables.BackupsTable(self.request)
        context['backup'] = backup
        context['facts'] = facts.of(backup.metadata)
        context['lists'] = words.of_lists(backup.metadata)
        context['actions'] = table.render_row_actions(backup)
        return context


class RestoreView(BackupForm):
    submit_label = _('Show What Will Be Done')
    page_title = modal_header = _('Restore a Backup')
    form_id = modal_id = 'backup_restore_form'
    submit_url = 'horizon:project:backup_backups:restore'

    def get_form_class(self):
        mode = kinds.mode_of(self.get_record()['backup_metadata'])
        if mode not in backup_forms.BY_MODE:
            messages.error(self.request, _('A backup of this kind is restored by the operator '
                                           'of the agent, not here.'))
            raise exceptions.Http302(reverse(INDEX))
        return backup_forms.BY_MODE[mode]

    def get_help(self):
        backup = backup_tables.Backup(self.get_record())
        return _('%(what)s as of %(moment)s. The next page shows what will be done; '
                 'until then nothing is.') % {'what': backup.what, 'moment': backup.moment}


class CheckView(BackupForm):
    form_class = backup_forms.CheckForm
    submit_label = _('Check')
    page_title = modal_header = _('Check a Backup')
    form_id = modal_id = 'backup_check_form'
    submit_url = 'horizon:project:backup_backups:check'

    def get_help(self):
        return words.check(kinds.mode_of(self.get_record()['backup_metadata']))


class PinView(BackupForm):
    form_class = backup_forms.PinForm
    submit_label = pgettext_lazy('keep a backup from being removed', 'Pin')
    page_title = modal_header = _('Pin a Backup')
    form_id = modal_id = 'backup_pin_form'
    submit_url = 'horizon:project:backup_backups:pin'

    def get_help(self):
        return words.PIN


class UnpinView(BackupForm):
    form_class = backup_forms.UnpinForm
    submit_label = pgettext_lazy('a pinned backup', 'Let Go')
    page_title = modal_header = _('Let a Pinned Backup Go')
    form_id = modal_id = 'backup_unpin_form'
    submit_url = 'horizon:project:backup_backups:unpin'

    def get_form_kwargs(self):
        if self.get_pin() is None:
            # An agent would let go of an older one.
            messages.error(self.request, _('It is not known that this backup is pinned.'))
            raise exceptions.Http302(reverse(INDEX))
        return super().get_form_kwargs()

    def get_help(self):
        return words.UNPIN


class DeleteView(OneBackup, forms.ModalFormView):
    form_class = backup_forms.DeleteForm
    template_name = 'freezer_dashboard/delete.html'
    success_url = reverse_lazy(INDEX)
    submit_label = _('Delete Record')
    page_title = modal_header = _('Delete the Record of a Backup')
    form_id = modal_id = 'backup_delete_form'

    def get_form_kwargs(self):
        # The service says of what is not there that it is deleted.
        return dict(super().get_form_kwargs(), backup_id=self.get_record()['backup_id'])

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        record = self.get_record()
        metadata = record['backup_metadata']
        match = action_keys.taken(metadata, ('backup_name', 'container'))
        context.update(
            submit_url=reverse('horizon:project:backup_backups:delete',
                               args=(self.kwargs['backup_id'],)),
            backup=backup_tables.Backup(record, names.by_id(self.request)),
            losses=losses.of_record(record, api.backup_list(self.request, match=match),
                                    self.get_pin()))
        return context


class PlanView(saying.Shown, forms.ModalFormView):
    """From the plan of a whole project back to the page that asks, with what has been chosen."""

    template_name = 'freezer_dashboard/plan.html'
    page_title = _('Restore: Choose from the Plan')
    form_class = plan_form.PlanForm
    refused_url = INDEX

    @memoized.memoized_method
    def get_planned(self):
        """Who planned what, and the plan."""
        run = api.run_get(self.request, self.kwargs['run_id'])
        action, rows = restores.tried(run), plans.of_run(run)
        if action is None or rows is None:
            messages.error(self.request, _('This run has made no plan of a project.'))
            raise exceptions.Http302(reverse('horizon:project:backup_runs:index'))
        return (run['client_id'], action), rows

    def get_form_kwargs(self):
        wanted, rows = self.get_planned()
        return dict(super().get_form_kwargs(), wanted=wanted, plan=rows)

    def get_initial(self):
        action = self.get_planned()[0][1]
        return {'what': plan_form.CHOSEN if action.get('project_select') else plan_form.ALL,
                'more': action.get('project_map')}

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        context.update(rows=context['form'].rows(), run_id=self.kwargs['run_id'])
        return context


class ConfirmView(saying.Shown, views.HorizonTemplateView):
    """Shows what a restore or a removal will do; only a POST from here does it."""

    template_name = 'freezer_dashboard/confirm.html'
    page_title = '{{ words.title }}'
    refused_url = INDEX

    def get_wanted(self):
        sealed = self.request.POST.get('restore') or self.request.GET.get('restore') or ''
        wanted = restores.opened(sealed)
        if wanted is None:
            messages.error(self.request, _('This page is too old or was changed. Begin again '
                                           'with the backup.'))
            raise exceptions.Http302(reverse(INDEX))
        return (sealed,) + wanted

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        sealed, client_id, action = self.get_wanted()
        context.update(sealed=sealed, agent=client_id, words=words.asked(action),
                       rows=words.rows(action), warning=words.warning(action),
                       is_driven=choices.is_driven(self.request, client_id), polls=restores.POLLS,
                       server=server_facts.plan(self.request, action))
        return context

    def post(self, request, *args, **kwargs):
        _sealed, client_id, action = self.get_wanted()
        said = words.asked(action)
        title = said['done']
        if 'plan' in request.POST:
            if not choices.is_driven(request, client_id):
                raise api.ServiceError(restores.POLLS)
            action = dict(action, dry_run=True)
            title = said['planned']
        # A job that removes may be about backups whose names only agents know.
        name = action.get('backup_name') or kinds.resource(action)
        job = documents.once(str(title % name), client_id, action)
        job_id = api.job_create(request, job)
        return shortcuts.redirect(reverse('horizon:project:backup_runs:follow', args=(job_id,)))
