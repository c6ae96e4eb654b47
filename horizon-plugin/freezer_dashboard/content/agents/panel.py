from django.utils.translation import gettext_lazy as _
import horizon


class Agents(horizon.Panel):
    name = _('Agents')
    slug = 'backup_agents'
    permissions = ('openstack.services.backup',)
