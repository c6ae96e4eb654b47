//! What documents show of a job's actions is kept as text, and is never anything but what the rows say.

use crate::place::*;
use crate::rows::with_actions;
use freezer_database::*;
use freezer_model::*;
use serde_json::json;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

type Outcome = Result<(), DbError>;

/// The documents of all jobs as lists show them, which must be those that the rows make, and what the list cost.
fn listed(db: &Database) -> (Vec<String>, u64) {
    let (project, filter) = (p("a"), JobFilter::default());
    let list = JobList { scope: Scope::Project(&project), filter: &filter, viewer: None };
    let before = db.statements();
    let seen = shown(db, list, None, Page::first(100)).unwrap();
    let cost = db.statements() - before;
    let found: Vec<String> = seen.iter().map(document_seen).collect();
    let rows = db.read(|tx| tx.jobs().list(Scope::Project(&project), &filter, None, Page::ALL)).unwrap();
    assert_eq!(found, rows.iter().map(document_of).collect::<Vec<_>>());
    for (job, document) in rows.iter().zip(&found) {
        let one = db.read(|tx| tx.jobs().show(&project, &job.job_id, None)).unwrap().unwrap();
        assert_eq!(document_seen(&one), *document);
    }
    (found, cost)
}

/// An action as it is after one more change.
fn changed(id: &str, number: usize) -> Action {
    let mut changed = action("a", id);
    changed.freezer_action.insert("number".to_owned(), json!(number));
    changed.max_retries = i32::try_from(number).unwrap();
    changed
}

/// Gives a job these actions, as its caller knows them.
fn relink(tx: &mut Tx, id: &str, actions: &[&str]) -> Outcome {
    let held = tx.jobs().get_for_update(&p("a"), &JobId::from(id))?.unwrap();
    // What a caller knows of an action may be older than the action.
    let actions = actions.iter().map(|id| action("a", id)).collect();
    tx.jobs().save(&Job { actions, ..held })
}

pub fn documents_say_what_the_rows_say(place: &Place) {
    let db = &place.db;
    with_actions(db, "a", &["x", "y", "z"]);
    db.transaction(|tx| -> Outcome {
        tx.jobs().insert(&job("a", "alone", &["x"]))?;
        tx.jobs().insert(&job("a", "both", &["y", "x"]))?;
        tx.jobs().insert(&job("a", "none", &[]))?;
        tx.jobs().insert(&job("a", "twice", &["x", "x"]))?;
        tx.jobs().insert_for_attention(&job("a", "z", &["z"]), Timestamp(1), None)
    })
    .unwrap();
    let costs = |statements: u64, mentions: &str, times: usize| {
        let (found, cost) = listed(db);
        let count: usize = found.iter().map(|document| document.matches(mentions).count()).sum();
        assert_eq!((cost, count), (statements, times), "{found:#?}");
    };
    costs(1, "\"action_id\":\"x\"", 4);
    db.transaction(|tx| tx.actions().save(&changed("x", 7))).unwrap();
    costs(1, "\"number\":7", 4);
    db.transaction(|tx| relink(tx, "both", &["x", "z"])).unwrap();
    db.transaction(|tx| relink(tx, "twice", &["y"])).unwrap();
    costs(1, "\"number\":7", 2);
    // Made and changed in the transaction that uses it.
    db.transaction(|tx| -> Outcome {
        tx.actions().insert(&changed("new", 8))?;
        tx.actions().save(&changed("new", 9))?;
        tx.jobs().insert(&job("a", "newest", &["new", "z"]))
    })
    .unwrap();
    costs(1, "\"number\":9", 1);
    assert!(db.transaction(|tx| tx.actions().delete(&p("a"), &ActionId::from("x"))).unwrap());
    assert!(!db.transaction(|tx| tx.actions().delete(&p("a"), &ActionId::from("x"))).unwrap());
    costs(1, "\"number\":7", 0);
    let lost = db.transaction(|tx| relink(tx, "both", &["x"]));
    assert!(matches!(lost, Err(DbError::Missing { .. })), "{lost:?}");
    // Another project's action of the same name is another action.
    with_actions(db, "b", &["z"]);
    let foreign = Action { project_id: p("b"), ..changed("z", 11) };
    db.transaction(|tx| tx.actions().save(&foreign)).unwrap();
    costs(1, "\"number\":11", 0);
}

/// More jobs with several actions have one that changes than get their text at once; and who has none gets it when it is written.
pub fn who_has_no_text_gets_it(place: &Place) {
    let db = &place.db;
    with_actions(db, "a", &["x", "y"]);
    let names: Vec<String> = (0..60).map(|number| format!("j{number:02}")).collect();
    db.transaction(|tx| -> Outcome {
        names.iter().try_for_each(|name| tx.jobs().insert(&job("a", name, &["x", "y"])))?;
        (0..60)
            .try_for_each(|number| tx.jobs().insert(&job("a", &format!("k{number}"), &["y", "x", "y"])))?;
        tx.jobs().insert(&job("a", "a-none", &[]))
    })
    .unwrap();
    let page = |limit| {
        let (project, filter) = (p("a"), JobFilter::default());
        let list = JobList { scope: Scope::Project(&project), filter: &filter, viewer: None };
        let before = db.statements();
        let seen = shown(db, list, None, limit).unwrap();
        (seen.iter().map(document_seen).collect::<Vec<_>>(), db.statements() - before)
    };
    let (first, behind) = (Page::first(100), Page { offset: 100, limit: Some(100) });
    assert_eq!((page(first).1, page(behind).1, page(behind).0.len()), (1, 1, 21));
    db.transaction(|tx| tx.actions().save(&changed("y", 3))).unwrap();
    let (found, cost) = page(behind);
    assert_eq!((cost, found.iter().filter(|text| text.contains("\"number\":3")).count()), (3, 21));
    let written = |id: &str| {
        db.transaction(|tx| {
            let held = tx.jobs().get_for_update(&p("a"), &JobId::from(id))?.unwrap();
            tx.jobs().save(&held)
        })
        .unwrap();
    };
    (0..60).for_each(|number| written(&format!("k{number}")));
    assert_eq!(page(behind), (found.clone(), 1));
    // As after an upgrade.
    place.execute("UPDATE jobs SET shown_actions = NULL");
    assert_eq!((page(first).1, page(behind)), (3, (found.clone(), 3)));
    written("a-none");
    place.execute("DELETE FROM jobs WHERE job_id NOT IN ('a-none', 'j00')");
    written("j00");
    assert_eq!(page(first).1, 1);
}

/// An upgrade makes the text of every job.
pub fn an_upgrade_makes_the_texts(place: &Place) {
    let db = &place.db;
    with_actions(db, "a", &["x", "y"]);
    with_actions(db, "b", &["x"]);
    db.transaction(|tx| -> Outcome {
        for number in 0..450 {
            let project = if number % 2 == 0 { "a" } else { "b" };
            tx.jobs().insert(&job(project, &format!("j{number}"), &["x"]))?;
        }
        tx.jobs().insert(&job("a", "none", &[]))?;
        tx.jobs().insert(&job("a", "both", &["y", "x"]))
    })
    .unwrap();
    place.execute(
        "UPDATE actions SET freezer_action = '[]' WHERE action_id = 'y'; ALTER TABLE jobs DROP COLUMN shown_actions; \
         DELETE FROM __diesel_schema_migrations WHERE version = '20261128150000'",
    );
    assert_eq!(db.sync().unwrap().len(), 1);
    // One cannot be read.
    let kept = |project: &str, offset: u64| {
        let (project, filter) = (p(project), JobFilter::default());
        let list = JobList { scope: Scope::Project(&project), filter: &filter, viewer: None };
        let seen = shown(db, list, None, Page { offset, limit: Some(100) }).unwrap();
        seen.iter().filter(|seen| seen.actions.is_some()).count()
    };
    assert_eq!((kept("a", 0), kept("a", 1), kept("b", 126)), (0, 100, 99));
    place.execute("UPDATE actions SET freezer_action = '{}' WHERE action_id = 'y'");
    db.transaction(|tx| relink(tx, "both", &["x"])).unwrap();
    assert_eq!(kept("a", 0), 100);
}

/// Actions change, are deleted and come again while jobs are made of them and get others.
pub fn whatever_happens_at_the_same_time(place: &Place) {
    let db = &place.db;
    const NAMES: [&str; 3] = ["x", "y", "z"];
    with_actions(db, "a", &NAMES);
    db.transaction(|tx| -> Outcome {
        for name in NAMES {
            tx.jobs().insert(&job("a", name, &[name]))?;
        }
        Ok(())
    })
    .unwrap();
    let turns = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for worker in 0..4_usize {
            let turns = &turns;
            threads.spawn(move || {
                for turn in 0..40_usize {
                    let number = turns.fetch_add(1, Ordering::Relaxed);
                    let name = |plus: usize| NAMES[(turn * 7 + worker * 5 + plus) % 3];
                    let (one, other) = (name(0), name(turn / 3));
                    let done = db.transaction(|tx| match (turn + worker) % 4 {
                        0 | 1 => tx.actions().save(&changed(one, number)),
                        2 => relink(tx, one, &[other, one, name(1)]),
                        _ => tx.jobs().insert(&job("a", &format!("j{worker}-{turn}"), &[one, other])),
                    });
                    done.unwrap();
                    if turn % 20 == 19 {
                        let gone = name(2);
                        db.transaction(|tx| -> Outcome {
                            tx.actions().delete(&p("a"), &ActionId::from(gone))?;
                            tx.actions().insert(&changed(gone, number))
                        })
                        .unwrap();
                    }
                }
            });
        }
    });
    listed(db);
}

/// Again and again at the same moment.
pub fn an_action_changes_while_a_job_is_made_of_it(place: &Place) {
    let db = &place.db;
    with_actions(db, "a", &["x", "y"]);
    let start = Barrier::new(2);
    for number in 0..200 {
        let id = format!("j{number}");
        std::thread::scope(|threads| {
            threads.spawn(|| {
                start.wait();
                db.transaction(|tx| tx.actions().save(&changed("x", number))).unwrap();
            });
            threads.spawn(|| {
                start.wait();
                db.transaction(|tx| tx.jobs().insert(&job("a", &id, &["y", "x"]))).unwrap();
            });
        });
        let (project, id) = (p("a"), JobId::from(id.as_str()));
        let row = db.read(|tx| tx.jobs().get(&project, &id)).unwrap().unwrap();
        let seen = db.read(|tx| tx.jobs().show(&project, &id, None)).unwrap().unwrap();
        assert_eq!(document_seen(&seen), document_of(&row));
    }
}

pub fn long_or_foreign_text_is_not_read(place: &Place) {
    let db = &place.db;
    with_actions(db, "a", &["x"]);
    db.transaction(|tx| tx.jobs().insert(&job("a", "j", &["x"]))).unwrap();
    let (before, cost) = listed(db);
    assert_eq!(cost, 1);
    for text in ["'0[]'", "'2[]'", "''", "NULL"] {
        place.execute(&format!("UPDATE jobs SET shown_actions = {text}"));
        assert_eq!(listed(db), (before.clone(), 3), "{text}");
    }
    let mut long = changed("x", 1);
    long.freezer_action.insert("text".to_owned(), json!("x".repeat(40 << 10)));
    db.transaction(|tx| tx.actions().save(&long)).unwrap();
    assert_eq!(listed(db).1, 3);
    db.transaction(|tx| tx.actions().save(&changed("x", 2))).unwrap();
    assert_eq!(listed(db).1, 1);
}
