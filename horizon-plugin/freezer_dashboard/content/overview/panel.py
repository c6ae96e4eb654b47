from django.utils.translation import gettext_lazy as _
import horizon


class Overview(horizon.Panel):
    name = _('Overview')
    slug = 'backup_overview'
    permissions = ('openstack.services.backup',)
