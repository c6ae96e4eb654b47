from django.utils.translation import gettext_lazy as _
import horizon


class Quotas(horizon.Panel):
    name = _('Quotas')
    slug = 'backup_quotas'
    permissions = ('openstack.services.backup', 'openstack.roles.admin')
