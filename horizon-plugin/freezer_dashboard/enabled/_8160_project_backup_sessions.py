PANEL = 'backup_sessions'
PANEL_DASHBOARD = 'project'
PANEL_GROUP = 'backup'
ADD_PANEL = 'freezer_dashboard.content.sessions.panel.Sessions'
