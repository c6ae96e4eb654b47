"""How the backups of all projects stand, and those of one of them, for an administrator to look at."""

from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from horizon import exceptions
from horizon import messages
from horizon import tables
from horizon import tabs
from horizon.utils import functions
from horizon.utils import memoized

from freezer_dashboard import api
from freezer_dashboard import asking
from freezer_dashboard import projects
from freezer_dashboard import saying
from freezer_dashboard.content.all_projects import summary
from freezer_dashboard.content.all_projects import tables as project_tables
from freezer_dashboard.content.all_projects import tabs as project_tabs

# Of each project several things are asked for, so a page has not more, whatever a user has set.
MOST_PROJECTS = 50


class IndexView(tables.PagedTableMixin, tables.DataTableView):
    table_class = project_tables.ProjectsTable
    template_name = 'freezer_dashboard/projects.html'
    page_title = _('Backups of All Projects')

    def get_data(self):
        found = projects.listed(self.request)
        if found is None:
            messages.error(self.request, _('The projects could not be listed by Keystone.'))
            return []
        wanted = self.get_wanted().lower()
        found = [one for one in found if wanted in one[1].lower() or wanted == one[0]]
        size = min(functions.get_page_size(self.request), MOST_PROJECTS)
        shown, self._has_prev_data, self._has_more_data = projects.page(
            found, size, self.asked_for('pagination_param'), self.asked_for('prev_pagination_param'))
        return self.summed_up(shown)

    def asked_for(self, param):
        return self.request.GET.get(getattr(self.table_class._meta, param))

    def get_wanted(self):
        return self.request.GET.get('project', '').strip()

    def summed_up(self, shown):
        """Rows of some projects; why something is not known is said once."""
        answers = asking.answers({
            (project_id, what): question for project_id, _name in shown
            for what, question in summary.questions(self.request, project_id).items()})
        refused = [answer for answer in answers.values() if isinstance(answer, api.ServiceError)]
        for why in sorted({str(error) for error in refused}):
            saying.tell(self.request, _('Not everything could be read:'), why)
        return [summary.Project(project_id, name, {
            what: answers[project_id, what] for what in summary.ASKED})
            for project_id, name in shown]

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        context.update(wanted=self.get_wanted(), days=summary.DAYS)
        return context


class DetailView(tabs.TabbedTableView):
    tab_group_class = project_tabs.ProjectTabs
    template_name = 'horizon/common/_detail.html'
    page_title = _('Backups of Project {{ project }}')

    @memoized.memoized_method
    def get_name(self):
        name = projects.name(self.request, self.kwargs['project_id'])
        if name is None:
            messages.error(self.request, _('There is no such project.'))
            raise exceptions.Http302(reverse('horizon:admin:backup_projects:index'))
        return name

    def get_tabs(self, request, **kwargs):
        self.get_name()
        return super().get_tabs(request, **kwargs)

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        context['project'] = self.get_name()
        return context
