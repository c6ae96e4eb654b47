"""Pages of backups, and the way back from them: form, plan and confirmation, run."""

from django import shortcuts
from django.urls import reverse
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _
from horizon import exceptions
from horizon import forms
from horizon import messages
from horizon import tables
from horizon import views
from horizon.utils import memoized

from freezer_dashboard import api
from freezer_dashboard import documents
from freezer_dashboard import facts
from freezer_dashboard import kinds
from freezer_dashboard import names
from freezer_dashboard import restores
from freezer_dashboard import saying
from freezer_dashboard.content.backups import forms as backup_forms
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
        backups = [backup_tables.Backup(record, known) for record in records]
        return sorted(backups, key=lambda backup: -backup.time_stamp)


class OneBackup(saying.Shown):
    """Views of one record, whose id is in the address."""

    refused_url = INDEX

    @memoized.memoized_method
    def get_record(self):
        return api.backup_get(self.request, self.kwargs['backup_id'])

    @memoized.memoized_method
    def get_agent(self):
        """The agent that made the backup, as far as its job is there to tell."""
        job_id = self.get_record()['backup_metadata'].get('job_id')
        try:
            return api.job_get(self.request, job_id)['client_id'] if job_id else None
        except api.ServiceError:
            return None


class DetailView(OneBackup, views.HorizonTemplateView):
    template_name = 'freezer_dashboard/backup.html'
    page_title = '{{ backup.what }}, {{ backup.moment }}'

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        backup = backup_tables.Backup(self.get_record(), names.by_id(self.request))
        table = backup_tables.BackupsTable(self.request)
        context['backup'] = backup
        context['facts'] = facts.of(backup.metadata)
        context['lists'] = words.of_lists(backup.metadata)
        context['actions'] = table.render_row_actions(backup)
        return context


class RestoreView(OneBackup, forms.ModalFormView):
    template_name = 'freezer_dashboard/form.html'
    success_url = reverse_lazy(INDEX)
    submit_label = _('Show What Will Be Done')
    page_title = modal_header = _('Restore a Backup')
    form_id = modal_id = 'backup_restore_form'

    def get_form_class(self):
        mode = kinds.mode_of(self.get_record()['backup_metadata'])
        if mode not in backup_forms.BY_MODE:
            messages.error(self.request, _('A backup of this kind is restored by the operator '
                                           'of the agent, not here.'))
            raise exceptions.Http302(reverse(INDEX))
        return backup_forms.BY_MODE[mode]

    def get_form_kwargs(self):
        return dict(super().get_form_kwargs(), record=self.get_record())

    def get_initial(self):
        metadata = self.get_record()['backup_metadata']
        return {'folder': metadata.get('path_to_backup'), 'agent': self.get_agent()}

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        backup = backup_tables.Backup(self.get_record())
        context['submit_url'] = reverse('horizon:project:backup_backups:restore',
                                        args=(backup.id,))
        context['help'] = _('%(what)s as of %(moment)s. The next page shows what will be done; '
                            'until then nothing is.') % {'what': backup.what,
                                                         'moment': backup.moment}
        return context


class CheckView(OneBackup, forms.ModalFormView):
    form_class = backup_forms.CheckForm
    template_name = 'freezer_dashboard/form.html'
    success_url = reverse_lazy(INDEX)
    submit_label = _('Check')
    page_title = modal_header = _('Check a Backup')
    form_id = modal_id = 'backup_check_form'

    def get_form_kwargs(self):
        return dict(super().get_form_kwargs(), record=self.get_record())

    def get_initial(self):
        return {'agent': self.get_agent()}

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        record = self.get_record()
        context['submit_url'] = reverse('horizon:project:backup_backups:check',
                                        args=(record['backup_id'],))
        context['help'] = words.check(kinds.mode_of(record['backup_metadata']))
        return context


class ConfirmView(saying.Shown, views.HorizonTemplateView):
    """Shows what a restore will do; only a POST from here does it."""

    template_name = 'freezer_dashboard/confirm.html'
    page_title = _('Restore: What Will Be Done')
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
        context.update(sealed=sealed, agent=client_id, rows=words.restore(action),
                       warning=words.warning(action), facts=facts.of(action))
        return context

    def post(self, request, *args, **kwargs):
        _sealed, client_id, action = self.get_wanted()
        title = _('Restore of %s')
        if 'plan' in request.POST:
            action = dict(action, dry_run=True)
            title = _('Plan of a restore of %s')
        job = documents.once(str(title % action.get('backup_name')), client_id, action)
        job_id = api.job_create(request, job)
        return shortcuts.redirect(reverse('horizon:project:backup_runs:follow', args=(job_id,)))
