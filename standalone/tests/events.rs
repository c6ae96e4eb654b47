//! Events of the real services, read by an unmodified Python oslo.messaging listener on a bus of their own
//! (`[oslo_messaging_notifications] transport_url`): what a backup, its restore and its deletion tell.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::ground::Ground;
use cloud::{Cloud, Login, PATIENCE, User, login};
use freezer_testkit::TestVhost;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The system's own oslo.messaging, listening.
struct Listener {
    lines: Lines<BufReader<ChildStdout>>,
    /// Came before what was waited for: events that are sent together may overtake each other.
    early: Vec<Value>,
    _child: Child,
}

impl Listener {
    async fn start(url: &str) -> Self {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/oslo-messaging/tests/python/oslo_peer.py");
        let mut child = Command::new("/usr/bin/python3")
            .args(["-W", "ignore"])
            .arg(script)
            .args(["listen", "--url", url, "--priority", "info,error"])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3 with oslo.messaging; make services installs it");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut listener = Self { lines, early: Vec::new(), _child: child };
        listener.next(|event| event["event"] == "ready").await;
        listener
    }

    /// The first line that is wanted; others are kept.
    async fn next(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.early.iter().position(&is_wanted) {
            return self.early.remove(at);
        }
        let found = async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("the listener goes on");
                let event: Value = serde_json::from_str(&line).unwrap();
                if is_wanted(&event) {
                    return event;
                }
                self.early.push(event);
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("an event was expected")
    }

    async fn event(&mut self, event_type: &str) -> Value {
        self.next(|event| event["event_type"] == event_type).await
    }
}

fn switch_on(folder: &Path, url: &str) {
    for name in ["api.conf", "conductor.conf"] {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let more = format!("[oslo_messaging_notifications]\ndriver = messagingv2\ntransport_url = {url}\n");
        std::fs::write(path, text + &more + "[audit]\nenabled = true\n").unwrap();
    }
}

/// CADF events of the agents' work.
async fn audits_say_what_was_done(listener: &mut Listener, user: &Login) {
    for (subject, name, action, outcome) in [
        ("restore", "told", "restore", "success"),
        ("restore", "none", "restore", "failure"),
        ("verify", "told", "read", "success"),
        ("delete", "told", "delete", "success"),
    ] {
        let is_it = |event: &Value| {
            let payload = &event["payload"];
            event["event_type"] == format!("audit.backup.{subject}")
                && payload["target"]["name"] == name
                && payload["outcome"] == outcome
        };
        let event = listener.next(is_it).await;
        assert_eq!(event["payload"]["action"], action, "{event}");
        assert_eq!(event["payload"]["initiator"]["project_id"], json!(user.project_id), "{event}");
    }
}

/// The CADF event of the answer to one call, told apart by what was done, where, and how it ended.
async fn audit_of(listener: &mut Listener, action: &str, path: &str, reason: &str) -> Value {
    let is_it = |event: &Value| {
        let payload = &event["payload"];
        event["event_type"] == "audit.http.response"
            && payload["action"] == action
            && payload["requestPath"] == path
            && payload["reason"]["reasonCode"] == reason
    };
    let payload = listener.next(is_it).await["payload"].clone();
    let outcome = if reason.starts_with('2') { "success" } else { "failure" };
    assert_eq!(payload["outcome"], outcome, "{payload}");
    payload
}

/// A read, a deletion and a read that is refused: who it was, and what of.
async fn audits_of_calls(listener: &mut Listener, cloud: &Cloud, (user, demo): (&User, &Login), job: &str) {
    let project = &demo.project_id;
    let id = user.get(&format!("/jobs/{job}")).await["user_id"].clone();
    assert!(id.as_str().is_some_and(|id| !id.is_empty()), "{id}");
    let backups = user.get("/backups").await;
    let backup = backups["backups"][0]["backup_id"].clone();
    let record = format!("/backups/{}", backup.as_str().unwrap());
    assert_eq!(user.call(reqwest::Method::DELETE, &record, None).await.unwrap().0, 204);
    for event_type in ["backup.delete.start", "backup.delete.end"] {
        // Those of the rotation have the same name.
        let is_it =
            |event: &Value| event["event_type"] == event_type && event["payload"]["backup_id"] == backup;
        let event = listener.next(is_it).await;
        assert_eq!(event["payload"]["project_id"], json!(project));
    }
    for (action, path, reason, target) in [
        ("read", format!("/jobs/{job}"), "200", "service/backup/jobs/job"),
        ("read/list", "/backups".to_owned(), "200", "service/backup/backups"),
        ("delete", record, "204", "service/backup/backups/backup"),
    ] {
        let payload = audit_of(listener, action, &format!("/v2/{project}{path}"), reason).await;
        let initiator = &payload["initiator"];
        assert_eq!((&initiator["id"], &initiator["project_id"]), (&id, &json!(project)), "{payload}");
        assert_eq!(payload["target"]["typeURI"], target, "{payload}");
    }
    let other = login("other", "other").await;
    let stranger = User::new(cloud.api_port, &Login { token: other.token, project_id: project.clone() });
    assert_eq!(stranger.call(reqwest::Method::GET, "/backups", None).await.unwrap().0, 403);
    let payload = audit_of(listener, "read/list", &format!("/v2/{project}/backups"), "403").await;
    assert_eq!(payload["initiator"]["project_id"], json!(other.project_id), "{payload}");
    assert_ne!(payload["initiator"]["id"], id, "{payload}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_listener_reads_what_a_backup_tells() {
    let work = tempfile::tempdir().unwrap();
    let (ground, events) = (Ground::new(), TestVhost::create());
    let demo = login("demo", "demo").await;
    let parts = ground.parts(&demo.project_id, ("demo", "demo"));
    let mut listener = Listener::start(&events.url()).await;
    let mut cloud = Cloud::start(work.path(), &parts);
    switch_on(work.path(), &events.url());
    cloud.crash("api");
    cloud.crash("conductor");
    freezer_testkit::private::wait_for_port(cloud.api_port, "freezer-api");
    let user = User::new(cloud.api_port, &demo);
    cloud.wait_for_agent(&user).await;

    let source = work.path().join("source");
    std::fs::create_dir_all(&source).unwrap();
    std::fs::write(source.join("file"), "content").unwrap();
    let store = work.path().join("store");
    let action = |action: &str, more: Value| {
        let mut options = json!({"action": action, "mode": "fs", "storage": "local", "container": store, "backup_name": "told"});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        // Those that are not would not be tried after the first failure.
        json!({"freezer_action": options, "max_retries": 0, "mandatory": true})
    };
    let actions = json!([
        action("backup", json!({"path_to_backup": source})),
        action("restore", json!({"restore_abs_path": work.path().join("target")})),
        action("verify", json!({})),
        action("admin", json!({"remove_older_than": "365"})),
        action("restore", json!({"restore_abs_path": work.path().join("target"), "backup_name": "none"})),
        action("backup", json!({"path_to_backup": work.path().join("none"), "backup_name": "lost"})),
    ]);
    let job = json!({"client_id": cloud.client_id, "job_schedule": {}, "job_actions": actions});
    let job_id = user.post("/jobs", &job).await["job_id"].clone();
    let made = listener.event("job.create").await;
    assert_eq!(
        (&made["payload"]["job_id"], &made["payload"]["project_id"]),
        (&job_id, &json!(demo.project_id))
    );
    assert!(made["publisher_id"].as_str().unwrap().starts_with("freezer-api."), "{made}");
    for (event_type, priority, name) in [
        ("backup.create.start", "info", "told"),
        ("backup.create.end", "info", "told"),
        ("backup.restore.start", "info", "told"),
        ("backup.restore.end", "info", "told"),
        ("backup.restore.error", "error", "none"),
        ("backup.create.error", "error", "lost"),
    ] {
        let is_it =
            |event: &Value| event["event_type"] == event_type && event["payload"]["backup_name"] == name;
        let event = listener.next(is_it).await;
        let payload = &event["payload"];
        assert_eq!(event["priority"], priority, "{event}");
        assert!(event["publisher_id"].as_str().unwrap().starts_with("freezer-conductor."), "{event}");
        assert_eq!(
            (&payload["job_id"], &payload["project_id"], &payload["client_id"], &payload["backup_name"]),
            (&job_id, &json!(demo.project_id), &json!(cloud.client_id), &json!(name)),
            "{event}"
        );
        assert!(payload["run_id"].is_string() && payload["due_at"].is_i64(), "{event}");
        assert_eq!(payload["error"].is_string(), priority == "error", "{event}");
        if event_type == "backup.create.end" {
            assert!(payload["bytes_stored"].as_i64().is_some_and(|bytes| bytes > 0), "{event}");
            assert_eq!(payload["outcome"], "success");
        }
    }
    audits_say_what_was_done(&mut listener, &demo).await;
    audits_of_calls(&mut listener, &cloud, (&user, &demo), job_id.as_str().unwrap()).await;
    // The services' own bus has none of it.
    assert_eq!(ground.vhost.messages("notifications.info"), None);
}
