//! The demo's story on real parts: a job by REST with a Keystone token → MariaDB → RabbitMQ → agent →
//! Swift → restore; equal trees; another project sees nothing of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::ground::Ground;
use cloud::{Cloud, User, login, remove_container};
use freezer_testkit::random_name;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

fn make_tree(root: &Path) {
    let script = "mkdir -p a/b/c 'with blank' && echo one > a/one && seq 1 200000 > a/b/numbers && ln a/one a/b/hard && ln -s ../one a/b/soft \
        && : > a/empty && truncate -s 3M a/hole && printf end >> a/hole && head -c 3000000 /dev/urandom > a/b/c/random && touch -d '2020-02-02T02:02:02.123456789' a/one \
        && setfattr -n user.note -v text a/one && setfacl -m u:1:r a/empty && chmod 4711 a/b/numbers && mkfifo a/pipe";
    std::fs::create_dir_all(root).unwrap();
    let status = Command::new("bash").arg("-ec").arg(script).current_dir(root).status().unwrap();
    assert!(status.success());
}

/// What GNU tools say of a tree: names, types, modes, owners, times, links, content, attributes, ACLs.
fn describe(root: &Path) -> String {
    let script = "find . -printf '%P %y %m %u %g %l %TY-%Tm-%TdT%TT %n\\n' | grep -v '^ d' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum; \
        find . -print0 | sort -z | xargs -0 getfattr -h -d -m user. 2>/dev/null; find . ! -type l -print0 | sort -z | xargs -0 getfacl -p";
    let output =
        Command::new("bash").arg("-c").arg(script).current_dir(root).env("LC_ALL", "C").output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn action(storage: &str, container: &str, more: Value) -> Value {
    let mut action = json!({"mode": "fs", "engine_name": "tar", "storage": storage, "container": container, "backup_name": "story"});
    action.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"freezer_action": action, "max_retries": 0})
}

async fn run_once(user: &User, client_id: &str, actions: Vec<Value>) -> Value {
    let job =
        json!({"description": "story", "client_id": client_id, "job_schedule": {}, "job_actions": actions});
    let created = user.post("/jobs", &job).await;
    user.finished_run(created["job_id"].as_str().unwrap(), 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_on_real_parts() {
    let work = tempfile::tempdir().unwrap();
    let ground = Ground::new();
    let demo = login("demo", "demo").await;
    let parts = ground.parts(&demo.project_id, ("demo", "demo"));
    let cloud = Cloud::start(work.path(), &parts);
    let user = User::new(cloud.api_port, &demo);
    cloud.wait_for_agent(&user).await;

    let source = work.path().join("source");
    make_tree(&source);
    let container = format!("story-{}", random_name());
    let pass = work.path().join("pass");
    std::fs::write(&pass, "a pass phrase\n").unwrap();
    let backup = || {
        action(
            "swift",
            &container,
            json!({"action": "backup", "path_to_backup": source, "incremental": true, "encrypt_pass_file": pass, "max_segment_size": 1_048_576}),
        )
    };
    let rotation = action("swift", &container, json!({"action": "admin", "keep_last": 5}));

    let full = run_once(&user, &cloud.client_id, vec![backup(), rotation.clone()]).await;
    assert_eq!(full["state"], "success", "{full:#}");
    let first = describe(&source);
    let log = full["steps"][0]["log"].to_string();
    assert!(log.contains(" INFO ") && log.contains("story"), "{log}");
    let taken = full["steps"][0]["result"]["backup_metadata"]["time_stamp"].as_i64().unwrap();
    let script = "rm a/b/soft && mv a/b/c moved && echo changed > a/one && rm -r 'with blank' && echo file > 'with blank'";
    assert!(Command::new("bash").arg("-ec").arg(script).current_dir(&source).status().unwrap().success());
    let increment = run_once(&user, &cloud.client_id, vec![backup(), rotation]).await;
    assert_eq!(increment["state"], "success", "{increment:#}");
    assert_eq!(increment["steps"][0]["result"]["backup_metadata"]["curr_backup_level"], 1);
    let second = describe(&source);

    let older = chrono::DateTime::from_timestamp(taken, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string();
    for (folder, date, wanted) in [("newest", None, &second), ("older", Some(older), &first)] {
        let target = work.path().join(folder);
        let restore = action(
            "swift",
            &container,
            json!({"action": "restore", "restore_abs_path": target, "encrypt_pass_file": pass, "restore_from_date": date}),
        );
        let run = run_once(&user, &cloud.client_id, vec![restore]).await;
        assert_eq!(run["state"], "success", "{run:#}");
        assert_eq!(&describe(&target), wanted, "{folder}");
    }
    the_records_are_there(&user, &container).await;
    another_project_sees_nothing(&cloud, &demo.project_id, &full).await;
    remove_container(&demo, &container).await;
}

async fn the_records_are_there(user: &User, container: &str) {
    let backups = user.get("/backups?limit=100").await;
    let records: Vec<&Value> = backups["backups"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|backup| backup["backup_metadata"]["container"] == container)
        .collect();
    assert_eq!(records.len(), 2, "{backups:#}");
    let jobs = user.get("/jobs?limit=100").await;
    for job in jobs["jobs"].as_array().unwrap() {
        assert_eq!(job["job_schedule"]["status"], "completed", "{job:#}");
        assert_eq!(job["job_schedule"]["result"], "success");
    }
}

async fn another_project_sees_nothing(cloud: &Cloud, demo_project: &str, run: &Value) {
    let other = login("other", "other").await;
    let own = User::new(cloud.api_port, &other);
    for noun in ["jobs", "actions", "clients", "backups", "runs"] {
        let list = own.get(&format!("/{noun}?limit=100")).await;
        assert_eq!(list[noun], json!([]), "{noun}");
    }
    let run_id = run["run_id"].as_str().unwrap();
    let (status, _) = own.call(reqwest::Method::GET, &format!("/runs/{run_id}"), None).await.unwrap();
    assert_eq!(status, 404);
    let trespassing = cloud::Login { token: other.token, project_id: demo_project.to_owned() };
    let trespasser = User::new(cloud.api_port, &trespassing);
    let (status, _) = trespasser.call(reqwest::Method::GET, "/jobs", None).await.unwrap();
    assert_eq!(status, 403);
}
