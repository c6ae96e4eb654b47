//! Jobs: create, show, list, delete; what a read document holds.

use crate::harness::*;
use freezer_model::{JobId, ProjectId};
use serde_json::{Value, json};

#[tokio::test]
async fn a_new_job_reads_back_as_the_contract_says() {
    let api = Api::start().await;
    api.client(ALICE, "7d0c_node1.dom").await;
    let sent = json!({"description": "nightly etc", "client_id": "7d0c_node1.dom",
        "job_schedule": {"schedule_start_date": "2026-01-02T03:00:00", "schedule_interval": "1   days", "time_created": 5, "time_started": 6, "time_ended": 7},
        "job_actions": [{"freezer_action": {"action": "backup", "mode": "fs", "storage": "swift", "engine_name": "tar", "path_to_backup": "/etc",
            "backup_name": "etc", "container": "vault", "max_level": 6, "no_incremental": false}, "max_retries": 3, "max_retries_interval": 60,
            "mandatory": true, "exit_status": "success"}]});
    let created = api.call(ALICE, "POST", "/jobs/", sent).await.expect(201).json();
    let id = created["job_id"].as_str().unwrap();
    assert_eq!(created, json!({"job_id": id}));
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()), "{id}");
    let job = api.get(ALICE, &format!("/jobs/{id}")).await.expect(200).json();
    let action_id = job["job_actions"][0]["action_id"].clone();
    let expected = json!({
        "job_id": id, "project_id": "p1", "user_id": "alice", "client_id": "7d0c_node1.dom", "description": "nightly etc",
        "session_id": "", "session_tag": 0,
        "job_schedule": {"schedule_start_date": "2026-01-02T03:00:00", "schedule_interval": "1 days", "time_created": NOW, "time_started": -1,
            "time_ended": -1, "event": "", "status": "", "result": ""},
        "job_actions": [{"project_id": "p1", "action_id": action_id, "user_id": "alice", "max_retries": 3, "max_retries_interval": 60,
            "mandatory": true, "freezer_action": {"action": "backup", "mode": "fs", "storage": "swift", "engine_name": "tar", "path_to_backup": "/etc",
            "backup_name": "etc", "container": "vault", "max_level": 6, "no_incremental": false, "timeout": null, "priority": null, "log_file": null}}],
        "next_run_at": -1,
    });
    assert_eq!(job, expected);
    assert_eq!(api.get(ALICE, "/jobs/").await.json(), json!({"jobs": [expected]}));
}

#[tokio::test]
async fn plans_are_kept_as_every_scheduler_reads_them() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let sent = |hour: u32| {
        json!({"schedule_start_date": format!("2026-01-02T{hour:02}:00:00.5+02:00"), "schedule_interval": "1   days",
            "schedule_end_date": "2026-02-01T00:00:00Z"})
    };
    let kept = |hour: u32| {
        json!({"schedule_start_date": format!("2026-01-02T{hour:02}:00:00"), "schedule_interval": "1 days",
            "schedule_end_date": "2026-02-01T00:00:00"})
    };
    let plan = async |path: &str, schedule: &str| {
        let mut plan = api.get(ALICE, path).await.expect(200).json()[schedule].take();
        plan.as_object_mut().unwrap().retain(|key, _| key.starts_with("schedule_"));
        plan
    };
    api.job(ALICE, json!({"job_id": "j", "job_schedule": sent(3)})).await;
    assert_eq!(plan("/jobs/j", "job_schedule").await, kept(1));
    api.call(ALICE, "PATCH", "/jobs/j", json!({"job_schedule": sent(4)})).await.expect(200);
    assert_eq!(plan("/jobs/j", "job_schedule").await, kept(2));
    let mut whole = job_body();
    whole["job_schedule"] = sent(5);
    api.call(ALICE, "POST", "/jobs/j", whole).await.expect(201);
    assert_eq!(plan("/jobs/j", "job_schedule").await, kept(3));
    // One time alone is read with the zone that is said, and in the host's own without: what was said is not taken away.
    let once = json!({"job_schedule": {"schedule_date": "2026-01-02T03:00:00.5+02:00"}});
    api.call(ALICE, "PATCH", "/jobs/j", once).await.expect(200);
    assert_eq!(plan("/jobs/j", "job_schedule").await, json!({"schedule_date": "2026-01-02T01:00:00Z"}));
    // Those of sessions are the same, and so are those that jobs get from them.
    let made = api.call(ALICE, "POST", "/sessions", json!({"schedule": sent(6)})).await.expect(201).json();
    let session = format!("/sessions/{}", made["session_id"].as_str().unwrap());
    assert_eq!(plan(&session, "schedule").await, kept(4));
    api.call(ALICE, "PUT", &format!("{session}/jobs/j"), Value::Null).await.expect(204);
    assert_eq!(plan("/jobs/j", "job_schedule").await, kept(4));
    api.call(ALICE, "PATCH", &session, json!({"schedule": sent(7)})).await.expect(200);
    assert_eq!(plan(&session, "schedule").await, kept(5));
}

#[tokio::test]
async fn defaults_and_kept_state() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let id = api
        .job(ALICE, json!({"job_schedule": {"event": "start", "status": "stop", "result": "fail", "current_pid": 17}, "user_id": "blabla"}))
        .await;
    let job = api.get(ALICE, &format!("/jobs/{id}")).await.json();
    assert_eq!(job["description"], "");
    assert_eq!(job["user_id"], "alice");
    assert_eq!(job["job_actions"][0]["max_retries"], 5);
    assert_eq!(job["job_actions"][0]["max_retries_interval"], 6);
    assert_eq!(job["job_actions"][0]["mandatory"], false);
    let schedule = &job["job_schedule"];
    assert_eq!(
        (&schedule["event"], &schedule["status"], &schedule["result"]),
        (&json!("start"), &json!("stop"), &json!("fail"))
    );
    assert_eq!(schedule["current_pid"], 17);
}

#[tokio::test]
async fn tempests_sample_is_taken_by_a_polling_client() {
    let api = Api::start().await;
    api.client(ALICE, "01b0f00a-4ce2-11e6-beb8-9e71128cae77_myhost.mydomain.mytld").await;
    api.client(ALICE, "padawan-ccp-c1-m1-mgmt").await;
    let mut sample = json!({
        "job_actions": [{"freezer_action": {"action": "backup", "mode": "fs", "src_file": "/home/x", "backup_name": "b", "container": "c"},
            "exit_status": "success", "max_retries": 1, "max_retries_interval": 1, "mandatory": true}],
        "job_schedule": {"time_created": 1234, "time_started": 1234, "time_ended": 0, "status": "stop", "schedule_date": "2015-06-02T16:20:00",
            "schedule_month": "1-6, 9-12", "schedule_day": "mon, wed, fri", "schedule_hour": "03", "schedule_minute": "25"},
        "job_id": "blabla", "client_id": "01b0f00a-4ce2-11e6-beb8-9e71128cae77_myhost.mydomain.mytld", "user_id": "blabla", "description": "scheduled one shot"});
    api.call(ALICE, "POST", "/jobs", sample.clone()).await.expect(201);
    let again = api.call(ALICE, "POST", "/jobs", sample.clone()).await;
    again.expect_error(409, "Document already existing", "Job already registered with ID blabla");
    for bad in
        ["bad%project$id_host.domain.tld", "01b0f00a-4ce2-11e6-beb8-9e71128cae77_bad_hostname.bad/domain.b"]
    {
        sample["client_id"] = json!(bad);
        api.call(ALICE, "POST", "/jobs", sample.clone()).await.expect_refusal("client_id");
    }
    sample["client_id"] = json!("padawan-ccp-c1-m1-mgmt");
    sample["job_id"] = json!("other");
    api.call(ALICE, "POST", "/jobs", sample).await.expect(201);
    api.call(ALICE, "DELETE", "/jobs/blabla", Value::Null).await.expect(204);
    api.get(ALICE, "/jobs/blabla").await.expect(404);
}

#[tokio::test]
async fn an_id_can_be_used_again_after_deletion_and_actions_stay() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.job(ALICE, json!({"job_id": "again"})).await;
    api.call(ALICE, "DELETE", "/jobs/again", Value::Null).await.expect(204);
    assert_eq!(api.get(ALICE, "/actions").await.json()["actions"].as_array().unwrap().len(), 1);
    api.job(ALICE, json!({"job_id": "again"})).await;
    // and by another project at the same time
    api.client(OTTO, "node1").await;
    api.job(OTTO, json!({"job_id": "again"})).await;
}

#[tokio::test]
async fn the_client_must_exist_and_be_able() {
    let api = Api::start().await;
    let answer = api.call(ALICE, "POST", "/jobs", job_body()).await;
    answer.expect_error(422, "Unprocessable Entity", "Client not found with ID node1");
    let able = json!({"client_id": "node1", "supported_actions": ["backup"], "supported_modes": ["fs", "sqlserver"],
        "supported_storages": ["swift"], "supported_engines": ["tar"]});
    api.call(ALICE, "POST", "/clients", able).await.expect(201);
    for (options, refused) in [
        (json!({"action": "exec"}), Some("action: exec")),
        (json!({"action": "backup", "mode": "nova"}), Some("mode: nova")),
        (json!({"action": "backup", "mode": "mssql"}), None),
        (json!({"action": "backup", "storage": "ssh"}), Some("storage: ssh")),
        (json!({"action": "backup", "storage": "", "mode": null}), None),
        (json!({"action": "backup", "engine_name": "rsync"}), Some("engine: rsync")),
        (json!({"action": "backup", "engine": "rsync", "engine_name": "tar"}), Some("engine: rsync")),
        (
            json!({"action": "backup", "mode": "fs", "storage": "swift", "engine": "tar", "engine_name": "tar"}),
            None,
        ),
    ] {
        let mut body = job_body();
        body["job_actions"] = json!([{"freezer_action": options}]);
        let answer = api.call(ALICE, "POST", "/jobs", body).await;
        match refused {
            None => {
                answer.expect(201);
            }
            Some(what) => answer.expect_error(
                422,
                "Unprocessable Entity",
                &format!("Client node1 does not support {what}"),
            ),
        }
    }
    // the other name of a mode is kept as it was sent
    let search = json!({"match": [{"mode": "mssql"}]});
    let found = api.call(ALICE, "GET", "/jobs", search).await.expect(200).json();
    assert_eq!(found["jobs"].as_array().unwrap().len(), 1);
    // an empty list passes, but the client must be there all the same
    let mut body = job_body();
    body["job_actions"] = json!([]);
    api.call(ALICE, "POST", "/jobs", body.clone()).await.expect(201);
    body["client_id"] = json!("gone");
    api.call(ALICE, "POST", "/jobs", body).await.expect(422);
}

#[tokio::test]
async fn refused_jobs_leave_nothing_behind() {
    let api = Api::start().await;
    api.call(ALICE, "POST", "/clients", json!({"client_id": "node1", "supported_storages": ["swift"]}))
        .await
        .expect(201);
    let mut body = job_body();
    body["job_actions"] = json!([{"freezer_action": {"action": "backup"}}, {"freezer_action": {"action": "backup", "storage": "ssh"}}]);
    api.call(ALICE, "POST", "/jobs", body.clone()).await.expect(422);
    body["client_id"] = json!("nobody");
    api.call(ALICE, "POST", "/jobs", body.clone()).await.expect(422);
    body["job_id"] = json!("j");
    body["client_id"] = json!("node1");
    body["job_actions"] = json!([{"freezer_action": {"action": "backup"}}]);
    api.call(ALICE, "POST", "/jobs", body.clone()).await.expect(201);
    api.call(ALICE, "POST", "/jobs", body.clone()).await.expect(409);
    api.call(
        ALICE,
        "PATCH",
        "/jobs/absent",
        json!({"job_actions": [{"freezer_action": {"action": "backup"}}]}),
    )
    .await
    .expect(404);
    assert_eq!(api.get(ALICE, "/actions").await.json()["actions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn process_ids_are_for_those_who_run_the_client() {
    let api = Api::start().await;
    api.call(ADMIN, "POST", "/clients", json!({"client_id": "central", "is_central": true}))
        .await
        .expect(201);
    api.client(ALICE, "node1").await;
    let schedule = json!({"current_pid": 4711});
    api.job(ALICE, json!({"job_id": "own", "job_schedule": schedule})).await;
    api.job(ALICE, json!({"job_id": "far", "job_schedule": schedule, "client_id": "central"})).await;
    let pid = async |who: Who, id: &str| {
        api.call_in(who, "p1", "GET", &format!("/jobs/{id}"), Value::Null).await.expect(200).json()["job_schedule"]["current_pid"].clone()
    };
    assert_eq!(pid(ALICE, "own").await, 4711);
    assert_eq!(pid(READER, "own").await, 4711);
    assert_eq!(pid(ALICE, "far").await, Value::Null);
    assert_eq!(pid(SERVICE, "far").await, 4711);
    let listed = api.get(ALICE, "/jobs").await.json();
    let shown = |id: &str| {
        let jobs = listed["jobs"].as_array().unwrap();
        jobs.iter().find(|job| job["job_id"] == id).unwrap()["job_schedule"].get("current_pid").cloned()
    };
    assert_eq!((shown("own"), shown("far")), (Some(json!(4711)), None));
    // a search cannot be used to guess it
    let search = json!({"match": [{"current_pid": 4711}]});
    assert_eq!(api.call(ALICE, "GET", "/jobs", search).await.json(), json!({"jobs": []}));
    // the client is gone: hidden, but an abort must show a number
    api.call(ALICE, "DELETE", "/clients/node1", Value::Null).await.expect(204);
    assert_eq!(pid(ALICE, "own").await, Value::Null);
    api.call(ALICE, "POST", "/jobs/own/event", json!({"abort": null})).await.expect(202);
    assert_eq!(pid(ALICE, "own").await, -1);
}

#[tokio::test]
async fn trusts_are_shown_and_never_taken_from_a_body() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let forged = json!({"trust_id": "theirs", "trustor_user_id": "them"});
    let id = api.job(ALICE, json!({"user_credentials": forged})).await;
    for body in [
        json!({"user_credentials": forged}),
        json!({"user_credentials": {}}),
        json!({"user_credentials": null}),
    ] {
        api.call(ALICE, "PATCH", &format!("/jobs/{id}"), body).await.expect(200);
    }
    assert_eq!(api.get(ALICE, &format!("/jobs/{id}")).await.json().get("user_credentials"), None);
    let (project, job_id) = (ProjectId::from("p1"), JobId::from(id.as_str()));
    api.db
        .transaction(|tx| {
            let mut job = tx.jobs().get_for_update(&project, &job_id)?.unwrap();
            job.credentials = Some(freezer_model::TrustCredentials {
                trust_id: "t1".into(),
                trustor_user_id: "alice".into(),
            });
            tx.jobs().save(&job)
        })
        .unwrap();
    for body in
        [json!({"user_credentials": forged}), json!({"user_credentials": {}}), json!({"description": "x"})]
    {
        api.call(ALICE, "PATCH", &format!("/jobs/{id}"), body).await.expect(200);
    }
    let mut whole = job_body();
    whole["user_credentials"] = forged;
    api.call(ALICE, "POST", &format!("/jobs/{id}"), whole).await.expect(201);
    let kept = json!({"trust_id": "t1", "trustor_user_id": "alice"});
    assert_eq!(api.get(ALICE, &format!("/jobs/{id}")).await.json()["user_credentials"], kept);
}
