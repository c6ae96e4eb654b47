PANEL = 'backup_overview'
PANEL_DASHBOARD = 'project'
PANEL_GROUP = 'backup'
ADD_PANEL = 'freezer_dashboard.content.overview.panel.Overview'
