//! Many who write to one row at once, on MariaDB: what each was told is written is there afterwards.

use crate::stage::{Answer, Person, Stage};
use futures_util::future::join_all;
use serde_json::{Value, json};

const WRITERS: usize = 40;

async fn patch_all(stage: &Stage, who: &Person, path: &str, bodies: Vec<Value>) -> Value {
    let sent = bodies.into_iter().map(|body| stage.call(who, "PATCH", path, body));
    for answer in join_all(sent).await {
        answer.expect(200);
    }
    stage.call(who, "GET", path, Value::Null).await.expect(200).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_patch_of_a_record_stays() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    let record = json!({"container": "c", "hostname": "h", "backup_name": "b"});
    let made = stage.call(&demo, "POST", "/backups", record).await.expect(201).json();
    let path = format!("/backups/{}", made["backup_id"].as_str().unwrap());
    let mut bodies: Vec<Value> =
        (0..WRITERS).map(|n| json!({"backup_metadata": {(format!("k{n}")): n}})).collect();
    bodies.push(json!({"status": "error"}));
    let record = patch_all(&stage, &demo, &path, bodies).await;
    assert_eq!(record["status"], "error");
    let lost: Vec<usize> =
        (0..WRITERS).filter(|n| record["backup_metadata"][format!("k{n}")] != *n).collect();
    assert!(lost.is_empty(), "gone: {lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_patch_of_an_action_stays() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    let action = |verb: &str| json!({"freezer_action": {"action": verb}, "mandatory": false});
    stage.call(&demo, "POST", "/actions/a", action("backup")).await.expect(201);
    for round in 1..=10 {
        let bodies = vec![
            json!({"max_retries": round}),
            json!({"max_retries_interval": round}),
            json!({"mandatory": round % 2 == 1}),
            json!({"freezer_action": {"action": "backup", "round": round}}),
        ];
        let action = patch_all(&stage, &demo, "/actions/a", bodies).await;
        let found = ["max_retries", "max_retries_interval", "mandatory"].map(|key| action[key].clone());
        assert_eq!(found, [json!(round), json!(round), json!(round % 2 == 1)], "{action}");
        assert_eq!(action["freezer_action"]["round"], round);
    }
}

/// Each way to a new job counts what is there, and none of them counts while another one adds.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_come_at_once_do_not_pass_the_quota() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    let admin = Person { project_id: demo.project_id.clone(), ..stage.person("admin", "admin").await };
    stage.call(&demo, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
    stage.call(&admin, "PUT", "/quotas", json!({"jobs": 3})).await.expect(200);
    let job = json!({"client_id": "node1", "job_actions": [{"freezer_action": {"action": "backup"}}]});
    for _round in 0..4 {
        let paths = (0..16).map(|n| if n % 4 == 0 { format!("/jobs/new{n}") } else { "/jobs".to_owned() });
        let sent = paths.map(|path| {
            let (stage, demo, job) = (&stage, &demo, job.clone());
            async move { stage.call(demo, "POST", &path, job).await }
        });
        let (made, refused): (Vec<Answer>, Vec<Answer>) =
            join_all(sent).await.into_iter().partition(|answer| answer.status == 201);
        assert_eq!(made.len(), 3);
        for answer in refused {
            let said = answer.expect(403).json()["description"].as_str().unwrap().to_owned();
            assert!(said.starts_with("Quota exceeded"), "{said}");
        }
        let jobs = stage.call(&demo, "GET", "/jobs?limit=100", Value::Null).await.expect(200).json();
        let ids: Vec<&str> =
            jobs["jobs"].as_array().unwrap().iter().map(|job| job["job_id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 3, "{ids:?}");
        for id in ids {
            stage.call(&demo, "DELETE", &format!("/jobs/{id}"), Value::Null).await.expect(204);
        }
    }
}

/// Each of them creates it or replaces what another one has created: nobody is told that the id is taken.
#[tokio::test(flavor = "multi_thread")]
async fn upserts_of_one_new_id_all_succeed() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    stage.call(&demo, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
    let action = json!({"freezer_action": {"action": "backup"}});
    for round in 0..6 {
        let job = json!({"client_id": "node1", "job_actions": [{"action_id": format!("n{round}"), "freezer_action": {"action": "backup"}}]});
        let another = json!({"client_id": "node1", "job_actions": [{"action_id": format!("m{round}"), "freezer_action": {"action": "backup"}}]});
        for (path, body) in [
            // Jobs of their own, with one new action.
            ("/jobs".to_owned(), another),
            (format!("/actions/a{round}"), action.clone()),
            (format!("/jobs/j{round}"), job),
            (format!("/sessions/s{round}"), json!({"schedule": {}, "session_tag": 0})),
            ("/clients".to_owned(), json!({"client_id": format!("host{round}")})),
        ] {
            let sent = (0..8).map(|_| stage.call(&demo, "POST", &path, body.clone()));
            for answer in join_all(sent).await {
                assert_eq!(answer.status, 201, "{path}: {}", answer.text);
            }
        }
    }
}

/// A session that all its jobs join at the same moment, and whose rounds nobody is too late for.
async fn session_of(stage: &Stage, demo: &Person, session: &str, jobs: &[String]) {
    let document = json!({"schedule": {}, "session_tag": 0, "hold_off": 3600});
    stage.call(demo, "POST", &format!("/sessions/{session}"), document).await.expect(201);
    let action = json!({"freezer_action": {"action": "backup"}});
    for id in jobs {
        let job = json!({"client_id": "node1", "job_actions": [action]});
        stage.call(demo, "POST", &format!("/jobs/{id}"), job).await.expect(201);
    }
    answered(change_members(stage, demo, "PUT", session, jobs).await, 204);
    assert_eq!(members_of(stage, demo, session).await, jobs);
}

async fn change_members(
    stage: &Stage,
    demo: &Person,
    verb: &str,
    session: &str,
    jobs: &[String],
) -> Vec<Answer> {
    let paths = jobs.iter().map(|job| format!("/sessions/{session}/jobs/{job}"));
    join_all(paths.map(|path| async move { stage.call(demo, verb, &path, Value::Null).await })).await
}

fn answered(answers: Vec<Answer>, status: u16) {
    for answer in answers {
        answer.expect(status);
    }
}

async fn show(stage: &Stage, demo: &Person, path: &str) -> Value {
    stage.call(demo, "GET", path, Value::Null).await.expect(200).json()
}

/// Their ids, in the order of names.
async fn members_of(stage: &Stage, demo: &Person, session: &str) -> Vec<String> {
    let shown = show(stage, demo, &format!("/sessions/{session}")).await;
    let mut members: Vec<String> = shown["jobs"].as_object().unwrap().keys().cloned().collect();
    members.sort_unstable();
    members
}

/// One of all who start at once begins the round, the others join it; when all end at once, it is over.
#[tokio::test(flavor = "multi_thread")]
async fn every_member_that_starts_or_ends_at_once_is_in_the_round() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    stage.call(&demo, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
    for round in 0..6 {
        let session = format!("s{round}");
        let jobs: Vec<String> = (0..8).map(|n| format!("{session}m{n}")).collect();
        session_of(&stage, &demo, &session, &jobs).await;
        let path = format!("/sessions/{session}/action");
        let say = async |bodies: Vec<Value>| {
            let sent = bodies.into_iter().map(|body| stage.call(&demo, "POST", &path, body));
            for answer in join_all(sent).await {
                let told = answer.expect(202).json();
                assert_eq!(told, json!({"result": "success", "session_tag": 1}));
            }
            show(&stage, &demo, &format!("/sessions/{session}")).await
        };
        let start = |job: &String| json!({"start": {"job_id": job, "current_tag": 0}});
        let started = say(jobs.iter().map(start).collect()).await;
        assert_eq!((&started["status"], &started["session_tag"]), (&json!("running"), &json!(1)));
        let end = |(n, job): (usize, &String)| {
            let result = if n == 5 { "fail" } else { "success" };
            json!({"end": {"job_id": job, "current_tag": 1, "result": result}})
        };
        let ended = say(jobs.iter().enumerate().map(end).collect()).await;
        assert_eq!((&ended["status"], &ended["result"]), (&json!("completed"), &json!("fail")), "{ended}");
        for (n, job) in jobs.iter().enumerate() {
            let result = if n == 5 { "fail" } else { "success" };
            assert_eq!(started["jobs"][job]["status"], "running", "{started}");
            assert_eq!(
                (&ended["jobs"][job]["status"], &ended["jobs"][job]["result"]),
                (&json!("completed"), &json!(result)),
                "{ended}"
            );
            assert_eq!(show(&stage, &demo, &format!("/jobs/{job}")).await["session_tag"], 1);
        }
    }
}

/// Members that come and go while others start and end: none is lost, none comes back.
#[tokio::test(flavor = "multi_thread")]
async fn every_member_that_comes_or_goes_at_once_has_come_or_gone() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    stage.call(&demo, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
    for round in 0..6 {
        let session = format!("s{round}");
        let (go, stay): (Vec<String>, Vec<String>) = (
            (0..4).map(|n| format!("{session}a{n}")).collect(),
            (0..4).map(|n| format!("{session}b{n}")).collect(),
        );
        let all: Vec<String> = go.iter().chain(&stay).cloned().collect();
        session_of(&stage, &demo, &session, &all).await;
        let path = format!("/sessions/{session}/action");
        let start = |job: &String| {
            stage.call(&demo, "POST", &path, json!({"start": {"job_id": job, "current_tag": 0}}))
        };
        let (gone, started) = tokio::join!(
            change_members(&stage, &demo, "DELETE", &session, &go),
            join_all(stay.iter().map(start))
        );
        answered(gone, 204);
        answered(started, 202);
        assert_eq!(members_of(&stage, &demo, &session).await, stay);
        for job in &all {
            let shown = show(&stage, &demo, &format!("/jobs/{job}")).await;
            let is_member = stay.contains(job);
            let expected = if is_member { (json!(session), json!(1)) } else { (json!(""), json!(0)) };
            assert_eq!((shown["session_id"].clone(), shown["session_tag"].clone()), expected, "{job}");
        }
    }
}
