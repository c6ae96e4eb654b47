//! The unmodified `freezer-scheduler` of upstream with its agent, as a tenant runs it: it registers, polls, runs a backup
//! to a local folder, which our agent restores, reports, and takes part in sessions.

use crate::stage::{Person, Stage};
use freezer_testkit::{Daemon, program, services, venv};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(240);

/// The tenant's host: a scheduler in the foreground, a folder to save and one to save it to.
struct Host<'a> {
    stage: &'a Stage,
    person: Person,
    scheduler: Daemon,
}

impl<'a> Host<'a> {
    async fn start(stage: &'a Stage) -> Self {
        let programs = venv::freezer_in_python();
        let folder = stage.folder.path();
        for name in ["source", "store", "jobs", "home", "tools"] {
            std::fs::create_dir(folder.join(name)).unwrap();
        }
        slow_tar(folder);
        std::fs::write(folder.join("source/file"), "worth saving\n").unwrap();
        let jobs = folder.join("jobs");
        let arguments =
            ["--debug", "--no-daemon", "-c", "node1", "-f", jobs.to_str().unwrap(), "-i", "1", "start"];
        let path = format!("{}:{}:/usr/bin:/bin", folder.join("tools").display(), programs.display());
        let home = folder.join("home");
        let (keystone, password) = (services::keystone_url(), services::password());
        let mut scheduler = Daemon::new(
            "freezer-scheduler of upstream",
            programs.join("freezer-scheduler"),
            &arguments,
            folder.join("scheduler.log"),
        );
        for (name, value) in [
            ("PATH", path.as_str()),
            ("HOME", home.to_str().unwrap()),
            ("OS_AUTH_URL", &keystone),
            ("OS_USERNAME", "demo"),
            ("OS_PASSWORD", &password),
            ("OS_PROJECT_NAME", "demo"),
            ("OS_USER_DOMAIN_NAME", "Default"),
            ("OS_PROJECT_DOMAIN_NAME", "Default"),
            ("OS_IDENTITY_API_VERSION", "3"),
            ("OS_BACKUP_URL", &stage.base),
        ] {
            scheduler = scheduler.variable(name, value);
        }
        scheduler.start();
        let person = stage.person("demo", "demo").await;
        Self { stage, person, scheduler }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.stage.call(&self.person, method, path, body).await;
        assert!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.text);
        if answer.text.is_empty() { Value::Null } else { answer.json() }
    }

    /// Reads the item until it is as wanted.
    async fn until(&mut self, what: &str, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.stage.call(&self.person, "GET", path, Value::Null).await;
            let seen = if answer.text.is_empty() { Value::Null } else { answer.json() };
            if is_so(&seen) {
                return seen;
            }
            assert!(self.scheduler.is_running(), "{}", self.scheduler.last_words());
            assert!(
                Instant::now() < end,
                "{what} did not come true: {seen}\n{}",
                self.scheduler.last_words()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Creates a job that saves the folder.
    async fn job(&self, id: &str, schedule: Value) {
        let place = |name: &str| self.stage.folder.path().join(name).to_str().unwrap().to_owned();
        let action = json!({"action": "backup", "mode": "fs", "storage": "local", "engine_name": "tar", "backup_name": id,
            "path_to_backup": place("source"), "container": place("store"), "log_file": place("home/agent.log")});
        let body = json!({"job_id": id, "client_id": "node1", "description": id, "job_schedule": schedule,
            "job_actions": [{"freezer_action": action, "max_retries": 0}]});
        self.ask("POST", "/jobs", body).await;
    }

    async fn event(&self, id: &str, event: &str) {
        self.ask("POST", &format!("/jobs/{id}/event"), json!({ event: null })).await;
    }

    async fn completed(&mut self, id: &str) -> Value {
        let job = self
            .until("the job's end", &format!("/jobs/{id}"), |job| {
                job["job_schedule"]["status"] == "completed" && job["job_schedule"]["event"] == ""
            })
            .await;
        assert_eq!(job["job_schedule"]["result"], "success", "{job}\n{}", self.scheduler.last_words());
        job
    }

    /// From now on runs last until [`Self::let_go`].
    fn hold(&self) {
        std::fs::write(self.stage.folder.path().join("hold"), "").unwrap();
    }

    fn let_go(&self) {
        std::fs::remove_file(self.stage.folder.path().join("hold")).unwrap();
    }

    async fn until_log(&mut self, what: &str, is_so: impl Fn(&str) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(&self.scheduler.log()) {
            assert!(self.scheduler.is_running(), "{}", self.scheduler.last_words());
            assert!(Instant::now() < end, "{what} did not come true\n{}", self.scheduler.last_words());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The scheduler has seen what was set before: polls follow each other, so when the second begins, the first is over.
    async fn has_polled(&mut self) {
        let polls = |log: &str| log.matches("Polling for jobs from API").count();
        let before = polls(&self.scheduler.log());
        self.until_log("two more polls", |log| polls(log) >= before + 2).await;
    }

    async fn records(&self) -> Vec<Value> {
        let listed = self.ask("GET", "/backups?limit=100", Value::Null).await;
        listed["backups"].as_array().unwrap().clone()
    }
}

/// A tar that waits while there is a file `hold`: a source that takes as long to read as the test likes.
fn slow_tar(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let (tar, hold) = (folder.join("tools/tar"), folder.join("hold"));
    let script =
        format!("#!/bin/sh\nwhile [ -e {} ]; do sleep 0.1; done\nexec /bin/tar \"$@\"\n", hold.display());
    std::fs::write(&tar, script).unwrap();
    std::fs::set_permissions(&tar, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A user stops or aborts a job whose run goes on: the run ends by itself, and is the last one, though more are planned.
async fn stopped_while_it_runs(host: &mut Host<'_>) {
    for (event, is_first) in [("stop", true), ("abort", false)] {
        host.hold();
        if is_first {
            let past = "2026-01-01T00:00:00";
            host.job("slow", json!({"schedule_interval": "1 weeks", "schedule_start_date": past})).await;
        } else {
            host.event("slow", "start").await;
        }
        host.until("it runs", "/jobs/slow", |job| job["job_schedule"]["status"] == "running").await;
        host.event("slow", event).await;
        host.has_polled().await;
        let seen = host.ask("GET", "/jobs/slow", Value::Null).await;
        assert_eq!(seen["job_schedule"]["status"], "running", "{seen}");
        host.let_go();
        let job = host
            .until("its end", "/jobs/slow", |job| {
                let schedule = &job["job_schedule"];
                // Upstream's scheduler takes an event that it has read during the run for one of after the run.
                let is_over = schedule["status"] == "completed" || schedule["status"] == "stop";
                is_over && schedule["event"] == ""
            })
            .await;
        // Its kill of a running agent has never worked.
        assert_eq!(job["job_schedule"]["result"], "success", "{job}\n{}", host.scheduler.last_words());
    }
    host.has_polled().await;
    assert_eq!(host.scheduler.log().matches("job slow running").count(), 2, "{}", host.scheduler.log());
    let records = host.records().await;
    assert_eq!(
        records.iter().filter(|record| record["backup_metadata"]["backup_name"] == "slow").count(),
        2,
        "{records:?}"
    );
}

/// Our agent brings back what upstream's agent has stored.
fn restored_here(folder: &Path, hostname: &str) {
    let (store, target) = (folder.join("store"), folder.join("restored"));
    let mut command = Command::new(program("freezer-agent"));
    command.env_clear().env("PATH", "/usr/bin:/bin").args(["--quiet", "--action", "restore"]);
    command.args(["--storage", "local", "--backup-name", "nightly", "--hostname", hostname]);
    command.arg("--container").arg(store).arg("--restore-abs-path").arg(&target);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_to_string(target.join("file")).unwrap(), "worth saving\n");
}

fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn registers_polls_saves_and_reports() {
    let stage = Stage::start();
    let mut host = Host::start(&stage).await;
    let client = host.until("the registration", "/clients/node1", |client| !client.is_null()).await;
    assert_eq!((&client["client"]["link"], &client["client"]["is_central"]), (&json!("poll"), &json!(false)));
    // a new job starts by itself
    host.job("nightly", json!({})).await;
    let job = host.completed("nightly").await;
    let schedule = &job["job_schedule"];
    assert!(
        schedule["time_started"].as_i64().unwrap() > 0 && schedule["current_pid"].as_i64().unwrap() > 0,
        "{job}"
    );
    assert!(schedule["time_ended"].as_i64() >= schedule["time_started"].as_i64(), "{job}");
    assert_eq!(job["user_id"], json!(host.person.user_id));
    let records = host.records().await;
    assert_eq!(records.len(), 1, "{}", host.scheduler.last_words());
    let metadata = &records[0]["backup_metadata"];
    assert_eq!((&metadata["job_id"], &metadata["backup_name"]), (&json!("nightly"), &json!("nightly")));
    assert!(files_below(&stage.folder.path().join("store")) > 0);
    // once more, because a user says so
    host.event("nightly", "start").await;
    host.completed("nightly").await;
    host.until("the second record", "/backups", |list| list["backups"].as_array().unwrap().len() == 2).await;
    restored_here(stage.folder.path(), metadata["hostname"].as_str().unwrap());
    // planned, stopped before its time, started again with another plan
    host.job("weekly", json!({"schedule_interval": "1 weeks"})).await;
    let is = |status: &'static str| {
        move |job: &Value| job["job_schedule"]["status"] == status && job["job_schedule"]["event"] == ""
    };
    host.until("planned", "/jobs/weekly", is("scheduled")).await;
    host.event("weekly", "stop").await;
    host.until("stopped", "/jobs/weekly", is("stop")).await;
    host.ask("PATCH", "/jobs/weekly", json!({"job_schedule": {"schedule_interval": "2 weeks"}})).await;
    host.event("weekly", "start").await;
    let job = host.until("planned again", "/jobs/weekly", is("scheduled")).await;
    assert_eq!(job["job_schedule"]["schedule_interval"], "2 weeks");
    // An abort of what never ran has no process to end, and the scheduler goes on.
    host.event("weekly", "abort").await;
    host.until("stopped by the abort", "/jobs/weekly", is("stop")).await;
    // Nor does a job that is deleted while it is planned.
    host.job("planned", json!({"schedule_interval": "1 weeks"})).await;
    host.until("planned", "/jobs/planned", is("scheduled")).await;
    host.ask("DELETE", "/jobs/planned", Value::Null).await;
    host.until_log("its removal", |log| log.contains("REMOVE job planned")).await;
    host.event("nightly", "start").await;
    host.until("the third record", "/backups", |list| list["backups"].as_array().unwrap().len() == 3).await;
    host.completed("nightly").await;
    stopped_while_it_runs(&mut host).await;
    // A backup that it announces first, of a volume that is not there.
    let action = json!({"action": "backup", "mode": "cindernative", "backup_name": "native", "cindernative_vol_id": "nothing",
        "log_file": stage.folder.path().join("home/agent.log")});
    let native = json!({"job_id": "native", "client_id": "node1", "job_schedule": {},
        "job_actions": [{"freezer_action": action, "max_retries": 0}]});
    host.ask("POST", "/jobs", native).await;
    host.until("the failed end", "/jobs/native", |job| {
        job["job_schedule"]["status"] == "completed" && job["job_schedule"]["result"] == "fail"
    })
    .await;
    let records = host.records().await;
    let announced =
        records.iter().find(|record| record["status"] == "creating").expect("the announced record");
    assert_eq!(
        (&announced["backup_metadata"]["hostname"], &announced["backup_metadata"]["container"]),
        (&json!(""), &json!(""))
    );
    let log = host.scheduler.log();
    assert!(log.contains("Created backup record in freezer-api"), "{log}");
    assert!(!log.contains("Failed to pre-create backup record"), "{log}");
    host.scheduler.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn works_through_a_session() {
    let stage = Stage::start();
    let mut host = Host::start(&stage).await;
    host.until("the registration", "/clients/node1", |client| !client.is_null()).await;
    let session = json!({"schedule": {}, "session_tag": 0, "hold_off": 0, "description": "web + db"});
    host.ask("POST", "/sessions/s", session).await;
    for id in ["web", "db"] {
        // stopped at first, so that both are in the session before they run
        host.job(id, json!({"status": "stop"})).await;
        host.ask("PUT", &format!("/sessions/s/jobs/{id}"), Value::Null).await;
    }
    let mut rounds = Vec::new();
    // Upstream begins a job two seconds after its start was seen, so the rounds are more than hold_off = 0 apart.
    for round in 1..=2 {
        for (id, is_last) in [("web", false), ("db", true)] {
            // With a hold-off of nothing nobody joins: each one begins the round after the one it knows.
            host.ask("PATCH", "/sessions/s", json!({"hold_off": if is_last { 3600 } else { 0 }})).await;
            host.event(id, "start").await;
            let job = host.completed(id).await;
            assert_eq!(
                (&job["session_id"], &job["session_tag"]),
                (&json!("s"), &json!(round)),
                "{}",
                host.scheduler.last_words()
            );
            let seen = host.ask("GET", "/sessions/s", Value::Null).await;
            let member = &seen["jobs"][id];
            assert_eq!((&member["status"], &member["result"]), (&json!("completed"), &json!("success")));
            assert_eq!(seen["session_tag"], json!(round));
            assert_eq!(seen["status"], if is_last { "completed" } else { "running" });
            rounds.push(seen["result"].clone());
        }
    }
    assert_eq!(rounds, ["", "success", "", "success"]);
    let log = host.scheduler.log();
    assert!(!log.contains("Unable to start session") && !log.contains("Unable to end session"), "{log}");
    assert_eq!(host.records().await.len(), 4);
    host.scheduler.kill();
}
