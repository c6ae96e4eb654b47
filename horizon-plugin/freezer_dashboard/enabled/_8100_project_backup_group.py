"""The group of panels for backups in the Project dashboard."""

from django.utils.translation import gettext_lazy as _

PANEL_GROUP = 'backup'
PANEL_GROUP_NAME = _('Backup')
PANEL_GROUP_DASHBOARD = 'project'
ADD_INSTALLED_APPS = ['freezer_dashboard']
