//! Agents that end while they work on servers: told to stop, and killed under a daemon.

use super::cloud::detour::keystone_with;
use super::cloud::left::goes_with_the_next;
use super::cloud::one_shot::at_work;
use super::cloud::project::{Hands, Project};
use super::cloud::servers::{has_temporary, resources};
use super::cloud::service::Service;
use super::cloud::{LOOK, PATIENCE, step};
use super::proxy::{Action, Proxy};
use super::{agent, command};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// A restore that is told to stop when nothing but the server bears a mark any more: it leaves nothing, and needs nobody for that.
pub async fn told_to_stop_at_the_end(project: &Project, hands: &Hands, folder: &Path) {
    let before = resources(hands).await;
    let nova = Proxy::http("127.0.0.1:8774".to_owned()).await;
    let keystone = keystone_with(&[(8774, nova.port)]).await;
    nova.rule("PUT", "/metadata", 1, Action::Stall);
    let mut command = command(project, folder, "restore", &[]);
    command.env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3"));
    let mut child = at_work(command, "its metadata", async || nova.unused_rules() == 0).await;
    let found = resources(hands).await;
    assert!(
        found.len() > before.len() && !found.iter().any(|row| row.starts_with("volumes freezer_")),
        "{found:?}"
    );
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(resources(hands).await, before);
}

/// Backups of a server with a volume, through Glance, that end when there is an image, a snapshot too, and a copy of the volume as well.
/// Killed, the next agent removes what they left; told to stop, they tidy up themselves.
pub async fn at_each_step_of_a_backup(project: &Project, hands: &Hands, folder: &Path, server: &str) {
    let before = resources(hands).await;
    let steps = [&["images"][..], &["images", "snapshots"], &["images", "snapshots", "volumes"]];
    let under_way = async |kinds: &[&str]| {
        let command = command(project, folder, "backup", &["--nova-inst-id", server]);
        at_work(command, &format!("{kinds:?}"), async || has_temporary(hands, kinds).await).await
    };
    for kinds in steps {
        let mut child = under_way(kinds).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(resources(hands).await.len() > before.len(), "something must be there to be found");
    hands.server_rests(server).await;
    let nobodys = uuid::Uuid::new_v4().to_string();
    let next = async || {
        agent(project, folder, "backup", &["--nova-inst-id", &nobodys]).await.fails_with(&["no server"]);
    };
    goes_with_the_next(&before, async || resources(hands).await, next).await;
    for kinds in steps {
        let mut child = under_way(kinds).await;
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(143));
        assert_eq!(resources(hands).await, before, "{kinds:?}");
        hands.server_rests(server).await;
    }
}

/// A job's run whose step is killed each time when the image of the server is there and no service works: once with its daemon, once
/// alone. The daemon removes the image, as it begins or as it hears of the end. Then the run goes on; it is answered.
pub async fn killed_under_a_daemon(
    service: &mut Service,
    hands: &Hands,
    glance: &Proxy,
    action: Value,
) -> Value {
    let before = resources(hands).await;
    let action = json!({"freezer_action": action, "max_retries": 1, "max_retries_interval": 1});
    let job = json!({"client_id": service.cloud.client_id, "job_actions": [action], "job_schedule": {}});
    glance.rule("GET", "/file", 2, Action::Stall);
    let downloads = glance.requests("GET", "/file");
    let made = service.user.post("/jobs", &job).await;
    for number in 1..=2 {
        until("a download", || glance.requests("GET", "/file") == downloads + number).await;
        let found = resources(hands).await;
        assert!(found.iter().any(|row| row.starts_with("images freezer_backup_")), "{found:?}");
        // Nobody has the run done again meanwhile: no other step looks for what was left.
        service.cloud.conductor.kill();
        match number {
            1 => step::dies_with_its_daemon(&mut service.cloud.agent),
            _ => step::dies(&service.cloud.agent),
        }
        let told =
            || service.cloud.agent.log().matches("was left by a process that is gone; removed").count();
        until("the agent removes it", || told() == number).await;
        assert_eq!(resources(hands).await, before);
        service.cloud.conductor.start();
    }
    let run = service.user.finished_run(made["job_id"].as_str().unwrap(), 1).await;
    assert!(run["losses"].as_i64() >= Some(1), "{run:#}");
    run
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(LOOK).await;
    }
}
