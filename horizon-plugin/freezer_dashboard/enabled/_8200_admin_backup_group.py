"""The group of panels for backups in the Admin dashboard."""

from django.utils.translation import gettext_lazy as _

PANEL_GROUP = 'backup_admin'
PANEL_GROUP_NAME = _('Backup')
PANEL_GROUP_DASHBOARD = 'admin'
