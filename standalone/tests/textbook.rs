//! The textbook example, word for word: a volume in use, saved by Cinder every week by a job of two actions that was made
//! with `freezer-scheduler job-create --file backup-cinder.json`. Everything is real but the conductor's clock: after five
//! weeks exactly the last three full backups are there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::ground::Ground;
use cloud::project::{Hands, Project};
use cloud::{Cloud, LOOK, Parts, User};
use freezer_conductor::{Conductor, ConductorOptions, ConductorParts};
use freezer_database::{Database, DatabaseOptions};
use freezer_model::{Clock, SystemClock, Timestamp};
use freezer_testkit::{Daemon, program, services};
use oslo_messaging::{RabbitOptions, Transport};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

const EXAMPLE: &str = include_str!("../../docs/examples/backup-cinder.json");
/// The volume of the example, and when its schedule starts.
const VOLUME: &str = "5faf793f-521b-4bfb-b531-72908bab8bf7";
const START: &str = "2030-01-07T02:00:00Z";
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// A gigabyte through Swift, on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(400);

/// The clock on the wall, turned ahead by hand: between two turns it goes as always.
struct Calendar {
    ahead_millis: AtomicI64,
    system: SystemClock,
}

impl Calendar {
    fn turn_to(&self, time: Timestamp) {
        self.ahead_millis.fetch_add(time.0 - self.now().0, Ordering::SeqCst);
    }
}

impl Clock for Calendar {
    fn now(&self) -> Timestamp {
        Timestamp(self.system.now().0 + self.ahead_millis.load(Ordering::SeqCst))
    }
    fn steady(&self) -> Duration {
        let ahead = u64::try_from(self.ahead_millis.load(Ordering::SeqCst)).unwrap();
        self.system.steady() + Duration::from_millis(ahead)
    }
}

async fn conductor(parts: &Parts<'_>, clock: Arc<Calendar>) -> Conductor {
    let options = DatabaseOptions::new(parts.database_url);
    let parts = ConductorParts {
        db: Database::connect(&options).unwrap(),
        transport: Transport::connect(parts.rabbit_url, RabbitOptions::default()).unwrap(),
        clock,
        options: ConductorOptions {
            poll_interval: Duration::from_millis(200),
            ..ConductorOptions::default()
        },
    };
    freezer_conductor::start(parts).await.unwrap()
}

/// A tenant's machine with freezer-scheduler on it.
fn scheduler(folder: &Path, cloud: &Cloud, project: &Project) -> Daemon {
    let config = format!(
        "[DEFAULT]\ndebug = true\n[scheduler]\nclient_id = {}\nno_daemon = true\nprogress_interval = 0.5\nstate_dir = {}\n\
         [service_auth]\nauth_url = {}\nusername = {}\npassword = {}\nproject_name = {}\nuser_domain_id = default\n\
         project_domain_id = default\nbackup_url = http://127.0.0.1:{}\n",
        cloud.client_id,
        folder.join("state").display(),
        services::keystone_url(),
        project.user,
        services::password(),
        project.name,
        cloud.api_port,
    );
    cloud::write(folder, "scheduler.conf", &config);
    let arguments = ["--config-file", &folder.join("scheduler.conf").display().to_string(), "start"];
    Daemon::new("freezer-scheduler", program("freezer-scheduler"), &arguments, folder.join("scheduler.log"))
        .variable("HOME", &folder.display().to_string())
        .variable("TMPDIR", &folder.display().to_string())
}

/// `freezer-scheduler job-create --file backup-cinder.json`; answers the job's id.
fn job_create(folder: &Path, volume: &str) -> String {
    assert!(
        EXAMPLE.contains(VOLUME)
            && EXAMPLE.contains("\"1 weeks\"")
            && EXAMPLE.contains("\"fullbackup_rotation\": 3")
    );
    cloud::write(folder, "backup-cinder.json", &EXAMPLE.replace(VOLUME, volume));
    let said = Command::new(program("freezer-scheduler"))
        .args(["--config-file", "scheduler.conf", "job-create", "--file", "backup-cinder.json"])
        .current_dir(folder)
        .env("HOME", folder)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{out}{}", String::from_utf8_lossy(&said.stderr));
    out.trim().strip_prefix("Created job ").unwrap().to_owned()
}

/// Waits until a conductor knows when the job is due.
async fn is_planned(user: &User, job: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let document = user.get(&format!("/jobs/{job}")).await;
        if document["job_schedule"]["status"] == "scheduled" {
            return;
        }
        assert!(Instant::now() < end, "job {job} is not planned: {document:#}");
        tokio::time::sleep(LOOK).await;
    }
}

/// The job's runs that have ended, oldest first, once there are `count` of them.
async fn ended_runs(user: &User, job: &str, count: usize) -> Vec<Value> {
    let end = Instant::now() + PATIENCE;
    loop {
        let listed = user.get(&format!("/jobs/{job}/runs?limit=100")).await;
        let runs = listed["runs"].as_array().unwrap().iter().rev();
        let ended: Vec<Value> =
            runs.filter(|run| run["finished_at"].as_i64().unwrap() > 0).cloned().collect();
        if ended.len() >= count {
            return ended;
        }
        assert!(Instant::now() < end, "run {count} of job {job} has not ended: {listed:#}");
        tokio::time::sleep(LOOK).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_weeks_leave_the_last_three_full_backups() {
    let work = tempfile::tempdir().unwrap();
    let folder = work.path();
    let (ground, project) = (Ground::new(), Project::create().await);
    let hands = Hands::of(&project).await;
    let volume = hands.volume("data", true).await;
    hands.server_with(&volume).await;

    let parts = ground.parts(&project.id, (&project.user, &project.name));
    let mut cloud = Cloud::start_services(folder, &parts, |_, _| String::new());
    cloud.conductor.kill();
    let clock = Arc::new(Calendar { ahead_millis: AtomicI64::new(0), system: SystemClock });
    let conductor = conductor(&parts, clock.clone()).await;
    let mut scheduler = scheduler(folder, &cloud, &project);
    scheduler.start();
    let user = User::new(cloud.api_port, &hands.login);
    cloud.wait_for_link(&user, "http").await;

    let job = job_create(folder, &volume);
    is_planned(&user, &job).await;
    let start = chrono::DateTime::parse_from_rfc3339(START).unwrap().timestamp();
    let mut saved = Vec::new();
    for week in 0..5 {
        clock.turn_to(Timestamp(start * 1000).plus(WEEK * week));
        let runs = ended_runs(&user, &job, saved.len() + 1).await;
        let run = user.get(&format!("/runs/{}", runs[saved.len()]["run_id"].as_str().unwrap())).await;
        assert_eq!(run["state"], "success", "week {week}: {run:#}");
        let step = &run["steps"][0]["result"]["backup_metadata"];
        saved.push(step["cinder_backup_id"].as_str().unwrap_or_else(|| panic!("{run:#}")).to_owned());
    }
    hands.volume_is(&volume, "in-use").await;

    let left = hands.backups(&volume).await;
    let ids: Vec<&str> = left.iter().map(|backup| backup["id"].as_str().unwrap()).collect();
    assert_eq!(ids, &saved[2..], "{left:#?}");
    for backup in &left {
        assert_eq!((&backup["is_incremental"], &backup["status"]), (&false.into(), &"available".into()));
        assert_eq!(
            (&backup["container"], &backup["name"]),
            (&"volume-backups".into(), &"weekly-volume-backup".into())
        );
    }
    // The service's own records tell the same.
    let records = user.get("/backups?limit=100").await;
    let mut known: Vec<&str> = records["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["backup_metadata"]["cinder_backup_id"].as_str().unwrap())
        .collect();
    known.sort_by_key(|id| saved.iter().position(|saved| saved == id));
    assert_eq!(known, ids);
    conductor.stop().await;
}
