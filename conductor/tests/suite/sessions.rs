//! Jobs of a session: they start together, or each for itself when the session does not let them.

use crate::stage::*;
use freezer_database::DbError;
use freezer_model::*;
use serde_json::json;
use std::time::Duration;

fn project() -> ProjectId {
    ProjectId::from("p")
}

/// A session with these jobs, all of which wait to be started. To be made before there is a conductor.
fn put_session(stage: &Stage, jobs: &[&str]) {
    let session = Session {
        project_id: project(),
        session_id: SessionId::from("s"),
        user_id: UserId::from("user"),
        description: None,
        session_tag: 0,
        hold_off: 30,
        status: "active".into(),
        result: None,
        time_start: -1,
        time_end: -1,
        schedule: object(json!({})),
        members: vec![],
        created_at: T0,
    };
    stage.db.transaction(|tx| tx.sessions().insert(&session)).unwrap();
    for id in jobs {
        put_member(stage, id);
    }
}

/// A stopped job in the session.
fn put_member(stage: &Stage, id: &str) {
    stage.put_job(id, json!({"schedule_date": "2026-01-01T00:00:00"}), &[action(id, 0, false)]);
    stage.change_job(id, |job| job.state.status = JobStatus::Stop);
    stage
        .db
        .transaction(|tx| -> Result<(), DbError> {
            let job = tx.jobs().get_for_update(&project(), &JobId::from(id))?.unwrap();
            let mut session = tx.sessions().get_for_update(&project(), &SessionId::from("s"))?.unwrap();
            session.attach(&job);
            tx.sessions().save(&session)?;
            tx.jobs().set_session(&project(), &job.job_id, "s", session.session_tag)?;
            Ok(())
        })
        .unwrap();
}

fn session(stage: &Stage) -> Session {
    stage.db.read(|tx| tx.sessions().get(&project(), &SessionId::from("s"))).unwrap().unwrap()
}

fn member(stage: &Stage, job: &str) -> Member {
    session(stage).member(&JobId::from(job)).unwrap().clone()
}

/// The number of the last round, as the session and each of these jobs know it.
fn tags(stage: &Stage, jobs: &[&str]) -> (i64, Vec<i64>) {
    (session(stage).session_tag, jobs.iter().map(|id| stage.job(id).session_tag).collect())
}

fn stands(stage: &Stage) -> (String, Option<String>) {
    let session = session(stage);
    (session.status, session.result)
}

fn standing(status: &str, result: &str) -> (String, Option<String>) {
    (status.to_owned(), Some(result.to_owned()))
}

/// A user starts the job; it fires at once.
fn start(stage: &Stage, id: &str) {
    stage.change_job(id, |job| {
        job.state.event = JobEvent::Start;
        job.state.status = JobStatus::None;
        job.state.result = JobResult::None;
    });
}

/// Starts the job and takes its order.
async fn fire(stage: &Stage, agent: &Agent, id: &str) -> rpc::RunAction {
    // A date that has passed is due at once, and again when the job is started again.
    start(stage, id);
    let order = agent.order().await;
    assert_eq!(order.job_id.as_str(), id);
    agent.started(&order).await;
    order
}

pub async fn two_jobs_run_in_rounds(stage: Stage) {
    put_session(&stage, &["a", "b"]);
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    assert_eq!(tags(&stage, &["a", "b"]), (0, vec![0, 0]));
    for (round, outcome, result) in [(1, StepOutcome::Success, "success"), (2, StepOutcome::Fail, "fail")] {
        let began = stage.clock.now().secs();
        let first = fire(&stage, &agent, "a").await;
        assert_eq!(tags(&stage, &["a", "b"]), (round, vec![round, round - 1]));
        assert_eq!((stands(&stage), session(&stage).time_start), (standing("running", ""), began));
        stage.clock.advance(Duration::from_secs(30));
        agent.heartbeat(vec![held(&first)]).await;
        let second = fire(&stage, &agent, "b").await;
        assert_eq!(tags(&stage, &["a", "b"]), (round, vec![round, round]));
        assert_eq!(session(&stage).time_start, began);
        assert_eq!(
            (member(&stage, "b").status.as_str(), member(&stage, "b").time_started),
            ("running", began + 30)
        );
        agent.finished(&first, outcome, json!({})).await;
        assert_eq!(member(&stage, "a").result, result);
        assert_eq!(stands(&stage), standing("running", ""));
        stage.clock.advance(Duration::from_secs(5));
        agent.finished(&second, StepOutcome::Success, json!({})).await;
        let ended = member(&stage, "b");
        assert_eq!(
            (ended.status.as_str(), ended.result.as_str(), ended.time_ended),
            ("completed", "success", began + 35)
        );
        assert_eq!((stands(&stage), session(&stage).time_end), (standing("completed", result), began + 35));
    }
    conductor.stop().await;
}

pub async fn who_is_not_let_in_runs_all_the_same(stage: Stage) {
    put_session(&stage, &["a", "b"]);
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    let order = fire(&stage, &agent, "a").await;
    agent.finished(&order, StepOutcome::Success, json!({})).await;
    // hold-off: its round has just begun
    stage.clock.advance(Duration::from_secs(30));
    let order = fire(&stage, &agent, "a").await;
    agent.finished(&order, StepOutcome::Success, json!({})).await;
    assert_eq!(tags(&stage, &["a", "b"]), (1, vec![1, 0]));
    assert_eq!(stands(&stage), standing("running", ""));
    // out of sync: the round began too long ago. It has run all the same, and so the round is over.
    stage.clock.advance(Duration::from_secs(1));
    let order = fire(&stage, &agent, "b").await;
    assert_eq!((tags(&stage, &["a", "b"]), member(&stage, "b").status), ((1, vec![1, 0]), "stop".to_owned()));
    agent.finished(&order, StepOutcome::Success, json!({})).await;
    assert_eq!(stands(&stage), standing("completed", "success"));
    // and it is in step again, so that it may begin the next one
    stage.clock.advance(Duration::from_secs(31));
    let order = fire(&stage, &agent, "b").await;
    agent.finished(&order, StepOutcome::Success, json!({})).await;
    assert_eq!((tags(&stage, &["a", "b"]), stands(&stage)), ((2, vec![1, 2]), standing("running", "")));
    // too high: somebody set the session back
    stage
        .db
        .transaction(|tx| {
            let mut session = tx.sessions().get_for_update(&project(), &SessionId::from("s"))?.unwrap();
            session.session_tag = 0;
            tx.sessions().save(&session)
        })
        .unwrap();
    let before = session(&stage);
    let order = fire(&stage, &agent, "a").await;
    assert_eq!(session(&stage), before);
    agent.finished(&order, StepOutcome::Success, json!({})).await;
    // a session that is gone
    stage.db.transaction(|tx| tx.sessions().delete(&project(), &SessionId::from("s"))).unwrap();
    let order = fire(&stage, &agent, "a").await;
    agent.finished(&order, StepOutcome::Success, json!({})).await;
    let job = stage.job("a");
    assert_eq!(
        (job.state.status, job.state.result, job.session_tag),
        (JobStatus::Completed, JobResult::Success, 0)
    );
    assert_eq!((stage.runs("a").len(), stage.runs("b").len()), (4, 2));
    conductor.stop().await;
}

pub async fn both_jobs_due_at_once_are_one_round(stage: Stage) {
    put_session(&stage, &["a", "b", "c"]);
    let one = stage.conductor().await;
    let two = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    for id in ["a", "b", "c"] {
        start(&stage, id);
    }
    for _ in 0..3 {
        agent.work(StepOutcome::Success).await;
    }
    assert_eq!(tags(&stage, &["a", "b", "c"]), (1, vec![1, 1, 1]));
    assert_eq!(stands(&stage), standing("completed", "success"));
    one.stop().await;
    two.stop().await;
}
