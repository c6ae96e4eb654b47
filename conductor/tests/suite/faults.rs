//! Agents, conductors and jobs that go away at bad moments.

use crate::stage::*;
use freezer_database::*;
use freezer_model::rpc::{HeldStep, RunAction, Verdict};
use freezer_model::*;
use serde_json::json;
use std::collections::HashSet;
use std::time::Duration;

const NOW: &str = "2026-01-01T00:00:00";

pub async fn a_lost_agent_gets_the_step_again_and_its_old_report_is_stale(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_date": NOW}), &[action("a", 0, false)]);
    let old = agent.order().await;
    agent.started(&old).await;
    stage.clock.advance(LEASE);
    let new = agent.order().await;
    assert_eq!((&new.run_id, new.epoch, new.attempt), (&old.run_id, Epoch(2), 1));
    assert_eq!(stage.run("j").losses, 1);
    assert_eq!(agent.progress(&old, 1).await, Verdict::Stale);
    assert_eq!(
        agent.finished(&old, StepOutcome::Success, json!({"backup_metadata": {}})).await,
        Verdict::Stale
    );
    assert_eq!(agent.heartbeat(vec![held(&old), held(&new)]).await.drop, [held(&old)]);
    agent.started(&new).await;
    agent.finished(&new, StepOutcome::Success, json!({})).await;
    let run = stage.run("j");
    assert_eq!(run.state, RunState::Success);
    assert_eq!(
        run.steps.iter().map(|step| step.outcome).collect::<Vec<_>>(),
        [Some(StepOutcome::Lost), Some(StepOutcome::Success)]
    );
    let filter = BackupFilter::default();
    assert!(
        stage.db.read(|tx| tx.backups().list(&run.project_id, &filter, None, Page::ALL)).unwrap().is_empty()
    );
    assert_eq!(agent.finished(&new, StepOutcome::Fail, json!({})).await, Verdict::Stale);
    conductor.stop().await;
}

pub async fn too_many_losses_fail_the_run(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_date": NOW}), &[action("a", 9, false)]);
    for _ in 0..2 {
        let order = agent.order().await;
        agent.started(&order).await;
        stage.clock.advance(LEASE);
    }
    stage.job_is("j", JobStatus::Completed).await;
    let run = stage.run("j");
    assert_eq!((run.state, run.losses), (RunState::Fail, 2));
    assert!(run.error.unwrap().contains("lost"));
    conductor.stop().await;
}

pub async fn heartbeats_keep_the_lease(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_date": NOW}), &[action("a", 0, false)]);
    let order = agent.order().await;
    agent.started(&order).await;
    for _ in 0..5 {
        stage.clock.advance(LEASE - Duration::from_secs(1));
        let reply = agent.heartbeat(vec![held(&order)]).await;
        assert!(reply.drop.is_empty() && reply.abort.is_empty());
        assert_eq!(stage.run("j").attention_at, Some(stage.clock.now().plus(LEASE)));
    }
    let unknown = HeldStep { run_id: RunId::random(), epoch: Epoch(1) };
    assert_eq!(agent.heartbeat(vec![unknown.clone()]).await.drop, [unknown]);
    assert_eq!(stage.run("j").epoch, Epoch(1));
    agent.finished(&order, StepOutcome::Success, json!({})).await;
    assert_eq!(stage.run("j").state, RunState::Success);
    conductor.stop().await;
}

pub async fn two_conductors_run_nothing_twice(stage: Stage) {
    const JOBS: usize = 60;
    let one = stage.conductor().await;
    let two = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    for n in 0..JOBS {
        stage.put_job(&format!("j{n}"), json!({"schedule_date": NOW}), &[action("a", 0, false)]);
    }
    let mut seen = HashSet::new();
    for _ in 0..JOBS {
        let order = agent.work(StepOutcome::Success).await;
        assert!(seen.insert(order.run_id.clone()), "run {} came twice", order.run_id);
        assert_eq!(order.epoch, Epoch(1));
    }
    assert_eq!(agent.unasked().await, 0);
    for n in 0..JOBS {
        let runs = stage.runs(&format!("j{n}"));
        assert_eq!((runs.len(), runs[0].state), (1, RunState::Success));
    }
    one.stop().await;
    two.stop().await;
}

pub async fn a_crash_before_the_message_was_sent(stage: Stage) {
    // A conductor that plans, fires and dies after its commit leaves this: a dispatched run that nobody was told of.
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_date": NOW}), &[action("a", 0, false)]);
    let order = agent.order().await;
    conductor.stop().await;
    let run = stage.run("j");
    assert_eq!((run.state, run.epoch), (RunState::Dispatched, order.epoch));
    // Another one takes over when the lease has ended, with a whole lease of patience of its own.
    let successor = stage.conductor().await;
    stage.clock.advance(LEASE - Duration::from_secs(1));
    agent.heartbeat(vec![]).await;
    stage.clock.advance(Duration::from_secs(1));
    // The agent has just been heard: nothing is to be waited for.
    let again = agent.work(StepOutcome::Success).await;
    assert_eq!((again.run_id, again.epoch, again.attempt), (order.run_id.clone(), Epoch(2), 1));
    assert_eq!(agent.started(&order).await, Verdict::Stale);
    let run = stage.run("j");
    assert_eq!((run.state, run.losses, run.steps.len()), (RunState::Success, 0, 1));
    successor.stop().await;
}

/// An order, and its run's row as the conductor itself had written it when the broker's confirm was not noted yet. Confirms are noted in
/// batches, a moment late; where that moment is missed, another job is tried.
async fn seen_unsent(stage: &Stage, agent: &Agent, name: &str) -> (RunAction, Run) {
    for n in 0..100 {
        let id = format!("{name}{n}");
        stage.put_job(&id, json!({"schedule_date": NOW}), &[backup_of(&id)]);
        let mut seen = None;
        stage
            .eventually("handed out", |stage| {
                seen = stage.runs(&id).pop().filter(|run| run.state == RunState::Dispatched);
                seen.is_some()
            })
            .await;
        let order = agent.order().await;
        stage.eventually("noted as sent", |stage| !stage.run(&id).is_unsent).await;
        if let Some(run) = seen.filter(|run| run.is_unsent) {
            return (order, run);
        }
        assert_eq!(agent.started(&order).await, Verdict::Continue);
        assert_eq!(agent.finished(&order, StepOutcome::Success, json!({})).await, Verdict::Continue);
    }
    panic!("every confirm was noted before the row was read");
}

pub async fn what_a_dead_conductor_never_sent_is_taken_over(stage: Stage) {
    const TAKEN_OVER: Duration = Duration::from_secs(5);
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    // Both listen for longer than a take-over needs.
    stage.clock.advance(TAKEN_OVER);
    // What a conductor leaves that dies between commit and confirm: of one order nobody knows, and one that was sent after
    // all has been begun.
    let (lost, as_lost) = seen_unsent(&stage, &agent, "j").await;
    let (begun, as_begun) = seen_unsent(&stage, &agent, "k").await;
    for run in [&as_lost, &as_begun] {
        assert!(run.attention_at.is_some(), "nobody would look at it: {run:?}");
        stage.db.transaction(|tx| tx.runs().save(run)).unwrap();
    }
    assert_eq!(agent.started(&begun).await, Verdict::Continue);
    stage.clock.advance(TAKEN_OVER);
    let again = agent.work(StepOutcome::Success).await;
    assert_eq!((&again.run_id, again.epoch, again.attempt), (&lost.run_id, Epoch(2), 1));
    assert_eq!(agent.started(&lost).await, Verdict::Stale);
    let run = stage.run(lost.job_id.as_str());
    assert_eq!((run.state, run.losses, run.steps.len()), (RunState::Success, 0, 1));
    assert_eq!(agent.finished(&begun, StepOutcome::Success, json!({})).await, Verdict::Continue);
    let run = stage.run(begun.job_id.as_str());
    assert_eq!((run.state, run.epoch), (RunState::Success, Epoch(1)));
    assert_eq!(agent.unasked().await, 0);
    conductor.stop().await;
}

pub async fn a_new_conductor_first_reads_what_was_reported(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_date": NOW}), &[backup_of("j")]);
    let order = agent.order().await;
    stage.eventually("noted as sent", |stage| !stage.run("j").is_unsent).await;
    conductor.stop().await;
    let mut run = stage.run("j");
    run.is_unsent = true;
    run.attention_at = Some(stage.clock.now());
    stage.db.transaction(|tx| tx.runs().save(&run)).unwrap();
    stage.clock.advance(Duration::from_secs(3600));
    let successor = stage.conductor().await;
    // It looks, and gives the agent time to say that it works.
    stage.eventually("postponed", |stage| stage.run("j").attention_at > Some(stage.clock.now())).await;
    assert!(agent.heartbeat(vec![held(&order)]).await.drop.is_empty());
    stage.clock.advance(Duration::from_secs(5));
    assert_eq!(agent.finished(&order, StepOutcome::Success, json!({})).await, Verdict::Continue);
    assert_eq!((stage.run("j").state, stage.run("j").epoch), (RunState::Success, Epoch(1)));
    successor.stop().await;
}

pub async fn an_offline_agent_is_waited_for(stage: Stage) {
    let conductor = stage.conductor().await;
    Agent::start(&stage).await.leave().await;
    stage.put_job("j", json!({"schedule_date": NOW}), &[action("a", 0, false)]);
    stage.eventually("waits", |stage| stage.runs("j").first().is_some_and(|run| run.error.is_some())).await;
    let run = stage.run("j");
    assert_eq!((run.state, run.attempt, run.steps.len()), (RunState::Queued, 0, 0));
    assert!(run.attention_at.unwrap() > stage.clock.now());
    // Its hello ends the wait: no time passes.
    let agent = Agent::start(&stage).await;
    agent.work(StepOutcome::Success).await;
    let run = stage.run("j");
    assert_eq!((run.state, run.error), (RunState::Success, None));
    conductor.stop().await;
}

pub async fn an_agent_that_stays_away_fails_the_run(stage: Stage) {
    let conductor = stage.conductor().await;
    Agent::start(&stage).await.leave().await;
    stage.put_job("j", json!({"schedule_date": NOW}), &[action("a", 0, false)]);
    stage.until_it_is_given_up("j").await;
    let run = stage.run("j");
    assert_eq!(run.state, RunState::Fail);
    assert!(run.error.unwrap().contains("could not be reached for 600 s"));
    assert_eq!(stage.job("j").state.result, JobResult::Fail);
    conductor.stop().await;
}

pub async fn a_job_deleted_in_the_middle(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job(
        "j",
        json!({"schedule_interval": "1 hours", "schedule_start_date": NOW}),
        &[action("a", 0, false), action("b", 0, false)],
    );
    let order = agent.order().await;
    agent.started(&order).await;
    stage.db.transaction(|tx| tx.jobs().delete(&order.project_id, &order.job_id)).unwrap();
    agent.finished(&order, StepOutcome::Success, json!({})).await;
    agent.work(StepOutcome::Success).await;
    assert_eq!(stage.run("j").state, RunState::Success);
    conductor.stop().await;
}

pub async fn a_restarted_agent_loses_its_step_at_once(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_date": NOW}), &[action("a", 0, false)]);
    let old = agent.order().await;
    agent.started(&old).await;
    stage.clock.advance(Duration::from_secs(20));
    agent.hello(vec![]).await;
    let new = agent.work(StepOutcome::Success).await;
    assert_eq!((new.run_id, new.epoch), (old.run_id, Epoch(2)));
    conductor.stop().await;
}

pub async fn a_repeated_end_is_known(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_date": NOW}), &[action("a", 0, false), action("b", 0, false)]);
    let first = agent.order().await;
    let result =
        json!({"backup_metadata": {"container": "c".repeat(600), "hostname": "h", "backup_name": "n"}});
    // Without a `step_started`: the report of the end says enough.
    assert_eq!(agent.finished(&first, StepOutcome::Success, result.clone()).await, Verdict::Continue);
    assert_eq!(agent.finished(&first, StepOutcome::Success, result).await, Verdict::Continue);
    agent.work(StepOutcome::Success).await;
    assert_eq!(agent.finished(&first, StepOutcome::Success, json!({})).await, Verdict::Continue);
    let run = stage.run("j");
    assert_eq!((run.state, run.steps.len()), (RunState::Success, 2));
    // A record the database cannot hold does not undo the backup, and is told.
    assert!(run.steps[0].error.as_deref().unwrap().contains("container is too long"));
    conductor.stop().await;
}

pub async fn a_clock_that_is_set_loses_no_agent(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_date": NOW}), &[action("a", 0, false)]);
    let order = agent.order().await;
    agent.started(&order).await;
    for hours in [1, -1, -1, 1] {
        stage.clock.step(hours * 3_600_000);
        let lease_end = stage.clock.now().plus(LEASE);
        stage.eventually("a new lease", |stage| stage.run("j").attention_at == Some(lease_end)).await;
        let run = stage.run("j");
        assert_eq!((run.state, run.epoch, run.losses), (RunState::Running, Epoch(1), 0));
    }
    // Silence counts as before.
    stage.clock.advance(LEASE);
    let again = agent.work(StepOutcome::Success).await;
    assert_eq!((again.run_id, again.epoch), (order.run_id, Epoch(2)));
    assert_eq!(stage.runs("j").len(), 1);
    conductor.stop().await;
}

pub async fn a_clock_that_is_set_fires_nothing_twice(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    let halves = |count: u64| Some(T0.plus(Duration::from_secs(count * 1800)));
    stage.put_job(
        "interval",
        json!({"schedule_interval": "3 hours", "schedule_start_date": NOW}),
        &[action("a", 0, false)],
    );
    agent.work(StepOutcome::Success).await;
    // A retry that waits for three hours and a half.
    stage.put_job("retried", json!({}), &[Action { max_retries_interval: 12_600, ..action("r", 1, false) }]);
    agent.work(StepOutcome::Fail).await;
    stage.put_job("cron", json!({"schedule_hour": "4"}), &[action("c", 0, false)]);
    stage.job_is("cron", JobStatus::Scheduled).await;
    let seen = |stage: &Stage| {
        let runs = ["interval", "retried", "cron"].map(|id| stage.runs(id).len());
        (
            runs,
            stage.job("interval").next_run_at,
            stage.job("cron").next_run_at,
            stage.run("retried").attention_at,
        )
    };
    let before = seen(&stage);
    assert_eq!(before, ([1, 1, 0], halves(6), halves(8), halves(7)));
    for hours in [1, -1, -1, 1] {
        stage.clock.step(hours * 3_600_000);
        agent.heartbeat(vec![]).await;
        // A whole look has passed when a job put after the step has been planned.
        let witness = format!("w{}", RunId::random());
        stage.put_job(&witness, json!({"schedule_interval": "9 days"}), &[]);
        stage.job_is(&witness, JobStatus::Scheduled).await;
        assert_eq!(seen(&stage), before);
    }
    for (id, at) in [("interval", before.1), ("retried", before.3), ("cron", before.2)] {
        stage.clock.set(at.unwrap());
        agent.heartbeat(vec![]).await;
        let order = agent.work(StepOutcome::Success).await;
        assert_eq!(order.job_id, JobId::from(id));
    }
    conductor.stop().await;
}
