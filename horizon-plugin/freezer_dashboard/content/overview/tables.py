"""The table of what is protected and what is not."""

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from horizon import tables

from freezer_dashboard import columns
from freezer_dashboard import coverage
from freezer_dashboard import times

STATES = (
    (coverage.PROTECTED, _('Protected')),
    (coverage.INCOMPLETE, _('Last backup is incomplete')),
    (coverage.OUTDATED, _('Last good backup is old')),
    (coverage.UNPROTECTED, _('No backup')),
)
KINDS = {'server': _('Server'), 'volume': _('Volume')}


class Resource:
    """A server or a volume as a row."""

    def __init__(self, covered):
        self.kind_slug = covered.kind
        self.resource_id = covered.id
        self.id = '%s:%s' % (covered.kind, covered.id)
        self.kind = KINDS[covered.kind]
        self.name = covered.name
        self.state = covered.state
        self.moment = times.shown(covered.time_stamp)
        self.good = covered.state == coverage.PROTECTED


class Protect(tables.LinkAction):
    name = 'protect'
    verbose_name = _('Protect')
    url = 'horizon:project:backup_jobs:create'
    classes = ('ajax-modal',)
    icon = 'shield'

    def allowed(self, request, resource=None):
        return resource is None or resource.state != coverage.PROTECTED

    def get_link_url(self, resource=None):
        asked = {'kind': resource.kind_slug, resource.kind_slug: resource.resource_id}
        return '%s?%s' % (reverse(self.url), urlencode(asked))


def resource_link(resource):
    if resource.kind_slug == 'server':
        return reverse('horizon:project:instances:detail', args=(resource.resource_id,))
    return reverse('horizon:project:volumes:detail', args=(resource.resource_id,))


class CoverageTable(tables.DataTable):
    name = columns.Column('name', verbose_name=_('Name'), link=resource_link)
    kind = columns.Column('kind', verbose_name=_('Kind'))
    state = columns.Column('state', verbose_name=_('Protection'), display_choices=STATES)
    moment = columns.Column('moment', verbose_name=_('Last Backup'), classes=('text-nowrap',))
    good = columns.Column('good', status=True, hidden=True)

    class Meta:
        name = 'coverage'
        verbose_name = _('Servers and Volumes')
        status_columns = ('good',)
        table_actions = (tables.NameFilterAction,)
        row_actions = (Protect,)
        multi_select = False
