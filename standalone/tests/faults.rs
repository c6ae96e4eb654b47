//! kill -9 of every part in the middle of runs: no double run, no lost job, nothing reported as saved that
//! does not restore, and no human needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::restored::restores;
use cloud::{Cloud, Login, Parts, User, login};
use freezer_testkit::private::{PrivateMariadb, PrivateRabbit};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Kills, spread evenly over the five parts, at moments drawn from a fixed seed.
const ROUNDS: usize = 50;
const PARTS: [&str; 5] = ["agent", "conductor", "api", "rabbitmq", "mariadb"];
const RECOVERY: Duration = Duration::from_secs(180);

/// The usual small generator; the same moments in every run of the test.
struct Moments(u64);

impl Moments {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

struct Field {
    cloud: Cloud,
    mariadb: PrivateMariadb,
    rabbit: PrivateRabbit,
}

impl Field {
    fn start(folder: &Path, demo: &Login) -> Self {
        let (mariadb, rabbit) = (PrivateMariadb::start(folder), PrivateRabbit::start(folder));
        let (database_url, rabbit_url) = (mariadb.url(), rabbit.url());
        let parts = Parts {
            database_url: &database_url,
            rabbit_url: &rabbit_url,
            project_id: &demo.project_id,
            agent_login: ("demo", "demo"),
        };
        let cloud = Cloud::start(folder, &parts);
        Self { cloud, mariadb, rabbit }
    }

    fn crash(&mut self, part: &str) {
        match part {
            "mariadb" => {
                self.mariadb.daemon.kill();
                self.mariadb.start_again();
            }
            "rabbitmq" => {
                self.rabbit.kill();
                self.rabbit.start_again();
            }
            program => self.cloud.crash(program),
        }
    }
}

/// Asks until the service answers: while a part is down it may say 503, or nothing.
async fn answered(user: &User, method: reqwest::Method, path: &str, body: Option<&Value>) -> Value {
    let end = Instant::now() + RECOVERY;
    loop {
        let answer = user.call(method.clone(), path, body).await;
        match answer {
            Ok((200..=299, document)) => return document,
            Ok((status, document)) if status < 500 => panic!("{method} {path}: {status} {document}"),
            other => assert!(Instant::now() < end, "{method} {path} never answered: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Two actions: one that notices when it is not alone, one that saves.
fn job(round: usize, client_id: &str, folder: &Path) -> Value {
    let (lock, twice) = (folder.join(format!("lock{round}")), folder.join("twice"));
    let alone = format!("flock -n {} sleep 0.4 || echo {round} >> {}", lock.display(), twice.display());
    json!({"job_id": format!("round{round}"), "description": "round", "client_id": client_id, "job_schedule": {}, "job_actions": [
        {"freezer_action": {"action": "exec", "command": alone, "exec_shell": true}, "max_retries": 0},
        {"freezer_action": {"action": "backup", "mode": "fs", "engine_name": "tar", "storage": "local", "container": folder.join("store"),
            "path_to_backup": folder.join("source"), "backup_name": format!("r{round}"), "upload_limit": "4M"}, "max_retries": 0}]})
}

async fn finished(user: &User, job_id: &str) -> Vec<Value> {
    let end = Instant::now() + RECOVERY;
    loop {
        let document =
            answered(user, reqwest::Method::GET, &format!("/jobs/{job_id}/runs?limit=10"), None).await;
        let runs = document["runs"].as_array().unwrap().clone();
        if !runs.is_empty() && runs.iter().all(|run| run["finished_at"].as_i64().unwrap() > 0) {
            return runs;
        }
        assert!(Instant::now() < end, "job {job_id} is lost: {document:#}");
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_nothing() {
    let work = tempfile::tempdir().unwrap();
    // The database and broker run as users of their own.
    assert!(Command::new("chmod").arg("755").arg(work.path()).status().unwrap().success());
    let source = work.path().join("source");
    std::fs::create_dir_all(&source).unwrap();
    for number in 0..40 {
        let status = Command::new("dd")
            .args(["if=/dev/urandom", "bs=64k", "count=1", "status=none"])
            .arg(format!("of={}", source.join(format!("f{number}")).display()))
            .status();
        assert!(status.unwrap().success());
    }
    let demo = login("demo", "demo").await;
    let mut field = Field::start(work.path(), &demo);
    let user = User::new(field.cloud.api_port, &demo);
    field.cloud.wait_for_agent(&user).await;

    let mut moments = Moments(20_261_122);
    for round in 0..ROUNDS {
        let part = PARTS[round % PARTS.len()];
        let job_id = format!("round{round}");
        // A creation that was answered with an error may have happened: the same id again is then a conflict.
        let document = job(round, &field.cloud.client_id, work.path());
        answered(&user, reqwest::Method::POST, &format!("/jobs/{job_id}"), Some(&document)).await;
        tokio::time::sleep(Duration::from_millis(moments.below(4000))).await;
        field.crash(part);
        let runs = finished(&user, &job_id).await;
        assert_eq!(runs.len(), 1, "round {round}, {part} killed: one firing, one run: {runs:#?}");
        assert_eq!(runs[0]["state"], "success", "round {round}, {part} killed: {:#}", runs[0]);
        eprintln!("round {round}: {part} killed, {} losses", runs[0]["losses"]);
    }
    assert!(
        !work.path().join("twice").exists(),
        "a step ran twice at a time: {:?}",
        std::fs::read_to_string(work.path().join("twice"))
    );
    every_record_restores(&user, work.path()).await;
}

async fn every_record_restores(user: &User, folder: &Path) {
    let document = answered(user, reqwest::Method::GET, "/backups?limit=1000", None).await;
    let records = document["backups"].as_array().unwrap();
    let mut names: Vec<&str> =
        records.iter().map(|record| record["backup_metadata"]["backup_name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ROUNDS, "every successful round has its record");
    for name in names {
        restores(folder, name);
    }
}
