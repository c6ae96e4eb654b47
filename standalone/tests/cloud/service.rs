//! The whole service for one project, and jobs in it.

use super::project::{Hands, Project};
use super::{Cloud, Parts, User};
use freezer_testkit::{TestDatabase, TestVhost};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Its programs with an agent of the project. What it works on goes after it.
pub struct Service {
    pub cloud: Cloud,
    pub user: User,
    _folder: TempDir,
    _database: TestDatabase,
    _vhost: TestVhost,
}

impl Service {
    /// `more` is what the agent's configuration has beside its login.
    pub async fn of(project: &Project, hands: &Hands, more: &str) -> Self {
        let (database, vhost) = (TestDatabase::create(), TestVhost::create());
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts {
            database_url: &database.url(),
            rabbit_url: &vhost.url(),
            project_id: &project.id,
            agent_login: (&project.user, &project.name),
        };
        let agent = |client_id: &str, _| super::agent_conf(folder.path(), client_id, &parts) + more;
        let mut cloud = Cloud::start_services(folder.path(), &parts, agent);
        cloud.agent.start();
        let user = User::new(cloud.api_port, &hands.login);
        cloud.wait_for_agent(&user).await;
        Self { cloud, user, _folder: folder, _database: database, _vhost: vhost }
    }

    /// Creates a job of one action, due at once; answers its id and its first run when that has ended.
    pub async fn job(&self, freezer_action: Value) -> (String, Value) {
        let action = json!({"freezer_action": freezer_action, "max_retries": 1});
        let job = json!({"client_id": self.cloud.client_id, "job_actions": [action], "job_schedule": {}});
        let made = self.user.post("/jobs", &job).await;
        let id = made["job_id"].as_str().unwrap().to_owned();
        let run = self.user.finished_run(&id, 1).await;
        (id, run)
    }
}
