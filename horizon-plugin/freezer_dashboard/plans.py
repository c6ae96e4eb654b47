"""What an agent has planned for a restore of a project, resource by resource. Pure."""

import collections

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

KINDS = {
    'keypair': _('Key pair'), 'server_group': _('Server group'),
    'security_group': _('Security group'), 'network': _('Network'), 'subnet': _('Subnet'),
    'router': _('Router'), 'port': _('Port'), 'floating_ip': _('Floating IP'),
    'image': _('Image'), 'volume': _('Volume'), 'server': _('Server'),
    'container': _('Container'), 'stack': _('Stack'),
}
DEEDS = {
    'create': pgettext_lazy('what a restore does', 'Made anew'),
    'use': pgettext_lazy('what a restore does', 'Used as it is'),
    'keep': pgettext_lazy('what a restore does', 'Kept as it is'),
    'note': pgettext_lazy('what a restore does', 'Kept for reading'),
    'refused': pgettext_lazy('what a restore does', 'Cannot be restored'),
}

# `new_name` is that of what is made; `is_open`: nothing is begun before somebody has decided.
Row = collections.namedtuple('Row', 'kind id name deed new_name reason is_open')


def of(result):
    """The rows of a step's result, or None when it holds no such plan."""
    restore = result.get('restore')
    if not isinstance(restore, dict) or not isinstance(restore.get('steps'), list):
        return None
    rows = [_row(step) for step in restore['steps'] if isinstance(step, dict)]
    rows += [_row(dict(one, deed='refused')) for one in restore.get('refused') or []
             if isinstance(one, dict)]
    return [row for row in rows if row]


def of_run(run):
    """The plan that a run has made, or None."""
    found = [of(step.get('result') or {}) for step in run.get('steps', [])]
    return next((rows for rows in reversed(found) if rows is not None), None)


def shown(row):
    """What will be done, in words."""
    words = DEEDS.get(row.deed, row.deed)
    if row.new_name and row.new_name != row.name:
        return _('%(deed)s, as %(name)s') % {'deed': words, 'name': row.new_name}
    return words


def table(rows):
    """The rows as a page shows them."""
    return [{'kind': KINDS.get(row.kind, row.kind), 'name': row.name, 'deed': shown(row),
             'reason': row.reason, 'is_refused': row.deed == 'refused'} for row in rows]


def is_open(rows):
    """Whether nothing would be restored before something has been decided."""
    return any(row.is_open for row in rows)


def _row(step):
    resource, deed = step.get('resource'), step.get('deed')
    if not isinstance(resource, dict) or not resource.get('id'):
        return None
    new_name = None
    if isinstance(deed, dict) and deed:
        ((deed, inner),) = list(deed.items())[:1]
        new_name = inner.get('name') if isinstance(inner, dict) else None
    return Row(resource.get('kind'), resource['id'], step.get('name') or resource['id'], deed,
               new_name, step.get('reason') or '',
               deed == 'refused' and not step.get('is_lost'))
