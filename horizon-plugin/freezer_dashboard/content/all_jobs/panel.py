from django.utils.translation import gettext_lazy as _
import horizon


class AllJobs(horizon.Panel):
    name = _('Jobs')
    slug = 'all_backup_jobs'
    permissions = ('openstack.services.backup', 'openstack.roles.admin')
