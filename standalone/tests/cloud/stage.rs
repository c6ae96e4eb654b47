//! A project on the real cloud, and an agent that saves and restores all of it (mode project).

use super::one_shot::{CEPH, Said, agent_of, at_work};
use super::project::{Hands, Project};
use super::servers::resources;
use serde_json::Value;
use std::process::{Child, Command};
use tempfile::TempDir;

/// Exit code of an action that did not do all.
pub const PARTIAL: i32 = 3;

/// A project, and an agent that keeps backups in a folder.
pub struct Stage {
    pub project: Project,
    pub hands: Hands,
    pub folder: TempDir,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(CEPH).await
    }

    pub async fn with(agent_conf: &str) -> Self {
        let project = Project::create().await;
        let hands = Hands::of(&project).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("agent.conf"), agent_conf).unwrap();
        Self { project, hands, folder }
    }

    /// What the agent says as a user of the project; the document goes to `out`, or the words for people.
    pub async fn agent(&self, action: &str, more: &[&str]) -> Said {
        Said::by(self.command(action, more)).await
    }

    pub fn command(&self, action: &str, more: &[&str]) -> Command {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut command = agent_of(&self.project, &self.project.user);
        command
            .args(["--config-file", &path("agent.conf"), "--action", action, "--mode", "project"])
            .args(["--storage", "local", "--container", &path("store"), "--backup-name", "all"])
            .args(more);
        command
    }

    /// An agent at work when `is_reached` holds for what there is in the project of `hands`.
    pub async fn under_way(
        &self,
        (action, more): (&str, &[&str]),
        hands: &Hands,
        is_reached: impl Fn(&[String]) -> bool,
    ) -> Child {
        let is_reached = async || is_reached(&resources(hands).await);
        at_work(self.command(action, more), "what was waited for", is_reached).await
    }

    pub async fn run(&self, action: &str, more: &[&str]) -> Said {
        self.agent(action, &[more, &["--metadata-out", "-"]].concat()).await
    }

    pub async fn save(&self) -> Said {
        self.run("backup", &["--incremental"]).await
    }
}

/// How many rows a list of the document has.
pub fn count(document: &Value, key: &str) -> usize {
    document[key].as_array().unwrap_or_else(|| panic!("no {key}: {document}")).len()
}
