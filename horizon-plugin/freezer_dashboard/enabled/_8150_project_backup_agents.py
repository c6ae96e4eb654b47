PANEL = 'backup_agents'
PANEL_DASHBOARD = 'project'
PANEL_GROUP = 'backup'
ADD_PANEL = 'freezer_dashboard.content.agents.panel.Agents'
