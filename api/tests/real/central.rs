//! The unmodified `freezer-scheduler` of upstream in central mode: the operator's one scheduler for all projects. It registers as
//! central, polls all projects, leaves a job without a trust alone, and runs, reports and records one with a trust by tokens that
//! Keystone gave it for the tenant's project.

use crate::stage::Stage;
use crate::tenant::{Tenant, User};
use crate::trusts::reconfigure;
use freezer_testkit::{Daemon, random_name, services, venv};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(240);

/// Starts the operator's scheduler, in the foreground.
fn scheduler(folder: &Path, backup_url: &str) -> Daemon {
    let programs = venv::freezer_in_python();
    for name in ["jobs", "home", "source"] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
    let configuration = folder.join("scheduler.conf");
    let text = format!(
        "[DEFAULT]\ndebug = true\n[scheduler]\nclient_id = central\njobs_dir = {}\ninterval = 1\nno_daemon = true\n\
         centralized_scheduler = true\n[capabilities]\nsupported_actions = backup,restore,info,admin\nsupported_storages = swift\n",
        folder.join("jobs").display(),
    );
    std::fs::write(&configuration, text).unwrap();
    let arguments = ["--config-file", configuration.to_str().unwrap(), "start"];
    let log = folder.join("scheduler.log");
    let mut scheduler =
        Daemon::new("freezer-scheduler of upstream", programs.join("freezer-scheduler"), &arguments, log)
            .variable("PATH", &format!("{}:/usr/bin:/bin", programs.display()))
            .variable("HOME", folder.join("home").to_str().unwrap());
    for (name, value) in [
        ("OS_AUTH_URL", services::keystone_url().as_str()),
        ("OS_USERNAME", "freezer"),
        ("OS_PASSWORD", &services::password()),
        ("OS_PROJECT_NAME", "service"),
        ("OS_USER_DOMAIN_NAME", "Default"),
        ("OS_PROJECT_DOMAIN_NAME", "Default"),
        ("OS_BACKUP_URL", backup_url),
    ] {
        scheduler = scheduler.variable(name, value);
    }
    scheduler.start();
    scheduler
}

/// Waits for a condition while the scheduler lives.
async fn until<T>(scheduler: &mut Daemon, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(scheduler.is_running() && Instant::now() < end, "{what}: {}", scheduler.last_words());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn backup(id: &str, folder: &Path, container: &str) -> Value {
    json!({"job_id": id, "client_id": "central", "job_schedule": {}, "job_actions": [{"max_retries": 0, "freezer_action": {
        "action": "backup", "mode": "fs", "storage": "swift", "engine_name": "tar", "backup_name": id, "container": container,
        "path_to_backup": folder.join("source"), "log_file": folder.join("home/agent.log")}}]})
}

/// Names of the objects in a container of the tenant's account; they are deleted on the way, and so is the container.
async fn emptied(ann: &User, container: &str) -> Vec<String> {
    let send = async |method: Method, path: String| {
        ann.session.request(method, "object-store", &path).send().await.unwrap()
    };
    let listed = send(Method::GET, format!("/{container}")).await;
    let names: Vec<String> = listed.text().await.unwrap().lines().map(str::to_owned).collect();
    for name in &names {
        assert!(send(Method::DELETE, format!("/{container}/{name}")).await.status().is_success(), "{name}");
    }
    send(Method::DELETE, format!("/{container}")).await;
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn one_scheduler_serves_a_tenant_under_the_jobs_trust() {
    Tenant::with(async |tenant| {
        let mut stage = Stage::start();
        let folder = stage.folder.path().to_owned();
        let (ann, service) = (tenant.ann().await, stage.person("freezer", "service").await);
        let container = format!("central-{}", random_name());
        // At first the service makes no trusts.
        reconfigure(&mut stage, "[centralized_scheduler]\nenabled = false\n");
        let mut scheduler = scheduler(&folder, &stage.base);
        std::fs::write(folder.join("source/file"), "worth saving\n").unwrap();
        let get = async |path: &str| {
            let answer = stage.call(&ann.person, "GET", path, Value::Null).await;
            (answer.status == 200).then(|| answer.json())
        };
        let client = until(&mut scheduler, "the registration", async || get("/clients/central").await).await;
        assert_eq!(
            (&client["client"]["is_central"], &client["project_id"]),
            (&json!(true), &json!(service.project_id))
        );
        assert_eq!(client["client"]["supported_storages"], json!(["swift"]));
        let mut local = backup("local", &folder, &container);
        local["job_actions"][0]["freezer_action"]["storage"] = json!("local");
        let refused = stage.call(&ann.person, "POST", "/jobs", local).await.expect(422).json();
        assert_eq!(refused["description"], "Client central does not support storage: local");
        stage.call(&ann.person, "POST", "/jobs", backup("without", &folder, &container)).await.expect(201);
        let log = folder.join("scheduler.log");
        let ignored = async || {
            let log = std::fs::read_to_string(&log).unwrap();
            log.contains("Job without ignored: missing trust_id").then_some(())
        };
        until(&mut scheduler, "a job without a trust is ignored", ignored).await;

        reconfigure(&mut stage, "enabled = true\n");
        let get = async |path: &str| {
            let answer = stage.call(&ann.person, "GET", path, Value::Null).await;
            (answer.status == 200).then(|| answer.json())
        };
        stage.call(&ann.person, "POST", "/jobs", backup("with", &folder, &container)).await.expect(201);
        let ended =
            async || get("/jobs/with").await.filter(|job| job["job_schedule"]["status"] == "completed");
        let job = until(&mut scheduler, "the job's end", ended).await;
        assert_eq!(job["job_schedule"]["result"], "success", "{job}\n{}", scheduler.last_words());
        assert_eq!(job["user_id"], json!(ann.person.user_id), "the job stays its maker's");
        assert_eq!(job["job_schedule"].get("current_pid"), None, "a process of the operator's host");
        let records = get("/backups").await.unwrap();
        let record = &records["backups"][0];
        assert_eq!(records["backups"].as_array().unwrap().len(), 1, "{}", scheduler.last_words());
        assert_eq!(record["backup_metadata"]["job_id"], "with");
        // No impersonation: the service user, in the tenant's project.
        assert_eq!(
            (&record["user_id"], &record["project_id"]),
            (&json!(service.user_id), &json!(tenant.project_id))
        );
        let by_trust = format!("{} {}", service.user_id, tenant.project_id);
        let said = stage.daemon.log();
        for call in ["PATCH", "POST"] {
            let is_it = |line: &str| line.contains(&by_trust) && line.contains(call);
            assert!(said.lines().any(is_it), "{call} by {by_trust}: {said}");
        }
        let stored = emptied(&ann, &container).await;
        assert!(!stored.is_empty(), "the data are in the tenant's account");

        let alone = get("/jobs/without").await.unwrap();
        assert_eq!(
            (&alone["job_schedule"]["result"], &alone["job_schedule"]["time_started"]),
            (&json!(""), &json!(-1))
        );
        scheduler.kill();
        // Its maker gives it a trust by choosing the client again.
        stage.call(&ann.person, "PATCH", "/jobs/without", json!({"client_id": "central"})).await.expect(200);
        let (one, other) = (get("/jobs/with").await.unwrap(), get("/jobs/without").await.unwrap());
        assert_eq!(one["user_credentials"], other["user_credentials"]);
        for id in ["with", "without"] {
            stage.call(&ann.person, "DELETE", &format!("/jobs/{id}"), Value::Null).await.expect(204);
        }
        assert_eq!(ann.session.list_trusts(&ann.person.user_id, &service.user_id).await.unwrap(), []);
    })
    .await;
}
