from django.utils.translation import gettext_lazy as _
import horizon


class Sessions(horizon.Panel):
    name = _('Sessions')
    slug = 'backup_sessions'
    permissions = ('openstack.services.backup',)
