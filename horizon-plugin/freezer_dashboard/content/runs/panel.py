from django.utils.translation import gettext_lazy as _
import horizon


class Runs(horizon.Panel):
    name = _('Runs')
    slug = 'backup_runs'
    permissions = ('openstack.services.backup',)
