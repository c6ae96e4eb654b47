//! Sessions: documents, writes, membership (contract §5.6, §6.8).

use crate::harness::*;
use freezer_model::{Client, ClientId, Link, ProjectId};
use serde_json::{Value, json};

fn body(more: Value) -> Value {
    let mut body = json!({"description": "web + db", "schedule": {"schedule_interval": "1 days"}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The session `s` of project p1, with these members.
async fn with_session(jobs: &[&str]) -> Api {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.call(ALICE, "POST", "/sessions/s", body(json!({"session_tag": 0}))).await.expect(201);
    for job in jobs {
        api.job(ALICE, json!({"job_id": job, "job_schedule": {"schedule_interval": "5 hours"}})).await;
        put(&api, "s", job).await.expect(204);
    }
    api
}

async fn put(api: &Api, session: &str, job: &str) -> Answer {
    api.call(ALICE, "PUT", &format!("/sessions/{session}/jobs/{job}"), Value::Null).await
}

async fn take_out(api: &Api, session: &str, job: &str) -> Answer {
    api.call(ALICE, "DELETE", &format!("/sessions/{session}/jobs/{job}"), Value::Null).await
}

async fn session(api: &Api, id: &str) -> Value {
    api.get(ALICE, &format!("/sessions/{id}")).await.expect(200).json()
}

async fn job(api: &Api, id: &str) -> Value {
    api.get(ALICE, &format!("/jobs/{id}")).await.expect(200).json()
}

#[tokio::test]
async fn a_new_session_has_every_key() {
    let api = Api::start().await;
    // what a test suite of upstream's sends: its own id, a foreign user, a list of jobs
    let sent = body(
        json!({"session_id": "turnip", "user_id": "otto", "project_id": "p2", "status": "running", "jobs": [{"j": {}}],
        "last_start": 5, "time_started": 12, "time_ended": -1, "unheard_of": {"x": 1}}),
    );
    let answer = api.call(ALICE, "POST", "/sessions/", sent).await.expect(201).json();
    let id = answer["session_id"].as_str().unwrap();
    assert_eq!(answer.as_object().unwrap().len(), 1);
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    let expected = json!({"project_id": "p1", "session_id": id, "user_id": "alice", "description": "web + db", "session_tag": 0,
        "result": null, "hold_off": 30, "status": "active", "time_start": -1, "time_end": -1, "time_started": -1, "time_ended": -1,
        "last_start": "", "schedule": {"schedule_interval": "1 days"}, "jobs": {}});
    assert_eq!(session(&api, id).await, expected);
    assert_eq!(api.get(ALICE, "/sessions/").await.expect(200).json(), json!({"sessions": [expected]}));
    let sent = json!({"schedule": {}, "hold_off": 0, "session_tag": 7, "result": "r", "time_start": 5, "time_end": 6, "description": null});
    let id = api.call(ALICE, "POST", "/sessions", sent).await.expect(201).json()["session_id"].clone();
    let shown = session(&api, id.as_str().unwrap()).await;
    let keys = [
        "hold_off",
        "session_tag",
        "result",
        "time_start",
        "time_end",
        "time_started",
        "last_start",
        "description",
    ];
    assert_eq!(
        keys.map(|key| shown[key].clone()),
        [json!(0), json!(7), json!("r"), json!(5), json!(6), json!(5), json!(5), Value::Null]
    );
}

#[tokio::test]
async fn what_is_read_can_be_sent_back() {
    let api = with_session(&["m1", "m2"]).await;
    let before = session(&api, "s").await;
    for method in ["PATCH", "POST"] {
        let answer = api.call(ALICE, method, "/sessions/s", before.clone()).await;
        assert!(answer.status < 300, "{}", answer.text);
        assert_eq!(session(&api, "s").await, before, "{method}");
    }
}

#[tokio::test]
async fn an_id_can_be_used_again_after_deletion() {
    let api = with_session(&["m1"]).await;
    api.call(ALICE, "PATCH", "/sessions/s", json!({"hold_off": 60, "result": "r"})).await.expect(200);
    api.call(ALICE, "DELETE", "/sessions/s", Value::Null).await.expect(204);
    assert_eq!(job(&api, "m1").await["session_id"], "");
    api.call(ANN, "POST", "/sessions/s", body(json!({"session_tag": 3}))).await.expect(201);
    let fresh = session(&api, "s").await;
    let keys = ["user_id", "session_tag", "hold_off", "result", "jobs"].map(|key| fresh[key].clone());
    assert_eq!(keys, [json!("ann"), json!(3), json!(30), Value::Null, json!({})]);
    // The job that was in the one before can be in this one, under its number.
    put(&api, "s", "m1").await.expect(204);
    assert_eq!(job(&api, "m1").await["session_id"], "s");
}

#[tokio::test]
async fn patches_change_what_they_name() {
    let api = with_session(&["m1"]).await;
    let mut expected = session(&api, "s").await;
    let patch = async |sent: Value| {
        let answer = api.call(ALICE, "PATCH", "/sessions/s", sent).await.expect(200).json();
        assert_eq!(answer, json!({"session_id": "s", "version": 0}));
        session(&api, "s").await
    };
    assert_eq!(patch(json!({})).await, expected);
    // by a colleague: it stays its maker's
    api.call(ANN, "PATCH", "/sessions/s", json!({"description": "by ann"})).await.expect(200);
    expected["description"] = json!("by ann");
    assert_eq!((session(&api, "s").await, &expected["user_id"]), (expected.clone(), &json!("alice")));
    // the server's keys, nobody's keys, and a list where an object belongs
    let ignored = json!({"project_id": "p2", "user_id": "otto", "session_id": "t", "foo": 1, "last_start": 9, "time_started": 9, "jobs": [],
        "hold_off": null});
    assert_eq!(patch(ignored).await, expected);
    expected["description"] = Value::Null;
    expected["hold_off"] = json!(60);
    expected["schedule"] = json!({"schedule_hour": "3"});
    assert_eq!(
        patch(json!({"description": null, "hold_off": 60, "schedule": {"schedule_hour": "3"}})).await,
        expected
    );
    // jobs are merged: nothing goes by not being named; one that is not there would never end
    let phantom = api.call(ALICE, "PATCH", "/sessions/s", json!({"jobs": {"m9": {}}})).await.expect(422);
    assert_eq!(phantom.description(), "'jobs': there is no job m9 in this project");
    api.job(ALICE, json!({"job_id": "m9"})).await;
    expected["jobs"]["m1"]["status"] = json!("completed");
    expected["jobs"]["m9"] =
        json!({"client_id": "node9", "status": "", "result": "", "time_started": -1, "time_ended": -1});
    assert_eq!(
        patch(json!({"jobs": {"m9": {"client_id": "node9"}, "m1": {"status": "completed", "x": 1}}})).await,
        expected
    );
    assert_eq!(patch(json!({"jobs": {}})).await, expected);
    let keys: Vec<&str> = expected["jobs"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["m1", "m9"]);
    api.call(ALICE, "PATCH", "/sessions/x", json!({})).await.expect_error(
        404,
        "Not Found",
        "Session x not found",
    );
}

#[tokio::test]
async fn posting_an_item_creates_or_replaces() {
    let api = with_session(&["m1", "m2"]).await;
    let phantom = body(json!({"session_tag": 3, "jobs": {"x": {}}}));
    let phantom = api.call(ANN, "POST", "/sessions/t", phantom).await.expect(422);
    assert_eq!(phantom.description(), "'jobs': there is no job x in this project");
    api.job(ALICE, json!({"job_id": "x"})).await;
    let answer = api
        .call(ANN, "POST", "/sessions/t", body(json!({"session_tag": 3, "status": "odd", "jobs": {"x": {}}})))
        .await;
    assert_eq!(answer.expect(201).json(), json!({"session_id": "t", "version": "t"}));
    let made = session(&api, "t").await;
    assert_eq!(
        (&made["user_id"], &made["session_tag"], &made["status"]),
        (&json!("ann"), &json!(3), &json!("odd"))
    );
    assert_eq!(made["jobs"].as_object().unwrap().len(), 1);
    api.call(ALICE, "PATCH", "/sessions/s", json!({"hold_off": 99, "result": "fail"})).await.expect(200);
    // replaced: fields not sent or null keep their value, members not sent go and are let go
    let sent = json!({"schedule": {"schedule_day": "1"}, "session_tag": 2, "description": null, "jobs": {"m2": {"status": "running"}}});
    api.call(ANN, "POST", "/sessions/s", sent).await.expect(201);
    let after = session(&api, "s").await;
    let keys = ["description", "hold_off", "result", "session_tag", "user_id", "schedule"];
    assert_eq!(
        keys.map(|key| after[key].clone()),
        [json!("web + db"), json!(99), json!("fail"), json!(2), json!("alice"), json!({"schedule_day": "1"})]
    );
    assert_eq!(after["jobs"].as_object().unwrap().keys().collect::<Vec<_>>(), ["m2"]);
    assert_eq!(
        (&job(&api, "m1").await["session_id"], &job(&api, "m2").await["session_id"]),
        (&json!(""), &json!("s"))
    );
    // without `jobs` none is left
    api.call(ALICE, "POST", "/sessions/s", json!({"schedule": {}, "session_tag": 2})).await.expect(201);
    assert_eq!(
        (session(&api, "s").await["jobs"].clone(), job(&api, "m2").await["session_id"].clone()),
        (json!({}), json!(""))
    );
    api.call(ALICE, "POST", "/sessions/s", body(json!({})))
        .await
        .expect_refusal("'session_tag' is a required property");
    api.call(ALICE, "POST", "/sessions/a%20b", body(json!({"session_tag": 0})))
        .await
        .expect_refusal("'session_id' in the path");
}

#[tokio::test]
async fn a_job_that_comes_keeps_its_state_and_gets_the_plan() {
    let api = with_session(&[]).await;
    api.call(ALICE, "PATCH", "/sessions/s", json!({"session_tag": 4})).await.expect(200);
    let state = json!({"schedule_start_date": "2026-01-02T03:00:00", "status": "running", "result": "fail", "event": "abort", "current_pid": 8});
    api.job(ALICE, json!({"job_id": "j", "job_schedule": state})).await;
    let mut expected = job(&api, "j").await;
    expected["session_id"] = json!("s");
    expected["session_tag"] = json!(4);
    let schedule = expected["job_schedule"].as_object_mut().unwrap();
    schedule.remove("schedule_start_date");
    schedule.insert("schedule_interval".to_owned(), json!("1 days"));
    assert_eq!(put(&api, "s", "j").await.expect(204).text, "");
    assert_eq!(job(&api, "j").await, expected);
    let entry = json!({"client_id": "node1", "status": "running", "result": "fail", "time_started": -1, "time_ended": -1});
    assert_eq!(session(&api, "s").await["jobs"], json!({ "j": entry }));
    // once more begins the entry anew
    api.call(ALICE, "PATCH", "/sessions/s", json!({"jobs": {"j": {"status": "completed", "result": "x"}}}))
        .await
        .expect(200);
    put(&api, "s", "j").await.expect(204);
    assert_eq!(
        (session(&api, "s").await["jobs"].clone(), job(&api, "j").await),
        (json!({ "j": entry }), expected)
    );
    put(&api, "x", "j").await.expect_error(404, "Not Found", "Session x not found");
    put(&api, "s", "x").await.expect_error(404, "Not Found", "Job x not found");
    // a session without a plan has none to give
    api.call(ALICE, "POST", "/sessions/t", json!({"schedule": {"status": ""}, "session_tag": 0}))
        .await
        .expect(201);
    put(&api, "t", "j").await.expect(204);
    assert_eq!(job(&api, "j").await["job_schedule"]["schedule_interval"], "1 days");
    // a job is in one session
    assert_eq!(
        (session(&api, "s").await["jobs"].clone(), job(&api, "j").await["session_id"].clone()),
        (json!({}), json!("t"))
    );
}

#[tokio::test]
async fn a_job_that_goes_keeps_its_plan_and_is_stopped() {
    let api = with_session(&["j", "k"]).await;
    let mut expected = job(&api, "j").await;
    expected["session_id"] = json!("");
    expected["session_tag"] = json!(0);
    expected["job_schedule"]["event"] = json!("stop");
    for _ in 0..3 {
        assert_eq!(take_out(&api, "s", "j").await.expect(204).text, "");
        assert_eq!(job(&api, "j").await, expected);
        assert_eq!(session(&api, "s").await["jobs"].as_object().unwrap().keys().collect::<Vec<_>>(), ["k"]);
    }
    // not there, never there, another session's
    for id in ["none", "j"] {
        take_out(&api, "s", id).await.expect(204);
    }
    let before = job(&api, "k").await;
    take_out(&api, "x", "k").await.expect(204);
    assert_eq!(job(&api, "k").await, before);
    api.call(ALICE, "POST", "/sessions/t", body(json!({"session_tag": 0}))).await.expect(201);
    let before = job(&api, "k").await;
    take_out(&api, "t", "k").await.expect(204);
    assert_eq!(job(&api, "k").await, before);
    // a deleted job is not waited for
    api.call(ALICE, "DELETE", "/jobs/k", Value::Null).await.expect(204);
    assert_eq!(session(&api, "s").await["jobs"], json!({}));
}

#[tokio::test]
async fn a_job_that_is_replaced_without_its_session_is_not_waited_for() {
    let api = with_session(&["j", "k"]).await;
    let mut whole = job(&api, "j").await;
    for (removed, members) in [("none", &["j", "k"][..]), ("session_id", &["k"])] {
        whole.as_object_mut().unwrap().remove(removed);
        api.call(ALICE, "POST", "/jobs/j", whole.clone()).await.expect(201);
        assert_eq!(session(&api, "s").await["jobs"].as_object().unwrap().keys().collect::<Vec<_>>(), members);
    }
    assert_eq!(job(&api, "j").await["session_id"], "");
    assert_eq!(job(&api, "k").await["session_id"], "s");
}

#[tokio::test]
async fn deleting_a_session_lets_its_jobs_go() {
    let api = with_session(&["j"]).await;
    let mut expected = job(&api, "j").await;
    expected["session_id"] = json!("");
    for _ in 0..2 {
        assert_eq!(api.call(ALICE, "DELETE", "/sessions/s", Value::Null).await.expect(204).text, "");
    }
    // it stays planned: a backup by itself is better than none
    assert_eq!(job(&api, "j").await, expected);
    assert_eq!(api.get(ALICE, "/sessions/s").await.expect(404).text, "");
}

#[tokio::test]
async fn members_get_the_attention_of_conductors() {
    let api = with_session(&["j"]).await;
    let (project, id) = (ProjectId::from("p1"), freezer_model::JobId::from("j"));
    let version = || api.db.read(|tx| tx.jobs().get(&project, &id)).unwrap().unwrap().plan_version;
    let before = version();
    api.call(ALICE, "PATCH", "/sessions/s", json!({"schedule": {"schedule_hour": "3"}})).await.expect(200);
    // The first time it gets another plan: how long its scheduler is silent counts from there.
    for (method, grown, is_new) in [("PUT", 1, true), ("PUT", 1, false), ("DELETE", 1, false)] {
        api.clock.advance(std::time::Duration::from_secs(60));
        let planning =
            freezer_database::Planning { planned_version: None, next_run_at: None, attention_at: None };
        api.db.transaction(|tx| tx.jobs().set_planning(&project, &id, planning)).unwrap();
        api.call(ALICE, method, "/sessions/s/jobs/j", Value::Null).await.expect(204);
        assert_eq!(version(), before + grown, "{method}");
        let asked = api.db.read(|tx| tx.jobs().next_attention()).unwrap();
        assert_eq!(asked, Some(freezer_model::Clock::now(&*api.clock)), "{method}");
        let due = api.db.transaction(|tx| tx.jobs().planning_for_update(&project, &id)).unwrap().unwrap();
        assert_eq!(due.heard_at == asked, is_new, "{method}");
    }
}

#[tokio::test]
async fn a_plan_that_our_conductor_cannot_follow_is_not_given_to_its_jobs() {
    let api = with_session(&["j"]).await;
    api.call(ALICE, "PATCH", "/sessions/s", json!({"schedule": {"schedule_hour": "at night"}}))
        .await
        .expect(200);
    put(&api, "s", "j").await.expect(204);
    let id = (ProjectId::from("p1"), ClientId::from("node1"));
    api.db
        .transaction(|tx| {
            let client = tx.clients().get(&id.0, &id.1)?.unwrap();
            tx.clients().save(&Client { link: Link::Amqp, ..client })
        })
        .unwrap();
    api.job(ALICE, json!({"job_id": "k"})).await;
    let before = session(&api, "s").await;
    put(&api, "s", "k").await.expect_refusal("schedule_hour");
    assert_eq!(session(&api, "s").await, before);
}

#[tokio::test]
async fn lists_are_searched_paged_and_cost_the_same() {
    let api = with_session(&["m1", "m2"]).await;
    for index in 0..11 {
        let sent =
            body(json!({"session_tag": index, "description": format!("Number {index}"), "jobs": {"m1": {}}}));
        api.call(ALICE, "POST", &format!("/sessions/t{index}"), sent).await.expect(201);
    }
    let found = async |query: &str, search: Value| {
        let answer = api.call(ALICE, "GET", &format!("/sessions{query}"), search).await.expect(200).json();
        let ids = answer["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["session_id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>().join(" ")
    };
    for (query, search, expected) in [
        ("", json!({}), "s t0 t1 t10 t2 t3 t4 t5 t6 t7"),
        ("?limit=100&offset=10", Value::Null, "t8 t9"),
        ("?limit=2&offset=1", json!({"match_not": [{"session_tag": 1}]}), "t0 t10"),
        ("", json!({"match": [{"session_id": "t3"}]}), "t3"),
        ("", json!({"match": [{"session_id": "t3"}, {"session_tag": 4}]}), ""),
        ("", json!({"match": [{"session_tag": 4}]}), "t4"),
        ("", json!({"match": [{"client_id": "node1"}]}), "s"),
        ("", json!({"match": [{"_all": "number 5"}]}), "t5"),
        ("", json!({"match": [{"_all": "[{\"session_tag\": \"6\"}]"}]}), "t6"),
        ("", json!({"match": [{"_all": "nobody"}]}), ""),
    ] {
        assert_eq!(found(query, search.clone()).await, expected, "{query} {search}");
    }
    let cost = async |path: &str| {
        let before = api.db.statements();
        api.get(ALICE, path).await.expect(200);
        api.db.statements() - before
    };
    assert_eq!((cost("/sessions?limit=1").await, cost("/sessions?limit=100").await), (2, 2));
    let jobs = ["m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10"];
    for job in jobs {
        api.job(ALICE, json!({ "job_id": job })).await;
    }
    let members: serde_json::Map<String, Value> =
        jobs.into_iter().chain(["m1", "m2"]).map(|job| (job.to_owned(), json!({}))).collect();
    for index in 11..99 {
        let sent = body(json!({"session_tag": index, "jobs": members}));
        api.call(ALICE, "POST", &format!("/sessions/t{index}"), sent).await.expect(201);
    }
    let all = api.get(ALICE, "/sessions?limit=100").await.expect(200).json();
    assert_eq!(all["sessions"].as_array().unwrap().len(), 100);
    assert_eq!(all["sessions"][99]["jobs"].as_object().unwrap().len(), 10);
    assert_eq!(cost("/sessions?limit=100").await, 2, "sessions, their jobs");
}
