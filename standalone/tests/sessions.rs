//! Two jobs of a session on real parts: attached by REST, fired by the conductor in one round, done by an agent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::ground::Ground;
use cloud::{Cloud, PATIENCE, User, login};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn call(user: &User, method: Method, path: &str, body: Option<&Value>) -> Value {
    let (status, document) = user.call(method, path, body).await.unwrap();
    assert!((200..300).contains(&status), "{path}: {status} {document}");
    document
}

async fn completed_session(user: &User) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let session = user.get("/sessions/s").await;
        if session["status"] == "completed" {
            return session;
        }
        assert!(Instant::now() < end, "the session has not ended: {session:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_jobs_are_one_round() {
    let work = tempfile::tempdir().unwrap();
    let ground = Ground::new();
    let demo = login("demo", "demo").await;
    let parts = ground.parts(&demo.project_id, ("demo", "demo"));
    let cloud = Cloud::start(work.path(), &parts);
    let user = User::new(cloud.api_port, &demo);
    cloud.wait_for_agent(&user).await;
    let (source, store) = (work.path().join("source"), work.path().join("store"));
    for folder in [&source, &store] {
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::write(source.join("file"), "worth saving\n").unwrap();

    // a plan that is due as soon as somebody starts it
    let session =
        json!({"session_tag": 0, "hold_off": 3600, "schedule": {"schedule_date": "2026-01-01T00:00:00"}});
    user.post("/sessions/s", &session).await;
    for (id, path) in [("web", source.clone()), ("db", source.join("missing"))] {
        let action = json!({"action": "backup", "mode": "fs", "engine_name": "tar", "storage": "local", "container": store,
            "backup_name": id, "path_to_backup": path});
        let job = json!({"job_id": id, "client_id": cloud.client_id, "job_schedule": {"status": "stop"},
            "job_actions": [{"freezer_action": action, "max_retries": 0}]});
        user.post("/jobs", &job).await;
        call(&user, Method::PUT, &format!("/sessions/s/jobs/{id}"), None).await;
    }
    // Both are in it before one runs: it would have ended with the first.
    for id in ["web", "db"] {
        user.post(&format!("/jobs/{id}/event"), &json!({"start": null})).await;
    }
    let session = completed_session(&user).await;
    // one of the folders is not there
    assert_eq!((&session["result"], &session["session_tag"]), (&json!("fail"), &json!(1)), "{session:#}");
    for (id, result) in [("web", "success"), ("db", "fail")] {
        let (member, job) = (&session["jobs"][id], user.get(&format!("/jobs/{id}")).await);
        assert_eq!((&member["status"], &member["result"]), (&json!("completed"), &json!(result)));
        assert_eq!((&job["session_tag"], &job["job_schedule"]["result"]), (&json!(1), &json!(result)));
        assert_eq!(job["job_schedule"]["time_ended"], member["time_ended"]);
    }
    let records = user.get("/backups").await;
    assert_eq!(records["backups"].as_array().unwrap().len(), 1, "{records:#}");
}
