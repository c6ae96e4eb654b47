//! `freezer-agent --action …` as a user of a project calls it, and what it says.

use super::login;
use super::project::{CINDER, Project, call};
use freezer_testkit::{program, services};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::Command;

/// Configuration of an agent that reaches the cluster itself.
pub const CEPH: &str = "[ceph]\nconf = /etc/ceph/ceph.conf\n";

/// What a program said, and its exit code; `None` when a signal ended it.
pub struct Said {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub async fn by(command: Command) -> Self {
        let output = tokio::process::Command::from(command).output().await.unwrap();
        Self {
            status: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The JSON of `--metadata-out -` of an action that succeeded.
    #[track_caller]
    pub fn document(&self) -> Value {
        self.document_of(0)
    }

    #[track_caller]
    pub fn document_of(&self, status: i32) -> Value {
        assert_eq!(self.status, Some(status), "{}\n{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Its last words name these.
    #[track_caller]
    pub fn fails_with(&self, words: &[&str]) {
        assert_eq!(self.status, Some(1), "{}\n{}", self.out, self.err);
        let said = self.err.lines().last().unwrap_or_default();
        for word in words {
            assert!(said.contains(word), "'{word}' is not in the last line of: {}", self.err);
        }
    }
}

/// The agent with nothing in its environment but a login of the project.
pub fn agent_of(project: &Project, user: &str) -> Command {
    let mut command = Command::new(program("freezer-agent"));
    command.env_clear().envs([
        ("PATH", "/usr/bin:/bin"),
        ("HOME", "/nonexistent"),
        ("OS_AUTH_URL", services::keystone_url().as_str()),
        ("OS_USERNAME", user),
        ("OS_PASSWORD", services::password().as_str()),
        ("OS_PROJECT_NAME", project.name.as_str()),
        ("OS_USER_DOMAIN_ID", "default"),
        ("OS_PROJECT_DOMAIN_ID", "default"),
    ]);
    command
}

/// Sets Cinder's quotas of a project.
pub async fn quota(project: &Project, limits: Value) {
    let admin = login("admin", "admin").await;
    let url = format!("{CINDER}/{}/os-quota-sets/{}", admin.project_id, project.id);
    let (status, answer) = call(Method::PUT, &url, &admin.token, Some(&json!({"quota_set": limits}))).await;
    assert_eq!(status, 200, "{answer}");
}
