from django.utils.translation import gettext_lazy as _
import horizon


class Jobs(horizon.Panel):
    name = _('Jobs')
    slug = 'backup_jobs'
    permissions = ('openstack.services.backup',)
