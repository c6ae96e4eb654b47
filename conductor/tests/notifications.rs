//! Events on a real broker: which queues got how many. (What they look like is tested where they are made.)
#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "suite/stage.rs"]
#[allow(dead_code)]
mod stage;

use freezer_model::*;
use freezer_testkit::{TestDatabase, TestVhost};
use oslo_messaging::{NotifierDriver, NotifierOptions};
use serde_json::json;
use stage::*;

const NOW: &str = "2026-01-01T00:00:00";

fn restore(name: &str) -> Action {
    let mut action = backup_of(name);
    action.freezer_action.insert("action".into(), "restore".into());
    action
}

async fn one_of_each(stage: &Stage) {
    let agent = Agent::start(stage).await;
    stage.put_job("b", json!({"schedule_date": NOW}), &[backup_of("b")]);
    agent.work(StepOutcome::Success).await;
    stage.put_job("r", json!({"schedule_date": NOW}), &[restore("r")]);
    agent.work(StepOutcome::Partial).await;
    stage.put_job("f", json!({"schedule_date": NOW}), &[backup_of("f")]);
    agent.work(StepOutcome::Fail).await;
    agent.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_when_they_are_switched_on() {
    let (database, vhost) = (TestDatabase::create(), TestVhost::create());
    let stage = Stage::over(&database.url(), &vhost.url());
    let quiet = stage.conductor().await;
    one_of_each(&stage).await;
    quiet.stop().await;
    assert_eq!(vhost.messages("notifications.info"), None, "nothing is sent, and no queue made, by default");
    let other = TestDatabase::create();
    let stage = Stage::over(&other.url(), &vhost.url());
    let conductor = stage
        .conductor_with(|options| {
            options.audit = true;
            options.notifications =
                NotifierOptions { driver: NotifierDriver::MessagingV2, ..NotifierOptions::default() };
        })
        .await;
    one_of_each(&stage).await;
    // Three starts, two ends, one audit event of the restore; one error.
    stage.eventually("events", |_| vhost.messages("notifications.info") == Some(6)).await;
    stage.eventually("errors", |_| vhost.messages("notifications.error") == Some(1)).await;
    stage
        .eventually("all sent", |stage| stage.db.read(|tx| tx.outbox().next_attention()).unwrap().is_none())
        .await;
    conductor.stop().await;
}
