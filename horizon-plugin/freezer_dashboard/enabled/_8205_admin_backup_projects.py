PANEL = 'backup_projects'
PANEL_DASHBOARD = 'admin'
PANEL_GROUP = 'backup_admin'
ADD_PANEL = 'freezer_dashboard.content.all_projects.panel.AllProjects'
