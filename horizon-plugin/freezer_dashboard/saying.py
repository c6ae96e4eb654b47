"""How the service's own words reach the user: as Horizon's messages, without a traceback."""

import logging

from django import shortcuts
from horizon import exceptions
from horizon import messages

from freezer_dashboard.api import ServiceError

LOG = logging.getLogger(__name__)


def tell(request, what, error, redirect=None):
    """Shows what could not be done and why. With `redirect` the user is sent there."""
    LOG.info('%s %s', what, error)
    messages.error(request, '%s %s' % (what, error))
    if redirect:
        raise exceptions.Http302(redirect)


class Told:
    """For an action of a table: the reason of a failure is shown, for each object once."""

    failed = None

    def action(self, request, obj_id):
        try:
            self.act(request, obj_id)
        except ServiceError as error:
            datum = self.table.get_object_by_id(obj_id)
            name = self.table.get_object_display(datum) or obj_id
            tell(request, '%s: %s:' % (self.failed, name), error)
            # For the caller, so that it does not say it once more, without the reason.
            raise exceptions.HandledException((type(error), error, error.__traceback__))


class Shown:
    """For views: what the service refuses while a page is made is said on the page before."""

    refused_url = 'horizon:project:backup_overview:index'

    def dispatch(self, request, *args, **kwargs):
        try:
            return super().dispatch(request, *args, **kwargs)
        except ServiceError as error:
            messages.error(request, str(error))
            return shortcuts.redirect(self.refused_url)
