"""From a plan of a whole project to what somebody makes of it: which resources, and what else takes
the place of which."""

from django import shortcuts
from django.utils.translation import gettext_lazy as _
from horizon import forms
from openstack_dashboard import api as openstack

from freezer_dashboard import names
from freezer_dashboard import plans
from freezer_dashboard import restores
from freezer_dashboard import saying

ALL, CHOSEN = 'all', 'chosen'
WIDE = {'class': 'form-control'}


class PlanForm(saying.Asked, forms.SelfHandlingForm):
    """One tick a resource, and for kinds that can be listed what takes its place."""

    what = forms.ChoiceField(label=_('Restore'), choices=[
        (ALL, _('All that is gone; what is there is kept')),
        (CHOSEN, _('Only what is ticked, and what it needs; made anew also where it is there')),
    ], widget=forms.Select(attrs=WIDE))
    more = forms.CharField(
        label=_('Others in the Place of Others'), max_length=2000, required=False,
        help_text=_('kind/old=new, with commas between; also of flavors and volume types: '
                    'flavor/m1.small=<ID>.'),
        widget=forms.TextInput(attrs=WIDE))

    def __init__(self, request, *args, **kwargs):
        self.plan = kwargs.pop('plan')
        self.client_id, self.wanted = kwargs.pop('wanted')
        super().__init__(request, *args, **kwargs)
        there = {}
        for number, row in enumerate(self.plan):
            self.fields['take_%d' % number] = forms.BooleanField(
                label=_('Restore %s') % row.name, required=False,
                initial=row.deed in ('create', 'refused'))
            if row.kind not in LISTS:
                continue
            if row.kind not in there:
                there[row.kind] = LISTS[row.kind](request)
            choices = [pair for pair in there[row.kind] if pair[0] != row.id]
            self.fields['map_%d' % number] = forms.ChoiceField(
                label=_('In the place of %s') % row.name, required=False,
                choices=[('', _('(as planned)'))] + choices)

    def rows(self):
        """The plan with the fields of each resource."""
        shown = plans.table(self.plan)
        for number, row in enumerate(shown):
            row['take'] = self['take_%d' % number]
            row['place'] = self['map_%d' % number] if 'map_%d' % number in self.fields else None
        return shown

    def clean(self):
        data = super().clean()
        ticked = any(data.get('take_%d' % number) for number in range(len(self.plan)))
        if data.get('what') == CHOSEN and not ticked:
            raise forms.ValidationError(_('Tick what is to be restored.'))
        return data

    def act(self, request, data):
        """Nothing is done yet: the next page shows what will be, and asks."""
        action = dict(self.wanted, project_select=None)
        rows = list(enumerate(self.plan))
        if data['what'] == CHOSEN:
            action['project_select'] = ','.join(
                '%s/%s' % (row.kind, row.id) for number, row in rows if data['take_%d' % number])
        pairs = ['%s/%s=%s' % (row.kind, row.id, data['map_%d' % number])
                 for number, row in rows if data.get('map_%d' % number)]
        action['project_map'] = ','.join(pairs + [data['more']] * bool(data['more'])) or None
        return shortcuts.redirect(restores.confirm_url(self.client_id, action))


def _networks(request):
    return [(net.id, net.name_or_id) for net in
            openstack.neutron.network_list_for_tenant(request, request.user.project_id,
                                                      include_external=True)]


def _groups(request):
    return [(group.id, group.name) for group in
            openstack.neutron.security_group_list(request, tenant_id=request.user.project_id)]


def _routers(request):
    return [(router.id, router.name_or_id) for router in
            openstack.neutron.router_list(request, tenant_id=request.user.project_id)]


def _found(listed):
    def found(request):
        try:
            return sorted(listed(request), key=lambda pair: str(pair[1]))
        except Exception:
            # A service that does not answer leaves the plan as the only choice.
            return []
    return found


LISTS = {
    'network': _found(_networks), 'security_group': _found(_groups), 'router': _found(_routers),
    'volume': _found(lambda request: names.volumes(request)[0]),
    'image': _found(lambda request: names.images(request)[0]),
}
