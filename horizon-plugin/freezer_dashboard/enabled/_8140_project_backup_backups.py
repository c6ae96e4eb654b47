PANEL = 'backup_backups'
PANEL_DASHBOARD = 'project'
PANEL_GROUP = 'backup'
ADD_PANEL = 'freezer_dashboard.content.backups.panel.Backups'
