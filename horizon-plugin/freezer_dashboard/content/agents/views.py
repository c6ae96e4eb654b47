"""The page of agents."""

from django.utils.translation import gettext_lazy as _
from horizon import tables

from freezer_dashboard import api
from freezer_dashboard import saying
from freezer_dashboard.content.agents import tables as agent_tables


class IndexView(tables.DataTableView):
    table_class = agent_tables.AgentsTable
    page_title = _('Backup Agents')

    def get_data(self):
        try:
            clients = api.client_list(self.request)
        except api.ServiceError as error:
            saying.tell(self.request, _('The agents could not be listed:'), error)
            return []
        return [agent_tables.Agent(client, self.request.user.project_id) for client in clients]
