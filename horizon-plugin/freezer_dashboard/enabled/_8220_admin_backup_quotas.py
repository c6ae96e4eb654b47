PANEL = 'backup_quotas'
PANEL_DASHBOARD = 'admin'
PANEL_GROUP = 'backup_admin'
ADD_PANEL = 'freezer_dashboard.content.project_quotas.panel.Quotas'
