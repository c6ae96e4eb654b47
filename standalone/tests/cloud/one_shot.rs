//! `freezer-agent --action …` as a user of a project calls it, and what it says.

use super::login;
use super::project::{CINDER, Project, call};
pub use freezer_testkit::Said;
use freezer_testkit::{program, services};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::Command;

/// Configuration of an agent that reaches the cluster itself.
pub const CEPH: &str = "[ceph]\nconf = /etc/ceph/ceph.conf\n";

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
