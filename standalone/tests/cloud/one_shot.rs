//! `freezer-agent --action …` as a user of a project calls it, and what it says.

use super::project::{CINDER, Project, call};
use super::{LOOK, PATIENCE, login};
pub use freezer_testkit::Said;
use freezer_testkit::{program, services};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

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

/// An action that is at work when `is_reached`: `what` is seen then. Nobody hears what it says.
pub async fn at_work(mut command: Command, what: &str, is_reached: impl AsyncFn() -> bool) -> Child {
    heard_at_work(command.stdout(Stdio::null()).stderr(Stdio::null()), what, is_reached).await
}

/// As [`at_work`], of a command that says where its words go.
pub async fn heard_at_work(command: &mut Command, what: &str, is_reached: impl AsyncFn() -> bool) -> Child {
    let mut child = command.spawn().unwrap();
    let end = Instant::now() + PATIENCE;
    while !is_reached().await {
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < end, "{what} was not seen");
        tokio::time::sleep(LOOK).await;
    }
    child
}

/// Sets Cinder's quotas of a project.
pub async fn quota(project: &Project, limits: Value) {
    let admin = login("admin", "admin").await;
    let url = format!("{CINDER}/{}/os-quota-sets/{}", admin.project_id, project.id);
    let (status, answer) = call(Method::PUT, &url, &admin.token, Some(&json!({"quota_set": limits}))).await;
    assert_eq!(status, 200, "{answer}");
}

/// The same action by an agent that may not write a byte to any file; `folder` is where it would put down what it needs for a while.
pub fn without_files(agent: &Command, folder: &Path) -> Command {
    let mut command = Command::new("prlimit");
    command.args(["--fsize=0", "--"]).arg(agent.get_program()).args(agent.get_args());
    in_same_place(&mut command, agent);
    command.env("TMPDIR", folder).current_dir(folder);
    command
}

/// What an action says, and the most memory in MiB that the agent had, or one of the programs that it calls.
pub async fn measured(agent: &Command, folder: &Path) -> (Said, u64) {
    const WAIT: &str = "import os, sys\n\
        child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)\n\
        _, status, used = os.wait4(child, 0)\n\
        open(sys.argv[1], 'w').write(str(used.ru_maxrss))\n\
        sys.exit(os.waitstatus_to_exitcode(status))\n";
    let kib = folder.join("memory");
    let mut command = Command::new("python3");
    command.args(["-c", WAIT]).arg(&kib).arg(agent.get_program()).args(agent.get_args());
    in_same_place(&mut command, agent);
    let said = Said::by(command).await;
    let kib: u64 = std::fs::read_to_string(kib).unwrap().parse().unwrap();
    (said, kib / 1024)
}

/// Gives a program the environment and the folder of another one.
fn in_same_place(command: &mut Command, other: &Command) {
    command.env_clear().envs(other.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = other.get_current_dir() {
        command.current_dir(folder);
    }
}
