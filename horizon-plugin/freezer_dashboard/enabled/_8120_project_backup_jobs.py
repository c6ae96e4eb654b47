PANEL = 'backup_jobs'
PANEL_DASHBOARD = 'project'
PANEL_GROUP = 'backup'
ADD_PANEL = 'freezer_dashboard.content.jobs.panel.Jobs'
