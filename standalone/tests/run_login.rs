//! A run of many steps logs in to Keystone once: the token goes from step to step over the children's standard input, and
//! is seen nowhere else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::ground::Ground;
use cloud::{Cloud, Parts, User, login, remove_container};
use freezer_testkit::{random_name, services};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Stands before Keystone and counts how often a token is asked for.
struct Counter {
    url: String,
    logins: Arc<AtomicUsize>,
}

impl Counter {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v3", listener.local_addr().unwrap());
        let logins = Arc::new(AtomicUsize::new(0));
        let counted = logins.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, counted.clone()));
            }
        });
        Self { url, logins }
    }

    fn logins(&self) -> usize {
        self.logins.load(Ordering::SeqCst)
    }
}

/// Keystone closes each connection after its answer, so that the first bytes tell the one request on it.
async fn pass(mut client: TcpStream, logins: Arc<AtomicUsize>) {
    let keystone = services::keystone_url();
    let address = keystone.trim_start_matches("http://").trim_end_matches("/v3").to_owned();
    let mut server = TcpStream::connect(address).await.unwrap();
    let mut head = Vec::new();
    while !head.contains(&b'\n') {
        if !matches!(client.read_buf(&mut head).await, Ok(1..)) {
            return;
        }
    }
    if head.starts_with(b"POST /v3/auth/tokens") {
        logins.fetch_add(1, Ordering::SeqCst);
    }
    let _ = server.write_all(&head).await;
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

fn agent_conf(folder: &std::path::Path, client_id: &str, parts: &Parts<'_>, keystone: &str) -> String {
    format!(
        "[DEFAULT]\ndebug = true\ntransport_url = {}\n[agent]\nclient_id = {client_id}\nproject_id = {}\nstate_dir = {}\n\
         [service_auth]\nauth_type = password\nauth_url = {keystone}\nusername = demo\npassword = {}\nproject_name = demo\n\
         user_domain_id = default\nproject_domain_id = default\nregion_name = RegionOne\n",
        parts.rabbit_url,
        parts.project_id,
        folder.join("state").display(),
        services::password(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_logs_in_once() {
    let work = tempfile::tempdir().unwrap();
    let ground = Ground::new();
    let demo = login("demo", "demo").await;
    let parts = ground.parts(&demo.project_id, ("demo", "demo"));
    let keystone = Counter::start().await;
    let mut cloud = Cloud::start_services(work.path(), &parts, |client_id, _| {
        agent_conf(work.path(), client_id, &parts, &keystone.url)
    });
    cloud.agent.start();
    let user = User::new(cloud.api_port, &demo);
    cloud.wait_for_agent(&user).await;
    a_second_agent_on_the_same_state_is_refused(work.path());
    let source = work.path().join("source");
    std::fs::create_dir_all(&source).unwrap();
    std::fs::write(source.join("file"), "content").unwrap();
    let container = format!("login-{}", random_name());
    let action = |action: &str, more: serde_json::Value| {
        let mut options = json!({"action": action, "mode": "fs", "engine_name": "tar", "storage": "swift",
            "container": container, "backup_name": "story"});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"freezer_action": options, "max_retries": 0})
    };
    let actions = |target: &std::path::Path| {
        json!([
            action("backup", json!({"path_to_backup": source})),
            action("backup", json!({"path_to_backup": source})),
            action("restore", json!({"restore_abs_path": target})),
            action("admin", json!({"keep_last": 1})),
        ])
    };
    for run in 1..=2 {
        let target = work.path().join(format!("target-{run}"));
        let before = keystone.logins();
        let job = json!({"client_id": cloud.client_id, "job_schedule": {}, "job_actions": actions(&target)});
        let created = user.post("/jobs", &job).await;
        let run_shown = user.finished_run(created["job_id"].as_str().unwrap(), 1).await;
        assert_eq!(run_shown["state"], "success", "{run_shown:#}");
        assert_eq!(run_shown["steps"].as_array().unwrap().len(), 4);
        assert_eq!(keystone.logins() - before, 1, "logins of run {run}");
        assert_eq!(std::fs::read_to_string(target.join("file")).unwrap(), "content");
        // The records are of what rotation has left.
        let records = user.get("/backups").await;
        let taken: Vec<_> = (records["backups"].as_array().unwrap().iter())
            .map(|record| record["backup_metadata"]["time_stamp"].clone())
            .collect();
        assert_eq!(taken, [run_shown["steps"][1]["result"]["backup_metadata"]["time_stamp"].clone()]);
    }
    // Fernet tokens begin like this, in whatever place.
    let log = cloud.agent.log();
    assert!(!log.contains("gAAAA"), "a token is in the agent's log");
    let journal = work.path().join("state");
    let found = std::process::Command::new("grep").arg("-rl").arg("gAAAA").arg(&journal).output().unwrap();
    assert!(found.stdout.is_empty(), "a token is on disk: {}", String::from_utf8_lossy(&found.stdout));
    remove_container(&demo, &container).await;
}

fn a_second_agent_on_the_same_state_is_refused(folder: &std::path::Path) {
    let second = std::process::Command::new(freezer_testkit::program("freezer-agent"))
        .arg("--config-file")
        .arg(folder.join("agent.conf"))
        .arg("serve")
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&second.stderr).into_owned() + &String::from_utf8_lossy(&second.stdout);
    assert!(!second.status.success() && said.contains("another agent works with"), "{said}");
}
