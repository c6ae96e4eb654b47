//! Several conductors at once, and what a failed transaction leaves.

use crate::place::*;
use freezer_database::*;
use freezer_model::*;
use std::collections::HashMap;
use std::sync::Mutex;

type Outcome = Result<(), DbError>;

const DUE: usize = 1000;
const THREADS: usize = 8;

fn claim_all(claim: impl Fn() -> Vec<String> + Sync) {
    let seen: Mutex<HashMap<String, usize>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // Several empty answers: others may hold what is left.
                let mut empty = 0;
                while empty < 3 {
                    let claimed = claim();
                    empty = if claimed.is_empty() { empty + 1 } else { 0 };
                    let mut seen = seen.lock().unwrap();
                    claimed.into_iter().for_each(|id| *seen.entry(id).or_default() += 1);
                }
            });
        }
    });
    let mut seen = seen.into_inner().unwrap();
    for id in claim() {
        *seen.entry(id).or_default() += 1;
    }
    assert_eq!(seen.len(), DUE);
    assert!(seen.values().all(|times| *times == 1));
}

pub fn threads_claim_each_job_once(place: &Place) {
    let db = &place.db;
    db.transaction(|tx| -> Outcome {
        for n in 0..DUE {
            let id = JobId::from(format!("j{n}"));
            tx.jobs().insert(&job("a", id.as_str(), &[]))?;
            tx.jobs().request_attention(&p("a"), &id, Timestamp(100))?;
        }
        tx.jobs().insert(&job("a", "later", &[]))?;
        tx.jobs().request_attention(&p("a"), &JobId::from("later"), Timestamp(101))?;
        Ok(())
    })
    .unwrap();
    assert_eq!(db.read(|tx| tx.jobs().count_due(Timestamp(100))).unwrap(), DUE as i64);
    claim_all(|| {
        db.transaction(|tx| -> Result<Vec<String>, DbError> {
            let due = tx.jobs().claim_due(Timestamp(100), 10)?;
            for DueJob { job, .. } in &due.rows {
                let planning = Planning { planned_version: Some(1), next_run_at: None, attention_at: None };
                tx.jobs().set_planning(&job.project_id, &job.job_id, planning)?;
            }
            Ok(due.rows.into_iter().map(|due| due.job.job_id.into_string()).collect())
        })
        .unwrap()
    });
    assert_eq!(db.read(|tx| tx.jobs().next_attention()).unwrap(), Some(Timestamp(101)));
}

pub fn threads_claim_each_run_once(place: &Place) {
    let db = &place.db;
    db.transaction(|tx| -> Outcome {
        for n in 0..DUE {
            tx.runs().insert(&run("a", "j", &format!("r{n}")))?;
        }
        Ok(())
    })
    .unwrap();
    claim_all(|| {
        db.transaction(|tx| -> Result<Vec<String>, DbError> {
            let mut due = tx.runs().claim_due(Timestamp(3), 7)?;
            for run in &mut due.rows {
                run.state = RunState::Dispatched;
                run.epoch = run.epoch.next();
                run.attention_at = Some(Timestamp(1_000));
                tx.runs().save(run)?;
            }
            Ok(due.rows.into_iter().map(|run| run.run_id.into_string()).collect())
        })
        .unwrap()
    });
}

pub fn an_unreadable_row_does_not_stop_the_others(place: &Place) {
    let (db, now) = (&place.db, Timestamp(100));
    db.transaction(|tx| -> Outcome {
        for id in ["j1", "j2", "j3", "j4"] {
            let action = format!("a-{id}");
            tx.actions().insert(&action_of(&action))?;
            tx.jobs().insert(&job("a", id, &[&action]))?;
            tx.jobs().request_attention(&p("a"), &JobId::from(id), now)?;
            tx.runs().insert(&run("a", id, &format!("due-{id}")))?;
            tx.runs().insert(&Run { attention_at: None, ..run("a", id, &format!("ready-{id}")) })?;
        }
        Ok(())
    })
    .unwrap();
    place.execute("UPDATE jobs SET status = 'frozen' WHERE job_id = 'j2'");
    place.execute("UPDATE actions SET freezer_action = '{' WHERE action_id = 'a-j3'");
    place.execute("UPDATE runs SET progress = '[' WHERE job_id = 'j2'");
    let claim = || {
        db.transaction(|tx| -> Result<_, DbError> {
            let (jobs, due) = (tx.jobs().claim_due(now, 10)?, tx.runs().claim_due(now, 10)?);
            Ok((jobs, due, tx.runs().claim_ready(now, 10)?))
        })
        .unwrap()
    };
    let (jobs, due, ready) = claim();
    let ids: Vec<_> = jobs.rows.iter().map(|due| due.job.job_id.as_str()).collect();
    assert_eq!((ids, jobs.set_aside.len()), (vec!["j1", "j4"], 2));
    assert!(jobs.set_aside.iter().any(|error| error.to_string().contains("j2")), "{:?}", jobs.set_aside);
    let ids = |runs: &[Run]| runs.iter().map(|run| run.run_id.to_string()).collect::<Vec<_>>();
    assert_eq!((ids(&due.rows), due.set_aside.len()), (own(&["due-j1", "due-j3", "due-j4"]), 1));
    assert_eq!((ids(&ready.rows), ready.set_aside.len()), (own(&["ready-j1", "ready-j3", "ready-j4"]), 1));
    // They are left alone for a while, and come back.
    let (jobs, due, ready) = claim();
    assert!(jobs.set_aside.is_empty() && due.set_aside.is_empty() && ready.set_aside.is_empty());
    place.execute("UPDATE jobs SET status = 'scheduled' WHERE job_id = 'j2'");
    let later = now.plus(std::time::Duration::from_secs(601));
    let jobs = db.transaction(|tx| tx.jobs().claim_due(later, 10)).unwrap();
    assert!(jobs.rows.iter().any(|due| due.job.job_id.as_str() == "j2"));
}

fn own(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn action_of(id: &str) -> Action {
    action("a", id)
}

pub fn what_is_saved_in_bulk_is_what_is_saved_alone(place: &Place) {
    let db = &place.db;
    let mut runs: Vec<Run> = (0..1200).map(|n| run("a", "j", &format!("r{n:04}"))).collect();
    for (run, tag) in runs.iter_mut().zip(0..) {
        run.attention_at = None;
        run.share_tag = tag;
    }
    db.transaction(|tx| tx.runs().insert_many(&runs)).unwrap();
    for run in &mut runs {
        run.state = RunState::Dispatched;
        run.epoch = Epoch(3);
        run.attempt = 2;
        run.error = Some("e".into());
        run.waiting_for = Some("w".into());
        run.attention_at = Some(Timestamp(9));
        run.started_at = Some(Timestamp(8));
        run.losses = 1;
        run.is_unsent = true;
    }
    db.transaction(|tx| tx.runs().save_many(&runs)).unwrap();
    let mut stored = db.read(|tx| tx.runs().list(&p("a"), &RunFilter::default(), None, Page::ALL)).unwrap();
    stored.sort_by(|one, other| one.run_id.cmp(&other.run_id));
    assert_eq!(stored, runs);
    db.transaction(|tx| -> Outcome {
        for n in 0..3 {
            tx.jobs().insert(&job("a", &format!("j{n}"), &[]))?;
        }
        let plan = Planning {
            planned_version: Some(7),
            next_run_at: Some(Timestamp(5)),
            attention_at: Some(Timestamp(6)),
        };
        let plans: Vec<_> = (0..3)
            .map(|n| {
                let mut job = job("a", &format!("j{n}"), &[]);
                job.state.status = JobStatus::Running;
                job.state.time_started = 4;
                (job, plan)
            })
            .collect();
        tx.jobs().set_plans(&plans)
    })
    .unwrap();
    let due =
        db.transaction(|tx| tx.jobs().planning_for_update(&p("a"), &JobId::from("j2"))).unwrap().unwrap();
    assert_eq!((due.planned_version, due.attention_at), (Some(7), Some(Timestamp(6))));
    assert_eq!((due.job.state.status, due.job.state.time_started), (JobStatus::Running, 4));
    assert_eq!((due.job.next_run_at, due.job.description.as_deref()), (Some(Timestamp(5)), Some("nightly")));
}

pub fn shares_space_projects_out(place: &Place) {
    let db = &place.db;
    let tags = |project: &str, count: usize| {
        let wanted = [(p(project), count)].into_iter().collect();
        db.transaction(|tx| tx.shares().tags(&wanted)).unwrap().remove(&p(project)).unwrap()
    };
    let first = tags("a", 3);
    assert_eq!(first[0], 0);
    let step = first[1];
    assert_eq!((first[2], tags("a", 1)), (2 * step, vec![3 * step]));
    // Another project begins in front, and one of twice the weight takes half the steps.
    let quota = Quota { weight: Some(2), ..Quota::default() };
    db.transaction(|tx| tx.quotas().put(&p("b"), &quota)).unwrap();
    assert_eq!(tags("b", 3), [0, step / 2, step]);
    // Who comes later does not come before what has been handed out.
    db.transaction(|tx| tx.runs().set_virtual_time(9 * step)).unwrap();
    assert_eq!(tags("c", 1), [9 * step]);
    assert_eq!(tags("a", 1), [9 * step]);
}

pub fn attention_moves_only_earlier(place: &Place) {
    let db = &place.db;
    let id = JobId::from("j");
    db.transaction(|tx| tx.jobs().insert(&job("a", "j", &[]))).unwrap();
    let ask =
        |at: i64| db.transaction(|tx| tx.jobs().request_attention(&p("a"), &id, Timestamp(at))).unwrap();
    let next = || db.read(|tx| tx.jobs().next_attention()).unwrap();
    assert_eq!(next(), None);
    assert!(ask(50));
    assert!(ask(70));
    assert_eq!(next(), Some(Timestamp(50)));
    assert!(ask(20));
    assert_eq!(next(), Some(Timestamp(20)));
    assert!(!db.transaction(|tx| tx.jobs().request_attention(&p("b"), &id, Timestamp(1))).unwrap());
    let planning = Planning {
        planned_version: Some(4),
        next_run_at: Some(Timestamp(7)),
        attention_at: Some(Timestamp(8)),
    };
    assert!(db.transaction(|tx| tx.jobs().set_planning(&p("a"), &id, planning)).unwrap());
    let due = db.transaction(|tx| tx.jobs().planning_for_update(&p("a"), &id)).unwrap().unwrap();
    assert_eq!(
        (due.planned_version, due.job.next_run_at, due.attention_at),
        (Some(4), Some(Timestamp(7)), Some(Timestamp(8)))
    );
    // Saving the job leaves the conductor's bookkeeping alone.
    db.transaction(|tx| tx.jobs().save(&job("a", "j", &[]))).unwrap();
    assert_eq!(next(), Some(Timestamp(8)));
}

pub fn a_silence_begins_with_the_last_word(place: &Place) {
    let db = &place.db;
    let (id, client) = (JobId::from("j"), ClientId::from("node1"));
    let known = || {
        let due = db.transaction(|tx| tx.jobs().planning_for_update(&p("a"), &id)).unwrap().unwrap();
        (due.heard_at, due.attention_at)
    };
    let look_at = |at: Option<i64>| {
        db.transaction(|tx| tx.jobs().set_attention(&p("a"), &id, at.map(Timestamp))).unwrap();
    };
    let agent_comes = |at: i64| {
        db.transaction(|tx| tx.jobs().request_attention_for_client(Some(&p("a")), &client, Timestamp(at)))
            .unwrap()
    };
    let at = |at: i64| Some(Timestamp(at));
    db.transaction(|tx| tx.jobs().insert_for_attention(&job("a", "j", &[]), Timestamp(10), at(10))).unwrap();
    assert_eq!(known(), (at(10), at(10)));
    // The one who looks next finds what it counts from.
    let claimed = db.transaction(|tx| tx.jobs().claim_due(Timestamp(10), 10)).unwrap();
    assert_eq!(claimed.rows.iter().map(|due| due.heard_at).collect::<Vec<_>>(), [at(10)]);
    look_at(Some(500));
    db.transaction(|tx| tx.jobs().note_heard(&p("a"), &id, Timestamp(60))).unwrap();
    assert_eq!(known(), (at(60), at(60)));
    // What others write leaves it alone.
    db.transaction(|tx| -> Outcome {
        tx.jobs().save(&job("a", "j", &[]))?;
        tx.jobs().set_plans(&[(
            job("a", "j", &[]),
            Planning { planned_version: None, next_run_at: None, attention_at: at(500) },
        )])
    })
    .unwrap();
    assert_eq!(known(), (at(60), at(500)));
    // An agent of ours comes: the look that was to see whether its scheduler is silent is wanted now.
    assert_eq!(agent_comes(70), 1);
    assert_eq!(known(), (at(60), at(70)));
    db.transaction(|tx| tx.jobs().forget_heard(&p("a"), &id)).unwrap();
    look_at(Some(500));
    assert_eq!((agent_comes(80), known()), (0, (None, at(500))));
    look_at(None);
    assert_eq!((agent_comes(90), known()), (1, (None, at(90))));
}

pub fn a_failed_transaction_leaves_nothing(place: &Place) {
    let db = &place.db;
    let outcome = db.transaction(|tx| -> Outcome {
        tx.actions().insert(&action("a", "x"))?;
        tx.jobs().insert(&job("a", "j", &["x"]))?;
        tx.jobs().insert(&job("a", "j", &["x"]))
    });
    assert!(matches!(outcome, Err(DbError::Conflict { .. })));
    assert!(db.read(|tx| tx.actions().get(&p("a"), &ActionId::from("x"))).unwrap().is_none());
    // Nor does one that panics: its connection is thrown away.
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        db.transaction(|tx| -> Outcome {
            tx.actions().insert(&action("a", "x"))?;
            panic!("on purpose")
        })
    }));
    assert!(panicked.is_err());
    assert!(db.read(|tx| tx.actions().get(&p("a"), &ActionId::from("x"))).unwrap().is_none());
    db.transaction(|tx| tx.actions().insert(&action("a", "x"))).unwrap();
}

pub fn increments_are_not_lost(place: &Place) {
    let db = &place.db;
    // Two jobs taken in opposite orders: on MySQL this deadlocks often, and the loser runs again, on a connection of its own.
    for id in ["j", "k"] {
        db.transaction(|tx| tx.jobs().insert(&job("a", id, &[]))).unwrap();
    }
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for _ in 0..10 {
                    let order = if thread % 2 == 0 { ["j", "k"] } else { ["k", "j"] };
                    db.transaction(|tx| -> Outcome {
                        for id in order {
                            let mut job = tx.jobs().get_for_update(&p("a"), &JobId::from(id))?.unwrap();
                            job.session_tag += 1;
                            tx.jobs().save(&job)?;
                        }
                        Ok(())
                    })
                    .unwrap();
                }
            });
        }
    });
    for id in ["j", "k"] {
        let job = db.read(|tx| tx.jobs().get(&p("a"), &JobId::from(id))).unwrap().unwrap();
        assert_eq!(job.session_tag, (THREADS * 10) as i64);
    }
}

pub fn projects_are_apart(place: &Place) {
    let db = &place.db;
    for project in ["a", "b"] {
        db.transaction(|tx| -> Outcome {
            tx.actions().insert(&action(project, "x"))?;
            tx.jobs().insert(&job(project, "j", &["x"]))?;
            tx.backups().insert(&backup(project, "b", 1))?;
            tx.clients().insert(&client(project, "c"))?;
            tx.runs().insert(&run(project, "j", &format!("r-{project}")))
        })
        .unwrap();
    }
    db.read(|tx| -> Outcome {
        let project = p("a");
        assert_eq!(tx.actions().list(&project, None, Page::ALL)?.len(), 1);
        assert_eq!(tx.backups().list(&project, &BackupFilter::default(), None, Page::ALL)?.len(), 1);
        assert_eq!(tx.clients().list(&project, &ClientFilter::default(), None, Page::ALL)?.len(), 1);
        assert_eq!(tx.runs().list(&project, &RunFilter::default(), None, Page::ALL)?.len(), 1);
        let jobs = tx.jobs().list(Scope::Project(&project), &JobFilter::default(), None, Page::ALL)?;
        assert_eq!(jobs.len(), 1);
        assert!(jobs[0].actions.iter().all(|action| action.project_id == project));
        let all = tx.jobs().list(Scope::All, &JobFilter::default(), None, Page::ALL)?;
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|job| job.actions.len() == 1 && job.actions[0].project_id == job.project_id));
        Ok(())
    })
    .unwrap();
}
