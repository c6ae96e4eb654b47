"""How the service's own words reach the user: as Horizon's messages, without a traceback."""

import logging

from django import shortcuts
from horizon import exceptions
from horizon import messages
from horizon import tables

from freezer_dashboard.api import ServiceError

LOG = logging.getLogger(__name__)


def tell(request, what, error, redirect=None):
    """Shows what could not be done and why. With `redirect` the user is sent there."""
    LOG.info('%s %s', what, error)
    messages.error(request, '%s %s' % (what, error))
    if redirect:
        raise exceptions.Http302(redirect)


class Told:
    """For an action of a table: the reason of a failure is shown, for each object once.

    `act` asks `table_of` for its table: Horizon's actions are shared by all requests of a process,
    and `self.table` may be that of another request by now.
    """

    failed = None

    def handle(self, table, request, obj_ids):
        request.backup_table = table
        return super().handle(table, request, obj_ids)

    def action(self, request, obj_id):
        try:
            self.act(request, obj_id)
        except ServiceError as error:
            table = table_of(request)
            name = table.get_object_display(table.get_object_by_id(obj_id)) or obj_id
            tell(request, '%s: %s:' % (self.failed, name), error)
            # For the caller, so that it does not say it once more, without the reason.
            raise exceptions.HandledException((type(error), error, error.__traceback__))


def table_of(request):
    """The table whose action is being done."""
    return request.backup_table


class Asked:
    """For forms: what the service refuses is said in the form, which stays open."""

    def handle(self, request, data):
        try:
            return self.act(request, data)
        except ServiceError as error:
            self.api_error(str(error))
            return False


class Shown:
    """For views: what the service refuses while a page is made is said on the page before."""

    refused_url = 'horizon:project:backup_overview:index'

    def dispatch(self, request, *args, **kwargs):
        try:
            response = super().dispatch(request, *args, **kwargs)
            # A wizard asks for its choices only when it is drawn.
            return response.render() if hasattr(response, 'render') else response
        except ServiceError as error:
            messages.error(request, str(error))
            return shortcuts.redirect(self.refused_url)


class Row(tables.Row):
    """A row that is asked for again while something happens; a subclass says by `asked` how."""

    ajax = True

    def get_data(self, request, obj_id):
        try:
            return self.asked(request, obj_id)
        except ServiceError as error:
            request.backup_refused = error.status or 502
            raise


class Refreshed:
    """For views of tables with such rows: what the service refuses is answered with its status.

    Horizon's own answer would be 100, which no browser takes for an end; at 404 it takes the row away.
    """

    template_name = 'freezer_dashboard/rows.html'

    def dispatch(self, request, *args, **kwargs):
        response = super().dispatch(request, *args, **kwargs)
        if response.status_code == 100:
            response.status_code = getattr(request, 'backup_refused', 502)
        return response
