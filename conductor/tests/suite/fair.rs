//! Shares, slots and quotas: who goes first, who waits, and for what.

use crate::stage::*;
use freezer_model::rpc::RunAction;
use freezer_model::*;
use serde_json::{Value, json};

const NOW: &str = "2026-01-01T00:00:00";

fn put(stage: &Stage, project: &str, client: &str, names: &[String]) {
    for name in names {
        stage.put_job_of(project, client, name, json!({"schedule_date": NOW}), &[backup_of(name)]);
    }
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

async fn begin(agent: &Agent) -> RunAction {
    let order = agent.order().await;
    agent.started(&order).await;
    order
}

async fn end(agent: &Agent, order: &RunAction) {
    agent.finished(order, StepOutcome::Success, json!({})).await;
}

/// What a project holds beside the three steps of another one: up to the last place, and no further.
async fn all_places_are_all(stage: &Stage, agent: &Agent, free: usize, why: &str) {
    put(stage, "q", agent.client_id.as_str(), &names("last", free + 1));
    let mut at_work = Vec::new();
    for _ in 0..free {
        at_work.push(begin(agent).await);
    }
    stage.eventually("no place is left", |stage| stage.waiting("q").len() == 1).await;
    assert_eq!(agent.unasked().await, 0);
    assert_eq!(document::run(&stage.waiting("q")[0])["waiting_for"], why);
    end(agent, &at_work.remove(0)).await;
    assert_eq!(agent.work(StepOutcome::Success).await.project_id.as_str(), "q");
    for order in &at_work {
        end(agent, order).await;
    }
}

pub async fn a_huge_first_backup_does_not_delay_another_project(stage: Stage) {
    const HUGE: usize = 150;
    let conductor = stage
        .conductor_with(|options| (options.max_runs_per_storage, options.largest_share) = (Some(6), 50))
        .await;
    let greedy = Agent::start(&stage).await;
    let small = Agent::listen(&stage, "q", "node2").await;
    small.hello(vec![]).await;
    // Terabytes that run for days: three of the storage's six places are all that one project gets.
    put(&stage, "p", "node1", &names("huge", HUGE));
    let mut at_work = Vec::new();
    for _ in 0..3 {
        at_work.push(begin(&greedy).await);
    }
    stage.eventually("the others wait", |stage| stage.waiting("p").len() == HUGE - 3).await;
    assert_eq!(greedy.unasked().await, 0);
    let shown = document::run(&stage.waiting("p")[0]);
    assert_eq!(shown["waiting_for"], "the project has its share of storage swift");
    // The small job of the other project starts at once, and again.
    for round in 0..3 {
        put(&stage, "q", "node2", &[format!("small{round}")]);
        small.work(StepOutcome::Success).await;
    }
    all_places_are_all(&stage, &small, 3, "storage swift has as many runs at work as it may have").await;
    assert_eq!(greedy.unasked().await, 0);
    // What ends makes room for exactly one that waits.
    end(&greedy, &at_work.remove(0)).await;
    at_work.push(begin(&greedy).await);
    assert_eq!(stage.waiting("p").len(), HUGE - 4);
    conductor.stop().await;
}

pub async fn a_huge_first_backup_on_a_central_agent_leaves_room(stage: Stage) {
    const HUGE: usize = 10;
    // It would take more than its operator lets it have.
    let mut central = Agent::listen(&stage, "service", "central").await;
    (central.is_central, central.concurrent_jobs) = (true, Some(9));
    let conductor = stage.conductor_with(|options| options.max_steps_per_agent = Some(4)).await;
    central.hello(vec![]).await;
    // Terabytes that run for days: three of the agent's four places are all that one project gets.
    put(&stage, "p", "central", &names("huge", HUGE));
    let mut at_work = Vec::new();
    for _ in 0..3 {
        at_work.push(begin(&central).await);
    }
    stage.eventually("the others wait", |stage| stage.waiting("p").len() == HUGE - 3).await;
    assert_eq!(central.unasked().await, 0);
    let shown = document::run(&stage.waiting("p")[0]);
    assert_eq!(shown["waiting_for"], "the project has its share of agent central");
    for round in 0..3 {
        put(&stage, "q", "central", &[format!("small{round}")]);
        assert_eq!(central.work(StepOutcome::Success).await.project_id.as_str(), "q");
    }
    all_places_are_all(&stage, &central, 1, "agent central has as many steps as it works on at a time").await;
    // What ends makes room for exactly one that waits.
    end(&central, &at_work.remove(0)).await;
    assert_eq!(begin(&central).await.project_id.as_str(), "p");
    assert_eq!(stage.waiting("p").len(), HUGE - 4);
    conductor.stop().await;
}

pub async fn the_queue_is_ordered_by_shares(stage: Stage) {
    let quota = Quota { weight: Some(3), ..Quota::default() };
    stage.db.transaction(|tx| tx.quotas().put(&ProjectId::from("q"), &quota)).unwrap();
    // One central agent that does one thing at a time serves both.
    let mut central = Agent::listen(&stage, "service", "central").await;
    (central.is_central, central.concurrent_jobs) = (true, Some(1));
    let conductor = stage.conductor().await;
    central.hello(vec![]).await;
    conductor.stop().await;
    put(&stage, "p", "central", &names("p", 30));
    put(&stage, "q", "central", &names("q", 30));
    let conductor = stage.conductor().await;
    let mut first = Vec::new();
    for _ in 0..8 {
        first.push(central.work(StepOutcome::Success).await.project_id.into_string());
    }
    let of = |project: &str| first.iter().filter(|found| *found == project).count();
    assert_eq!((of("p"), of("q")), (2, 6), "{first:?}");
    // A project that comes last does not wait for all that is queued.
    put(&stage, "r", "central", &names("r", 1));
    stage.eventually("fired", |stage| !stage.runs_of("r", "r0").is_empty()).await;
    let mut next = Vec::new();
    for _ in 0..3 {
        next.push(central.work(StepOutcome::Success).await.project_id.into_string());
    }
    assert!(next.contains(&"r".to_owned()), "{next:?}");
    conductor.stop().await;
}

pub async fn an_agents_limit_holds_beside_several_conductors(stage: Stage) {
    const JOBS: usize = 24;
    let (one, two) = (stage.conductor().await, stage.conductor().await);
    let mut agent = Agent::listen(&stage, "p", "node1").await;
    agent.concurrent_jobs = Some(3);
    agent.hello(vec![]).await;
    put(&stage, "p", "node1", &names("j", JOBS));
    let mut at_work = Vec::new();
    for done in 0..JOBS {
        while at_work.len() < 3.min(JOBS - done) {
            at_work.push(begin(&agent).await);
        }
        stage
            .eventually("the others wait", |stage| stage.waiting("p").len() == JOBS - done - at_work.len())
            .await;
        assert_eq!(agent.unasked().await, 0);
        end(&agent, &at_work.remove(0)).await;
    }
    for name in names("j", JOBS) {
        let run = stage.run(&name);
        assert_eq!((run.state, run.epoch), (RunState::Success, Epoch(1)));
    }
    one.stop().await;
    two.stop().await;
}

pub async fn one_run_at_a_time_works_on_the_same_backups(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    let plan = json!({"schedule_date": NOW});
    stage.put_job("backup", plan.clone(), &[backup_of("etc")]);
    let backup = begin(&agent).await;
    let mut restore = backup_of("etc");
    restore.action_id = ActionId::from("restore");
    restore.freezer_action.insert("action".into(), "restore".into());
    stage.put_job("restore", plan.clone(), &[restore]);
    stage.put_job("other", plan, &[backup_of("home")]);
    let other = begin(&agent).await;
    assert_eq!(other.job_id.as_str(), "other");
    stage.eventually("the restore waits", |stage| stage.waiting("p").len() == 1).await;
    let shown = document::run(&stage.run("restore"));
    assert_eq!(
        (&shown["state"], &shown["waiting_for"]),
        (&Value::from("queued"), &Value::from("another run works on the same backups"))
    );
    end(&agent, &backup).await;
    assert_eq!(begin(&agent).await.job_id.as_str(), "restore");
    // Who waits can be aborted.
    stage.put_job("again", json!({"schedule_date": NOW}), &[backup_of("home")]);
    stage.eventually("waits", |stage| stage.waiting("p").len() == 1).await;
    stage.change_job("again", |job| job.state.event = JobEvent::Abort);
    stage.job_is("again", JobStatus::Completed).await;
    assert_eq!(stage.run("again").state, RunState::Aborted);
    conductor.stop().await;
}

pub async fn quotas_hold_runs_back(stage: Stage) {
    let conductor = stage
        .conductor_with(|options| {
            options.quota = Limits { runs: Some(1), stored_bytes: Some(1000), jobs: None };
        })
        .await;
    let agent = Agent::start(&stage).await;
    put(&stage, "p", "node1", &names("j", 2));
    let first = begin(&agent).await;
    stage.eventually("waits", |stage| stage.waiting("p").len() == 1).await;
    assert!(document::run(&stage.waiting("p")[0])["waiting_for"].as_str().unwrap().contains("quota"));
    let metadata = json!({"backup_metadata": {"container": "vault", "hostname": "h", "backup_name": "n", "bytes_stored": 1000}});
    agent.finished(&first, StepOutcome::Success, metadata).await;
    // All is used up now: the next backup ends before it begins.
    let other = if first.job_id.as_str() == "j0" { "j1" } else { "j0" };
    stage.job_is(other, JobStatus::Completed).await;
    let run = stage.run(other);
    assert_eq!((run.state, run.steps.len()), (RunState::Fail, 0));
    let error = run.error.unwrap();
    assert!(error.contains("quota exceeded for stored_bytes: 1000 of 1000 bytes"), "{error}");
    // A quota of its own counts before the default, and a restore is no backup.
    let own = Quota { stored_bytes: Some(-1), runs: Some(2), ..Quota::default() };
    stage.db.transaction(|tx| tx.quotas().put(&ProjectId::from("p"), &own)).unwrap();
    put(&stage, "p", "node1", &names("k", 3));
    let (one, two) = (begin(&agent).await, begin(&agent).await);
    stage.eventually("the third waits", |stage| stage.waiting("p").len() == 1).await;
    assert_eq!(agent.unasked().await, 0);
    end(&agent, &one).await;
    end(&agent, &two).await;
    agent.work(StepOutcome::Success).await;
    conductor.stop().await;
}
