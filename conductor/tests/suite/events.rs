//! What users ask for while jobs are planned or run.

use crate::stage::*;
use freezer_database::DbError;
use freezer_model::rpc::{AgentHello, LimitRun, Verdict};
use freezer_model::*;
use serde_json::json;
use std::time::Duration;

fn event(stage: &Stage, id: &str, event: JobEvent) {
    stage.change_job(id, |job| {
        job.state.event = event;
        if event == JobEvent::Start {
            job.state.status = JobStatus::None;
            job.state.result = JobResult::None;
        }
    });
}

pub async fn stop_and_start(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_interval": "1 hours"}), &[action("a", 0, false)]);
    stage.job_is("j", JobStatus::Scheduled).await;
    event(&stage, "j", JobEvent::Stop);
    stage.job_is("j", JobStatus::Stop).await;
    let job = stage.job("j");
    assert_eq!((job.state.event, job.next_run_at), (JobEvent::None, None));
    stage.clock.advance(Duration::from_secs(7200));
    event(&stage, "j", JobEvent::Start);
    stage.job_is("j", JobStatus::Scheduled).await;
    let next = stage.job("j").next_run_at.unwrap();
    assert_eq!(next, stage.clock.now().plus(Duration::from_secs(3600)));
    stage.clock.set(next);
    let order = agent.order().await;
    agent.started(&order).await;
    // Started again while it runs: no second run. Stopped while it runs: ends after this one.
    event(&stage, "j", JobEvent::Start);
    stage.eventually("start is dropped", |stage| stage.job("j").state.event == JobEvent::None).await;
    assert_eq!(stage.job("j").state.status, JobStatus::Running);
    event(&stage, "j", JobEvent::Stop);
    stage.eventually("unplanned", |stage| stage.job("j").next_run_at.is_none()).await;
    assert_eq!(agent.finished(&order, StepOutcome::Success, json!({})).await, Verdict::Continue);
    let job = stage.job("j");
    assert_eq!(
        (job.state.status, job.state.event, job.state.result),
        (JobStatus::Completed, JobEvent::None, JobResult::Success)
    );
    assert_eq!(stage.runs("j").len(), 1);
    conductor.stop().await;
}

pub async fn abort_reaches_the_agent(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job(
        "j",
        json!({"schedule_date": "2026-01-01T00:00:00"}),
        &[action("a", 3, false), action("b", 0, true)],
    );
    let order = agent.order().await;
    agent.started(&order).await;
    event(&stage, "j", JobEvent::Abort);
    let abort = agent.abort_order().await;
    assert_eq!((&abort.run_id, abort.epoch), (&order.run_id, order.epoch));
    assert_eq!(stage.job("j").state.status, JobStatus::Aborting);
    assert_eq!(agent.progress(&order, 1).await, Verdict::Abort);
    assert_eq!(agent.heartbeat(vec![held(&order)]).await.abort, [held(&order)]);
    agent.finished(&order, StepOutcome::Aborted, json!({})).await;
    let (run, job) = (stage.run("j"), stage.job("j"));
    assert_eq!(run.state, RunState::Aborted);
    assert_eq!(
        (job.state.status, job.state.result, job.state.event),
        (JobStatus::Completed, JobResult::Aborted, JobEvent::None)
    );
    assert_eq!(agent.unasked().await, 0);
    conductor.stop().await;
}

pub async fn new_limits_reach_the_agent(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    let mut slow = action("a", 0, false);
    slow.freezer_action.insert("upload_limit".to_owned(), json!("1K"));
    stage.put_job("j", json!({"schedule_date": "2026-01-01T00:00:00"}), &[slow]);
    let order = agent.order().await;
    let reply = agent.progress_reply(&order, 1).await;
    assert_eq!(reply.limits, RateLimits { upload_limit: Some(1024), download_limit: None });
    let mut limits = RateLimits::default();
    // Faster, and slower.
    for upload in [-1, 512] {
        limits = RateLimits { upload_limit: Some(upload), download_limit: Some(7) };
        stage
            .db
            .transaction(|tx| -> Result<(), DbError> {
                let mut run = tx.runs().get_for_update(&order.run_id)?.unwrap();
                limits.put_into(&mut run.actions[0].freezer_action);
                tx.runs().save(&run)
            })
            .unwrap();
        agent.run_changed(&order.run_id).await;
        let told = agent.limit_order().await;
        assert_eq!(told, LimitRun { run_id: order.run_id.clone(), epoch: order.epoch, limits });
    }
    // Whoever did not hear it hears it with the next report.
    assert_eq!(agent.progress_reply(&order, 2).await.limits, limits);
    agent.finished(&order, StepOutcome::Success, json!({})).await;
    // Of a run that has ended, or was never there, nobody is told.
    agent.run_changed(&order.run_id).await;
    agent.run_changed(&RunId::from("none")).await;
    assert_eq!(agent.unread_limits().await, 0);
    conductor.stop().await;
}

pub async fn abort_before_anybody_began(stage: Stage) {
    let conductor = stage.conductor().await;
    Agent::start(&stage).await.leave().await;
    stage.put_job("j", json!({"schedule_date": "2026-01-01T00:00:00"}), &[action("a", 3, false)]);
    stage
        .eventually("waits for the agent", |stage| {
            stage.runs("j").first().is_some_and(|run| run.error.is_some() && run.state == RunState::Queued)
        })
        .await;
    event(&stage, "j", JobEvent::Abort);
    stage.job_is("j", JobStatus::Completed).await;
    assert_eq!((stage.run("j").state, stage.job("j").state.result), (RunState::Aborted, JobResult::Aborted));
    conductor.stop().await;
}

pub async fn a_polling_client_is_left_alone(stage: Stage) {
    let conductor = stage.conductor().await;
    let poller = stage.put_poller();
    stage.put_job("j", json!({"schedule_date": "2026-01-01T00:00:00"}), &[action("a", 0, false)]);
    stage.change_job("j", |job| job.state.event = JobEvent::Start);
    stage.next_look_is(None).await;
    // Its scheduler's silence is all that is watched.
    stage.hear("j");
    stage.next_look_is(Some(T0.plus(Duration::from_secs(18 * 3600)))).await;
    let job = stage.job("j");
    assert_eq!(
        (job.state.event, job.state.status, job.next_run_at),
        (JobEvent::Start, JobStatus::None, None)
    );
    assert!(stage.runs("j").is_empty());
    // An agent of ours takes the client over: now the job is driven, and what the user wrote stays.
    let agent = Agent::start(&stage).await;
    agent.work(StepOutcome::Success).await;
    let client =
        stage.db.read(|tx| tx.clients().get(&poller.project_id, &poller.client_id)).unwrap().unwrap();
    assert_eq!(
        (client.link, client.description.as_deref(), client.uuid.as_str()),
        (Link::Amqp, Some("kept"), "u")
    );
    conductor.stop().await;
}

pub async fn an_unreadable_plan_ends_the_job(stage: Stage) {
    let conductor = stage.conductor().await;
    let _agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_interval": "1 day"}), &[action("a", 0, false)]);
    stage.job_is("j", JobStatus::Completed).await;
    assert_eq!(stage.job("j").state.result, JobResult::Fail);
    conductor.stop().await;
}

pub async fn one_client_id_is_one_agent(stage: Stage) {
    let conductor = stage.conductor().await;
    let first = Agent::start(&stage).await;
    let second = Agent::listen(&stage, "other", "node1").await;
    let refused = second.try_hello().await.unwrap_err();
    assert!(refused.to_string().contains("another project"), "{refused}");
    let clients = || stage.db.read(|tx| tx.clients().of_any_project(&ClientId::from("node1"))).unwrap();
    assert_eq!(clients().len(), 1);
    // After a long silence the name is free, and the old row is driven no more.
    first.leave().await;
    stage.clock.advance(LEASE * 3);
    second.hello(vec![]).await;
    let links: Vec<_> =
        clients().into_iter().map(|client| (client.project_id.into_string(), client.link)).collect();
    assert_eq!(links, [("p".to_owned(), Link::Poll), ("other".to_owned(), Link::Amqp)]);
    stage.put_job("j", json!({"schedule_date": "2026-01-01T00:00:00"}), &[action("a", 0, false)]);
    stage
        .eventually("looked at", |stage| stage.db.read(|tx| tx.jobs().next_attention()).unwrap().is_none())
        .await;
    assert!(stage.runs("j").is_empty());
    assert_eq!(second.unasked().await, 0);
    conductor.stop().await;
}

/// Many names, since no single pair is sure to meet.
pub async fn of_two_first_hellos_at_once_one_is_taken(stage: Stage) {
    let (one, two) = (stage.conductor().await, stage.conductor().await);
    for round in 0..12 {
        let name = format!("node{round}");
        let first = Agent::listen(&stage, "p", &name).await;
        let second = Agent::listen(&stage, "other", &name).await;
        let answers = tokio::join!(first.try_hello(), second.try_hello());
        let refused: Vec<_> = [answers.0, answers.1].into_iter().filter_map(Result::err).collect();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].to_string().contains("another project"), "{refused:?}");
        let driven = stage.db.read(|tx| tx.clients().of_any_project(&ClientId::from(name.as_str()))).unwrap();
        assert_eq!(driven.iter().filter(|client| client.link == Link::Amqp).count(), 1, "{driven:?}");
        first.leave().await;
        second.leave().await;
    }
    one.stop().await;
    two.stop().await;
}

pub async fn a_central_name_is_one_for_all(stage: Stage) {
    let conductor = stage.conductor().await;
    let hello = |agent: &Agent, is_central: bool| {
        json!(AgentHello {
            concurrent_jobs: None,
            project_id: agent.project.clone(),
            client_id: agent.client_id.clone(),
            hostname: "host".into(),
            agent_version: "1".into(),
            capabilities: Capabilities::default(),
            is_central,
            held: vec![],
            link: Link::Amqp,
        })
    };
    let first = Agent::listen(&stage, "service", "central").await;
    first.call("agent_hello", hello(&first, true)).await.unwrap();
    first.leave().await;
    stage.clock.advance(LEASE * 3);
    // It has gone: another project's agent takes the name, for all projects.
    let second = Agent::listen(&stage, "backup", "central").await;
    second.call("agent_hello", hello(&second, true)).await.unwrap();
    let seen = |project: &str| {
        let (project, id) = (ProjectId::from(project), ClientId::from("central"));
        stage.db.read(|tx| tx.clients().get(&project, &id)).unwrap().unwrap()
    };
    assert_eq!((seen("p").project_id.as_str(), seen("p").link), ("backup", Link::Amqp));
    // One that polls cannot be seen to have gone, so its name stays taken.
    let poller = Client { link: Link::Poll, client_id: ClientId::from("polls"), ..seen("p") };
    stage.db.transaction(|tx| tx.clients().insert(&Client { uuid: "u2".into(), ..poller.clone() })).unwrap();
    let third = Agent::listen(&stage, "service", "polls").await;
    let refused = third.call("agent_hello", hello(&third, true)).await.unwrap_err();
    assert!(refused.to_string().contains("is a central client of another project"), "{refused}");
    third.call("agent_hello", hello(&third, false)).await.unwrap();
    conductor.stop().await;
}

pub async fn an_edited_plan_is_followed(stage: Stage) {
    let conductor = stage.conductor().await;
    let _agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_interval": "1 hours"}), &[action("a", 0, false)]);
    stage.job_is("j", JobStatus::Scheduled).await;
    stage.change_job("j", |job| {
        job.plan = object(json!({"schedule_hour": "5"}));
        job.plan_version += 1;
    });
    let five = T0.plus(Duration::from_secs(5 * 3600));
    stage.eventually("replanned", |stage| stage.job("j").next_run_at == Some(five)).await;
    conductor.stop().await;
}
