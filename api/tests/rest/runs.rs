//! Runs: what the conductor wrote down about the firings of jobs.

use crate::harness::*;
use freezer_model::{
    Action, ActionId, ClientId, Epoch, JobId, Progress, ProjectId, Run, RunId, RunState, Step, StepOutcome,
    Timestamp, UserId,
};
use serde_json::{Map, Value, json};

pub fn run(id: &str, project: &str, job: &str, state: RunState, at_secs: i64) -> Run {
    let at = Timestamp::from_secs(at_secs);
    let action = Action {
        project_id: ProjectId::from(project),
        action_id: ActionId::from("a1"),
        user_id: UserId::from("alice"),
        freezer_action: Map::from_iter([("action".to_owned(), json!("backup"))]),
        max_retries: 5,
        max_retries_interval: 6,
        mandatory: false,
        created_at: at,
    };
    let step = Step {
        action_index: 0,
        attempt: 0,
        epoch: Epoch(1),
        started_at: Some(at),
        finished_at: state.is_final().then_some(at),
        outcome: state.is_final().then_some(StepOutcome::Partial),
        exit_code: Some(2),
        error: Some("1 file could not be read".to_owned()),
        result: Map::from_iter([("files".to_owned(), json!(12))]),
        log: vec!["2026-01-01T00:00:00Z INFO saved".into()],
    };
    Run {
        run_id: RunId::from(id),
        project_id: ProjectId::from(project),
        job_id: JobId::from(job),
        client_id: ClientId::from("node1"),
        state,
        epoch: Epoch(1),
        action_index: 0,
        attempt: 1,
        losses: 0,
        actions: vec![action],
        steps: vec![step],
        progress: Progress {
            phase: "read".to_owned(),
            bytes_done: 10,
            bytes_total: Some(20),
            log: vec!["2026-01-01T00:00:01Z INFO reading".to_owned()],
            ..Progress::default()
        },
        error: None,
        abort_requested: false,
        cause: "schedule".to_owned(),
        request_id: Some("req-1".to_owned()),
        due_at: at,
        created_at: at,
        started_at: Some(at),
        finished_at: state.is_final().then_some(at),
        attention_at: None,
        share_tag: 0,
        waiting_for: None,
        is_unsent: false,
    }
}

fn write(api: &Api, runs: Vec<Run>) {
    api.db.transaction(|tx| runs.iter().try_for_each(|run| tx.runs().insert(run))).unwrap();
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["runs"].as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_run_shows_steps_results_and_progress() {
    let api = Api::start().await;
    write(&api, vec![run("r1", "p1", "j1", RunState::Partial, 100)]);
    let summary = json!({"run_id": "r1", "project_id": "p1", "job_id": "j1", "client_id": "node1", "state": "partial", "cause": "schedule", "error": null, "waiting_for": null,
        "abort_requested": false, "action_index": 0, "actions_total": 1, "attempt": 1, "losses": 0,
        "progress": {"phase": "read", "bytes_done": 10, "bytes_total": 20, "bytes_stored": 0, "files_done": 0, "files_total": null, "errors": 0, "rate": 0,
            "current_path": null},
        "due_at": 100, "created_at": 100, "started_at": 100, "finished_at": 100, "request_id": "req-1"});
    assert_eq!(api.get(ALICE, "/runs").await.expect(200).json(), json!({"runs": [summary]}));
    let mut item = summary;
    item["job_actions"] = json!([{"project_id": "p1", "action_id": "a1", "user_id": "alice", "max_retries": 5, "max_retries_interval": 6, "mandatory": false,
        "freezer_action": {"action": "backup", "backup_name": null, "mode": null, "container": null, "timeout": null, "priority": null,
            "path_to_backup": null, "log_file": null}}]);
    item["steps"] = json!([{"action_index": 0, "attempt": 0, "outcome": "partial", "exit_code": 2, "error": "1 file could not be read",
        "started_at": 100, "finished_at": 100, "result": {"files": 12}, "log": ["2026-01-01T00:00:00Z INFO saved"]}]);
    item["log"] = json!(["2026-01-01T00:00:01Z INFO reading"]);
    assert_eq!(api.get(ALICE, "/runs/r1").await.expect(200).json(), item);
}

#[tokio::test]
async fn limits_of_a_run_are_changed_for_what_is_left_of_it() {
    let api = Api::start().await;
    let mut long = run("r1", "p1", "j1", RunState::Running, 100);
    long.actions = vec![long.actions[0].clone(), long.actions[0].clone(), long.actions[0].clone()];
    long.action_index = 1;
    let ended = run("r2", "p1", "j1", RunState::Success, 200);
    write(&api, vec![long, ended, run("r3", "p2", "j1", RunState::Running, 300)]);
    let limit = |who, id: &str, body: Value| {
        let path = format!("/runs/{id}");
        let api = &api;
        async move { api.call(who, "PATCH", &path, body).await }
    };
    let wanted = json!({"upload_limit": 1000, "download_limit": null});
    let changed = limit(ALICE, "r1", wanted).await.expect(200).json();
    assert_eq!(changed, api.get(ALICE, "/runs/r1").await.expect(200).json());
    let uploads = |run: &Value| -> Vec<Value> {
        let actions = run["job_actions"].as_array().unwrap();
        actions.iter().map(|action| action["freezer_action"]["upload_limit"].clone()).collect()
    };
    assert_eq!(uploads(&changed), [json!(null), json!(1000), json!(1000)], "what is done is done");
    assert_eq!(changed["job_actions"][1]["freezer_action"]["download_limit"], -1);
    // What is not named stays.
    let changed = limit(ALICE, "r1", json!({"download_limit": 5})).await.expect(200).json();
    assert_eq!(uploads(&changed), [json!(null), json!(1000), json!(1000)]);

    for body in [
        json!({}),
        json!([]),
        json!({"upload_limit": 0}),
        json!({"upload_limit": -1}),
        json!({"upload_limit": "10M"}),
        json!({"upload_limit": 1.5}),
        json!({"upload_limit": 1e30}),
        json!({"state": "success"}),
        json!({"upload_limit": 1, "epoch": 7}),
    ] {
        limit(ALICE, "r1", body).await.expect(400);
    }
    assert_eq!(uploads(&api.get(ALICE, "/runs/r1").await.json()), [json!(null), json!(1000), json!(1000)]);
    limit(READER, "r1", json!({"upload_limit": 1})).await.expect(403);
    limit(ALICE, "r2", json!({"upload_limit": 1})).await.expect(409);
    limit(ALICE, "r3", json!({"upload_limit": 1})).await.expect(404);
    limit(ALICE, "none", json!({"upload_limit": 1})).await.expect(404);
    assert_eq!(uploads(&api.get(OTTO, "/runs/r3").await.json()), [json!(null)]);
}

#[tokio::test]
async fn lists_are_of_a_job_or_of_the_project_and_never_of_others() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.job(ALICE, json!({"job_id": "quiet"})).await;
    write(
        &api,
        vec![
            run("r1", "p1", "j1", RunState::Success, 100),
            run("r2", "p1", "j2", RunState::Running, 200),
            run("r3", "p1", "j1", RunState::Fail, 300),
            run("r4", "p2", "j1", RunState::Success, 400),
        ],
    );
    let mut all =
        ids(&api.get(ALICE, "/runs").await.json()).iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    all.sort();
    assert_eq!(all, ["r1", "r2", "r3"]);
    let of_job = api.get(ALICE, "/jobs/j1/runs").await.expect(200).json();
    assert_eq!(ids(&of_job).len(), 2);
    assert_eq!(ids(&api.get(ALICE, "/jobs/j1/runs?limit=1").await.json()), [ids(&of_job)[0]]);
    assert_eq!(ids(&api.get(ALICE, "/jobs/j1/runs?limit=1&offset=1").await.json()), [ids(&of_job)[1]]);
    assert!(ids(&api.get(ALICE, "/jobs/quiet/runs").await.expect(200).json()).is_empty());
    api.get(ALICE, "/jobs/unknown/runs").await.expect(404);
    for (search, expected) in [
        (json!({"match": [{"state": "running"}]}), vec!["r2"]),
        (json!({"match": [{"job_id": "j1"}, {"state": "fail"}]}), vec!["r3"]),
        (json!({"match": [{"_all": "j2"}]}), vec!["r2"]),
        (json!({"match": [{"state": "nonsense"}]}), vec![]),
    ] {
        assert_eq!(ids(&api.call(ALICE, "GET", "/runs", search.clone()).await.json()), expected, "{search}");
    }
    api.get(ALICE, "/runs/r4").await.expect(404);
    api.get(OTTO, "/runs/r1").await.expect(404);
    api.get(OTTO, "/runs/r4").await.expect(200);
}
