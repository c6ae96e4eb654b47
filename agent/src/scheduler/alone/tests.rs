//! The desk on a clock that is moved by hand, with the executor's part played by the test.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::desk::Desk;
use super::document;
use super::files::{Found, JobFile};
use super::state::{Record, States};
use freezer_model::rpc::{RunAction, StepFinished, Verdict};
use freezer_model::{ClientId, Clock, JobId, ManualClock, Progress, StepOutcome, Timestamp};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const HOUR: u64 = 3600;

struct Room {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Room {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)));
        Self { folder: tempfile::tempdir().unwrap(), clock }
    }

    /// A daemon that starts: what it knew before is on the disk.
    fn start(&self, documents: &[(&str, Value)]) -> Desk {
        let desk = Desk::open(self.folder.path(), self.clock.clone()).unwrap();
        let fresh = desk.take_over(self.found(documents));
        assert_eq!(fresh.len(), documents.len());
        desk.take_back(&fresh, &[]);
        desk
    }

    fn found(&self, documents: &[(&str, Value)]) -> Found {
        let read = |(name, document): &(&str, Value)| {
            let text = document.to_string();
            let job = document::read(text.as_bytes(), name, &ClientId::from("c"), self.clock.now()).unwrap();
            JobFile { path: PathBuf::from(format!("{name}.conf")), job }
        };
        Found { jobs: documents.iter().map(read).collect(), refused: Vec::new() }
    }

    fn wait(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }

    fn record(&self, job: &str) -> Record {
        States::open(self.folder.path()).unwrap().read(&JobId::from(job)).unwrap().unwrap()
    }
}

fn job(schedule: Value, actions: Value) -> Value {
    json!({"job_schedule": schedule, "job_actions": actions})
}

fn exec() -> Value {
    json!([{"freezer_action": {"action": "exec", "command": "true"}}])
}

fn hourly() -> Value {
    job(json!({"schedule_interval": "1 hours"}), exec())
}

fn orders(desk: &Desk) -> Vec<RunAction> {
    desk.look().0
}

#[track_caller]
fn one(desk: &Desk) -> RunAction {
    let mut orders = orders(desk);
    assert_eq!(orders.len(), 1, "{orders:?}");
    orders.remove(0)
}

fn report(order: &RunAction, outcome: StepOutcome) -> StepFinished {
    StepFinished {
        run_id: order.run_id.clone(),
        epoch: order.epoch,
        outcome,
        exit_code: None,
        error: (outcome != StepOutcome::Success).then(|| "broken".to_owned()),
        progress: Progress::default(),
        result: serde_json::Map::new(),
        reporter: None,
    }
}

#[track_caller]
fn end(desk: &Desk, order: &RunAction, outcome: StepOutcome) {
    assert_eq!(desk.finished(&report(order, outcome)).unwrap(), Verdict::Continue);
}

#[test]
fn an_interval_goes_on_after_a_restart_and_missed_times_are_one() {
    let room = Room::new();
    let jobs = [("a", hourly())];
    assert!(orders(&room.start(&jobs)).is_empty());
    room.wait(HOUR / 2);
    let desk = room.start(&jobs);
    assert!(orders(&desk).is_empty());
    room.wait(HOUR / 2);
    end(&desk, &one(&desk), StepOutcome::Success);
    assert!(orders(&desk).is_empty());
    let planned = room.record("a").next_run_at.unwrap();
    room.wait(3 * HOUR + 60);
    let desk = room.start(&jobs);
    end(&desk, &one(&desk), StepOutcome::Success);
    assert!(orders(&desk).is_empty());
    assert_eq!(room.record("a").next_run_at, Some(planned.plus(Duration::from_secs(3 * HOUR))), "its phase");
}

#[test]
fn a_job_for_once_runs_once_until_it_is_another() {
    let room = Room::new();
    let jobs = [("a", job(json!({}), exec()))];
    let desk = room.start(&jobs);
    let order = one(&desk);
    end(&desk, &order, StepOutcome::Success);
    assert_eq!(desk.finished(&report(&order, StepOutcome::Success)).unwrap(), Verdict::Stale, "it is over");
    let desk = room.start(&jobs);
    assert!(orders(&desk).is_empty());
    assert!(desk.take_over(room.found(&[])).is_empty());
    assert_eq!(desk.take_over(room.found(&jobs)).len(), 1, "its file is back");
    assert!(orders(&desk).is_empty());
    let other = json!([{"freezer_action": {"action": "exec", "command": "false"}}]);
    desk.take_over(room.found(&[("a", job(json!({}), other))]));
    end(&desk, &one(&desk), StepOutcome::Success);
    let started = job(json!({"event": "start"}), exec());
    desk.take_over(room.found(&[("a", started.clone())]));
    end(&desk, &one(&desk), StepOutcome::Success);
    desk.take_over(room.found(&[("a", started)]));
    assert!(orders(&desk).is_empty(), "the event was obeyed");
}

#[test]
fn retries_and_what_follows_a_failure() {
    let room = Room::new();
    let action = json!({"action": "exec", "command": "true"});
    let actions = json!([
        {"freezer_action": action, "max_retries": 1, "max_retries_interval": 30},
        {"freezer_action": action},
        {"freezer_action": action, "mandatory": true},
    ]);
    let desk = room.start(&[("a", job(json!({}), actions))]);
    let first = one(&desk);
    end(&desk, &first, StepOutcome::Fail);
    end(&desk, &first, StepOutcome::Fail);
    let (none, pause) = desk.look();
    assert!(none.is_empty() && pause <= Duration::from_secs(5), "{none:?} {pause:?}");
    room.wait(30);
    let second = one(&desk);
    assert_eq!((second.action_index, second.attempt), (0, 2));
    end(&desk, &second, StepOutcome::Fail);
    let third = one(&desk);
    assert_eq!((third.action_index, third.attempt), (2, 1), "only the mandatory one");
    end(&desk, &third, StepOutcome::Success);
    let record = room.record("a");
    assert_eq!((record.status.as_str(), record.result.as_str(), record.run), ("completed", "fail", None));
}

#[test]
fn an_interrupted_run_goes_on() {
    let room = Room::new();
    let jobs = [("a", job(json!({}), exec()))];
    let first = one(&room.start(&jobs));
    // It was handed out and never began.
    let desk = room.start(&jobs);
    let second = one(&desk);
    assert_eq!((&second.run_id, second.attempt), (&first.run_id, 1));
    assert!(second.epoch > first.epoch);
    assert_eq!(desk.finished(&report(&first, StepOutcome::Success)).unwrap(), Verdict::Stale);
    // Lost with its daemon: begun again, but not for ever.
    let mut last = second;
    for _ in 0..2 {
        end(&desk, &last, StepOutcome::Lost);
        last = one(&desk);
        assert_eq!(last.attempt, 1);
    }
    end(&desk, &last, StepOutcome::Lost);
    assert!(orders(&desk).is_empty());
    assert_eq!(room.record("a").result, "fail");
}

#[test]
fn a_changed_file_counts_when_the_run_has_ended() {
    let room = Room::new();
    let desk = room.start(&[("a", hourly())]);
    orders(&desk);
    room.wait(HOUR);
    let order = one(&desk);
    let slower = || [("a", job(json!({"schedule_interval": "2 hours"}), exec()))];
    desk.take_over(room.found(&slower()));
    assert!(orders(&desk).is_empty());
    // Also over a restart in between.
    let desk = Desk::open(room.folder.path(), room.clock.clone()).unwrap();
    desk.take_over(room.found(&slower()));
    room.wait(60);
    end(&desk, &order, StepOutcome::Success);
    assert!(orders(&desk).is_empty());
    let record = room.record("a");
    assert_eq!(record.next_run_at, Some(room.clock.now().plus(Duration::from_secs(2 * HOUR))));
    assert_eq!((record.status.as_str(), record.result.as_str()), ("scheduled", "success"));

    let stopped = job(json!({"schedule_interval": "2 hours", "event": "stop"}), exec());
    desk.take_over(room.found(&[("a", stopped)]));
    assert!(orders(&desk).is_empty());
    room.wait(3 * HOUR);
    assert!(orders(&desk).is_empty(), "it was stopped");
    assert_eq!(room.record("a").status, "stop");
}

#[test]
fn a_job_without_a_file_ends_with_its_run() {
    let room = Room::new();
    let desk = room.start(&[("a", hourly())]);
    orders(&desk);
    room.wait(HOUR);
    let order = one(&desk);
    desk.take_over(Found::default());
    room.wait(HOUR);
    assert!(orders(&desk).is_empty());
    end(&desk, &order, StepOutcome::Success);
    room.wait(HOUR);
    assert!(orders(&desk).is_empty());
    // A file that cannot be read is not one that is gone.
    desk.take_over(room.found(&[("a", hourly())]));
    let refused = vec![(PathBuf::from("a.conf"), "broken".to_owned())];
    desk.take_over(Found { jobs: Vec::new(), refused });
    assert_eq!(orders(&desk).len(), 1);
}

#[test]
fn two_runs_never_work_on_the_same_backups() {
    let room = Room::new();
    let action = |action: &str| {
        job(
            json!({}),
            json!([{"freezer_action": {"action": action, "storage": "local", "container": "/d", "backup_name": "b"}}]),
        )
    };
    let desk = room.start(&[("a", action("backup")), ("b", action("restore"))]);
    let first = one(&desk);
    assert_eq!(first.job_id.as_str(), "a");
    assert!(orders(&desk).is_empty());
    end(&desk, &first, StepOutcome::Success);
    assert_eq!(one(&desk).job_id.as_str(), "b");
}

#[test]
fn an_unreadable_state_stops_its_job_only() {
    let room = Room::new();
    let jobs = [("a", job(json!({}), exec())), ("b", job(json!({}), exec()))];
    let desk = room.start(&jobs);
    for order in orders(&desk) {
        end(&desk, &order, StepOutcome::Success);
    }
    let file = room.folder.path().join("jobs/a.json");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&file, "{half").unwrap();
    let desk = Desk::open(room.folder.path(), room.clock.clone()).unwrap();
    assert_eq!(desk.take_over(room.found(&jobs)), [JobId::from("b")]);
    assert!(orders(&desk).is_empty());
}
