from django.utils.translation import gettext_lazy as _
import horizon


class AllProjects(horizon.Panel):
    name = _('Projects')
    slug = 'backup_projects'
    permissions = ('openstack.services.backup', 'openstack.roles.admin')
