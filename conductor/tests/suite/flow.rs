//! The way of a job from its plan to its record.

use crate::stage::*;
use freezer_database::*;
use freezer_model::rpc::Verdict;
use freezer_model::*;
use serde_json::{Value, json};
use std::time::Duration;

pub async fn fires_on_time_and_records_the_backup(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_interval": "1 hours"}), &[action("a", 0, false)]);
    stage.job_is("j", JobStatus::Scheduled).await;
    let due = T0.plus(Duration::from_secs(3600));
    assert_eq!(stage.job("j").next_run_at, Some(due));
    assert!(stage.runs("j").is_empty());
    stage.clock.set(due);
    let order = agent.order().await;
    assert_eq!((order.epoch, order.attempt, order.action_index), (Epoch(1), 1, 0));
    assert_eq!(order.freezer_action, action("a", 0, false).freezer_action);
    assert_eq!(stage.job("j").state.status, JobStatus::Running);
    agent.started(&order).await;
    agent.progress(&order, 77).await;
    let run = stage.run("j");
    assert_eq!((run.state, run.progress.bytes_done, run.created_at), (RunState::Running, 77, due));
    assert_eq!(stage.job("j").state.current_pid, Some(4711));
    // Shorter than a lease: nobody renews this one.
    stage.clock.advance(Duration::from_secs(30));
    let metadata = json!({"container": "c", "hostname": "h", "backup_name": "n", "time_stamp": 5});
    agent.finished(&order, StepOutcome::Success, json!({"backup_metadata": metadata})).await;
    let (job, run) = (stage.job("j"), stage.run("j"));
    assert_eq!((run.state, run.error.as_deref(), run.attention_at), (RunState::Success, None, None));
    assert_eq!((job.state.status, job.state.result), (JobStatus::Scheduled, JobResult::Success));
    assert_eq!((job.state.time_started, job.state.time_ended), (due.secs(), due.secs() + 30));
    assert_eq!(job.next_run_at, Some(due.plus(Duration::from_secs(3600))));
    let filter = BackupFilter { job_id: Some(JobId::from("j")), ..BackupFilter::default() };
    let backups =
        stage.db.read(|tx| tx.backups().list(&ProjectId::from("p"), &filter, None, Page::ALL)).unwrap();
    assert_eq!(backups.len(), 1);
    assert_eq!(
        (&backups[0].metadata["job_id"], &backups[0].metadata["time_stamp"]),
        (&json!("j"), &json!(5))
    );
    assert_eq!(backups[0].user_id.as_str(), "user");
    conductor.stop().await;
}

pub async fn retries_after_the_interval(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({}), &[action("a", 1, false)]);
    agent.work(StepOutcome::Fail).await;
    let run = stage.run("j");
    assert_eq!((run.state, run.attempt, run.cause.as_str()), (RunState::Queued, 1, "start"));
    assert_eq!(run.attention_at, Some(stage.clock.now().plus(Duration::from_secs(6))));
    stage.clock.advance(Duration::from_secs(6));
    let order = agent.work(StepOutcome::Fail).await;
    assert_eq!((order.attempt, order.epoch), (2, Epoch(2)));
    let (run, job) = (stage.run("j"), stage.job("j"));
    assert_eq!((run.state, run.steps.len()), (RunState::Fail, 2));
    assert!(run.error.unwrap().contains("disk full"));
    // Each attempt keeps the log of its own.
    let logs: Vec<_> = run.steps.iter().map(|step| step.log.join("\n")).collect();
    assert_eq!((logs, run.progress.log.len()), (vec!["attempt 1".to_owned(), "attempt 2".to_owned()], 0));
    assert_eq!((job.state.status, job.state.result), (JobStatus::Completed, JobResult::Fail));
    conductor.stop().await;
}

pub async fn mandatory_actions_run_after_a_failure(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    let actions = [action("a", 0, false), action("b", 0, false), action("c", 0, true), action("d", 0, false)];
    stage.put_job("j", json!({"schedule_date": "2026-01-01T00:00:00"}), &actions);
    assert_eq!(agent.work(StepOutcome::Fail).await.action_index, 0);
    assert_eq!(agent.work(StepOutcome::Success).await.action_index, 2);
    let run = stage.run("j");
    let outcomes: Vec<_> = run.steps.iter().map(|step| (step.action_index, step.outcome.unwrap())).collect();
    let expected = [StepOutcome::Fail, StepOutcome::Skipped, StepOutcome::Success, StepOutcome::Skipped];
    assert_eq!(outcomes, expected.into_iter().enumerate().collect::<Vec<_>>());
    assert_eq!((run.state, stage.job("j").state.result), (RunState::Fail, JobResult::Fail));
    assert_eq!(agent.unasked().await, 0);
    conductor.stop().await;
}

pub async fn partial_is_not_retried_and_keeps_the_gate_open(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job(
        "j",
        json!({"schedule_date": "2026-01-01T00:00:00"}),
        &[action("a", 5, false), action("b", 5, false)],
    );
    agent.work(StepOutcome::Partial).await;
    assert_eq!(agent.work(StepOutcome::Success).await.action_index, 1);
    assert_eq!((stage.run("j").state, stage.job("j").state.result), (RunState::Partial, JobResult::Fail));
    conductor.stop().await;
}

pub async fn an_overdue_firing_waits_for_the_running_one(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_interval": "1 minutes"}), &[action("a", 0, false)]);
    stage.job_is("j", JobStatus::Scheduled).await;
    stage.clock.advance(Duration::from_secs(60));
    let order = agent.order().await;
    agent.started(&order).await;
    for _ in 0..5 {
        stage.clock.advance(Duration::from_secs(50));
        agent.heartbeat(vec![held(&order)]).await;
    }
    let expected = T0.plus(Duration::from_secs(360));
    stage
        .eventually("the missed firings fall together", |stage| stage.job("j").next_run_at == Some(expected))
        .await;
    agent.finished(&order, StepOutcome::Success, json!({})).await;
    assert_eq!(stage.job("j").state.status, JobStatus::Scheduled);
    assert_eq!(stage.runs("j").len(), 1);
    stage.clock.set(expected);
    agent.work(StepOutcome::Success).await;
    assert_eq!(stage.runs("j").len(), 2);
    conductor.stop().await;
}

pub async fn continuous_follows_the_end(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_interval": "continuous"}), &[action("a", 0, false)]);
    stage.job_is("j", JobStatus::Scheduled).await;
    stage.clock.advance(Duration::from_secs(1));
    let order = agent.order().await;
    agent.started(&order).await;
    assert_eq!(stage.job("j").next_run_at, None);
    stage.clock.advance(Duration::from_secs(30));
    agent.finished(&order, StepOutcome::Success, json!({})).await;
    let job = stage.job("j");
    assert_eq!(job.next_run_at, Some(stage.clock.now().plus(Duration::from_secs(1))));
    assert_eq!(job.state.status, JobStatus::Scheduled);
    stage.clock.advance(Duration::from_secs(1));
    agent.work(StepOutcome::Success).await;
    conductor.stop().await;
}

pub async fn a_job_without_actions_succeeds(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_date": "2026-01-01T00:00:00"}), &[]);
    stage.job_is("j", JobStatus::Completed).await;
    assert_eq!(stage.job("j").state.result, JobResult::Success);
    assert_eq!(agent.unasked().await, 0);
    conductor.stop().await;
}

pub async fn metrics_are_served(stage: Stage) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let conductor = stage.conductor_with(|options| options.metrics_bind_port = Some(0)).await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_date": "2026-01-01T00:00:00"}), &[action("a", 0, false)]);
    agent.work(StepOutcome::Success).await;
    stage.put_job("k", json!({"schedule_date": "2026-01-01T00:00:00"}), &[action("a", 0, false)]);
    let order = agent.order().await;
    agent.started(&order).await;
    stage.clock.advance(Duration::from_secs(42));
    let address = conductor.metrics_address().unwrap();
    let get = |path: &'static str| async move {
        let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, text) = get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "freezer_conductor_runs{state=\"running\"} 1",
        "freezer_conductor_due_jobs 0",
        "freezer_conductor_last_success_age_seconds{project_id=\"p\",job_id=\"j\"} 42",
        "freezer_conductor_dispatch_latency_seconds_count 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    }
    assert_eq!(get("/healthcheck").await, (200, "OK\n".to_owned()));
    conductor.stop().await;
}

pub async fn records_of_what_was_removed_go(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({}), &[action("a", 0, false), action("b", 0, false), action("c", 0, false)]);
    let project = ProjectId::from("p");
    let ids = |stage: &Stage| -> Vec<String> {
        let all = stage.db.read(|tx| tx.backups().list(&project, &BackupFilter::default(), None, Page::ALL));
        all.unwrap().into_iter().map(|backup| backup.backup_id.as_str().to_owned()).collect()
    };
    let id = "0123456789abcdef0123456789abcdef";
    let metadata = |id: &str| json!({"backup_metadata": {"container": "c", "hostname": "h", "backup_name": "n", "backup_id": id}});
    // The record has the id under which the agent has marked the backup, unless that is taken or no id.
    for (mark, is_kept) in [(id, true), (id, false)] {
        let order = agent.order().await;
        agent.started(&order).await;
        agent.finished(&order, StepOutcome::Success, metadata(mark)).await;
        let known = ids(&stage);
        assert_eq!(known.len(), if is_kept { 1 } else { 2 });
        assert!(known.iter().any(|known| known == id), "{known:?}");
    }
    let order = agent.order().await;
    agent.started(&order).await;
    let removed = json!({"deleted_freezer_backup_ids": [id, "unknown", 7]});
    agent.finished(&order, StepOutcome::Success, removed).await;
    let left = ids(&stage);
    assert!(left.len() == 1 && left[0] != id, "{left:?}");
    conductor.stop().await;
}

/// What a storage holds gets records, once, and not where the run that made it has left one.
pub async fn found_backups_get_records(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    let actions: Vec<_> = (0..4).map(|number| action(&format!("a{number}"), 0, true)).collect();
    stage.put_job("j", json!({}), &actions);
    let found = |name: &str, time: i64| {
        json!({"storage": "local", "ssh_host": "", "container": "c", "hostname": "h", "backup_name": name,
               "chain_time_stamp": 1, "time_stamp": time, "bytes_stored": 5})
    };
    let mut several = found("n", 1);
    several["images"] = json!({"i": found("n_i", 2)});
    let order = agent.order().await;
    agent.started(&order).await;
    agent.finished(&order, StepOutcome::Success, json!({ "backup_metadata": several })).await;
    let project = ProjectId::from("p");
    let times = |stage: &Stage| -> Vec<i64> {
        let all = stage.db.read(|tx| tx.backups().list(&project, &BackupFilter::default(), None, Page::ALL));
        let mut times: Vec<i64> =
            all.unwrap().iter().map(|backup| backup.metadata["time_stamp"].as_i64().unwrap()).collect();
        times.sort_unstable();
        times
    };
    assert_eq!(times(&stage), [1]);
    let adopted = json!({"adopted_backups":
        [found("n", 1), found("n_i", 2), found("n", 3), found("other", 3), found("n", 3), found("n", -1), "nonsense"]});
    for outcome in [StepOutcome::Fail, StepOutcome::Success, StepOutcome::Partial] {
        let order = agent.order().await;
        agent.started(&order).await;
        agent.finished(&order, outcome, adopted.clone()).await;
        let expected = if outcome == StepOutcome::Fail { vec![1] } else { vec![1, 3, 3] };
        assert_eq!(times(&stage), expected, "{outcome:?}");
    }
    conductor.stop().await;
}

/// However the step has ended, and only what is gone: a level of one chain, one server of several.
pub async fn records_follow_rotation(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    let actions: Vec<_> = (0..8).map(|number| action(&format!("a{number}"), 0, true)).collect();
    stage.put_job("j", json!({}), &actions);
    let level = |container: &str, name: &str, chain: i64, own: i64| {
        json!({"storage": "local", "ssh_host": "", "container": container, "hostname": "h", "backup_name": name,
               "chain_time_stamp": chain, "time_stamp": own, "bytes_stored": own})
    };
    let mut several = level("c", "n", 1, 1);
    several["servers"] = json!({"s1": level("c", "n_s1", 1, 1), "s2": level("c", "n_s2", 1, 2)});
    // Nothing was stored by a dry run, so it has no record.
    let mut dry = level("c", "n", 7, 7);
    dry["dry_run"] = json!(true);
    for made in [
        dry,
        level("c", "n", 1, 1),
        level("c", "n", 1, 3),
        level("c", "n", 4, 4),
        level("elsewhere", "n", 1, 3),
        several,
    ] {
        let order = agent.order().await;
        agent.started(&order).await;
        agent.finished(&order, StepOutcome::Success, json!({ "backup_metadata": made })).await;
    }
    let project = ProjectId::from("p");
    let told = |stage: &Stage| -> Vec<(String, i64, i64, usize)> {
        let all = stage.db.read(|tx| tx.backups().list(&project, &BackupFilter::default(), None, Page::ALL));
        let row = |backup: freezer_model::Backup| {
            let metadata = backup.metadata;
            let number = |key: &str| metadata[key].as_i64().unwrap();
            let servers = metadata.get("servers").map_or(0, |servers| servers.as_object().unwrap().len());
            let container = metadata["container"].as_str().unwrap().to_owned();
            (container, number("time_stamp"), number("bytes_stored"), servers)
        };
        let mut rows: Vec<_> = all.unwrap().into_iter().map(row).collect();
        rows.sort();
        rows
    };
    let row =
        |container: &str, own: i64, bytes: i64, servers: usize| (container.to_owned(), own, bytes, servers);
    let gone = |levels: Value| json!({"removed_backups": {"storage": "local", "container": "c", "hostname": "h", "backup_name": "n", "levels": levels}});
    let order = agent.order().await;
    agent.started(&order).await;
    let first = gone(json!({"h_n": [[1, 1], [1, 3]], "h_n_s1": [[1, 1]], "h_n_s2": [[9, 2]]}));
    agent.finished(&order, StepOutcome::Fail, first).await;
    assert_eq!(told(&stage), [row("c", 1, 2, 1), row("c", 4, 4, 0), row("elsewhere", 3, 3, 0)]);
    let order = agent.order().await;
    agent.started(&order).await;
    agent.finished(&order, StepOutcome::Success, gone(json!({"h_n_s2": [[1, 2]]}))).await;
    assert_eq!(told(&stage), [row("c", 4, 4, 0), row("elsewhere", 3, 3, 0)]);
    conductor.stop().await;
}

/// Of a record of several resources one goes, while somebody writes to the record all the time.
pub async fn what_is_written_beside_a_rotation_stays(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({"schedule_date": "2026-01-01T00:00:00"}), &[action("a", 0, false)]);
    let level = |name: &str| json!({"storage": "local", "container": "c", "hostname": "h", "backup_name": name, "chain_time_stamp": 1, "time_stamp": 1});
    let mut metadata = level("n");
    metadata["servers"] = json!({"s1": level("n_s1"), "s2": level("n_s2")});
    let project = ProjectId::from("p");
    let ids: Vec<BackupId> = (0..100).map(|number| BackupId::from(format!("b{number}"))).collect();
    let record = |id: &BackupId| Backup {
        project_id: project.clone(),
        backup_id: id.clone(),
        user_id: UserId::from("user"),
        job_id: None,
        status: BackupStatus::Available,
        status_is_explicit: false,
        metadata: object(metadata.clone()),
        created_at: T0,
    };
    let made: Vec<Backup> = ids.iter().map(record).collect();
    stage
        .db
        .transaction(|tx| -> Result<(), DbError> {
            made.iter().try_for_each(|record| tx.backups().insert(record))
        })
        .unwrap();
    let order = agent.order().await;
    agent.started(&order).await;
    let (end, has_ended) = std::sync::mpsc::channel::<()>();
    let (db, of, all) = (stage.db.clone(), project.clone(), ids.clone());
    let writer = std::thread::spawn(move || {
        let mut written = 0_u64;
        while has_ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            written += 1;
            for id in all.iter().rev() {
                db.transaction(|tx| -> Result<(), DbError> {
                    let mut record = tx.backups().get_for_update(&of, id)?.unwrap();
                    record.metadata.insert("note".to_owned(), json!(written));
                    tx.backups().save(&record)
                })
                .unwrap();
            }
        }
        written
    });
    let gone = json!({"removed_backups": {"storage": "local", "container": "c", "hostname": "h", "backup_name": "n", "levels": {"h_n_s1": [[1, 1]]}}});
    assert_eq!(agent.finished(&order, StepOutcome::Success, gone).await, Verdict::Continue);
    end.send(()).unwrap();
    let written = tokio::task::spawn_blocking(move || writer.join().unwrap()).await.unwrap();
    for id in &ids {
        let record = stage.db.read(|tx| tx.backups().get(&project, id)).unwrap().unwrap();
        assert_eq!(record.metadata["note"], json!(written), "{id}");
        let servers: Vec<&String> = record.metadata["servers"].as_object().unwrap().keys().collect();
        assert_eq!(servers, ["s2"], "{id}: what is gone is back");
    }
    conductor.stop().await;
}

/// Whatever a step names: its end is noted soon, and what was left out is told.
pub async fn long_lists_of_a_step_cost_little(stage: Stage) {
    let stage = stage.counting();
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    stage.put_job("j", json!({}), &[action("a", 0, false), action("b", 0, false)]);
    let found = |time: i64| json!({"storage": "local", "container": "c", "hostname": "h", "backup_name": "n", "chain_time_stamp": 1, "time_stamp": time});
    let records = |stage: &Stage| {
        let project = ProjectId::from("p");
        let all = stage.db.read(|tx| tx.backups().list(&project, &BackupFilter::default(), None, Page::ALL));
        all.unwrap().len()
    };
    let told = |stage: &Stage, step: usize| stage.run("j").steps[step].error.clone().unwrap_or_default();
    let order = agent.order().await;
    agent.started(&order).await;
    let all: Vec<Value> = (1..=5002).map(found).collect();
    agent.finished(&order, StepOutcome::Success, json!({ "adopted_backups": all })).await;
    assert_eq!(records(&stage), 5000);
    let error = told(&stage, 0);
    assert!(
        error.contains("2 records of backups could not be written") && error.contains("at most 5000"),
        "{error}"
    );

    let order = agent.order().await;
    agent.started(&order).await;
    let names: Vec<String> = (0..20_000).map(|number| format!("n{number}")).collect();
    let levels: Vec<[i64; 2]> = (1..=5000).map(|time| [1, time]).collect();
    let gone = json!({
        "deleted_freezer_backup_ids": names,
        "removed_backups": {"storage": "local", "container": "c", "hostname": "h", "backup_name": "n", "also_named": names,
            "levels": {"h_n": levels}},
    });
    let before = stage.db.statements();
    agent.finished(&order, StepOutcome::Success, gone).await;
    // The conductor looks around meanwhile, as ever.
    let cost = stage.db.statements() - before;
    assert!(cost < 5000, "{cost} statements");
    assert_eq!(records(&stage), 0);
    assert!(
        told(&stage, 1).contains("more backups were removed than one step can tell of"),
        "{}",
        told(&stage, 1)
    );
    assert_eq!(stage.run("j").state, RunState::Success);
    conductor.stop().await;
}
