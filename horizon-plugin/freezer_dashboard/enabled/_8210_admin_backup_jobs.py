PANEL = 'all_backup_jobs'
PANEL_DASHBOARD = 'admin'
PANEL_GROUP = 'backup_admin'
ADD_PANEL = 'freezer_dashboard.content.all_jobs.panel.AllJobs'
