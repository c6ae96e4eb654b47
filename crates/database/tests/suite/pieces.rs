//! Lists that are read piece by piece are the lists, whatever the sizes of their rows.

use crate::place::*;
use crate::rows::with_actions;
use freezer_database::*;
use freezer_model::*;
use serde_json::json;

fn pages() -> Vec<Page> {
    let some = |offset, limit| Page { offset, limit: Some(limit) };
    vec![Page::ALL, some(0, 1), some(0, 100), some(3, 101), some(250, 1000), some(0, 0), some(1000, 5)]
}

/// Reads a list in pieces; returns its ids and the largest number of rows that came at once.
fn in_pieces(
    db: &Database,
    page: Page,
    mut piece: impl FnMut(&mut Tx, &mut Cursor, &mut Vec<String>) -> Result<(), DbError>,
) -> (Vec<String>, usize) {
    let (mut cursor, mut all, mut most) = (Cursor::of(page), Vec::new(), 0);
    while !cursor.is_over() {
        let before = all.len();
        db.read(|tx| piece(tx, &mut cursor, &mut all)).unwrap();
        most = most.max(all.len() - before);
    }
    (all, most)
}

pub fn pieces_of_records(place: &Place) {
    let db = &place.db;
    db.transaction(|tx| -> Result<(), DbError> {
        for number in 0..300 {
            let mut record = backup("a", &format!("b{number:03}"), number / 7);
            // Small ones first: what comes later is not known from them.
            let bytes = if number < 120 { 10 } else { 60_000 };
            record.metadata.insert("links".to_owned(), json!("x".repeat(bytes)));
            tx.backups().insert(&record)?;
        }
        Ok(())
    })
    .unwrap();
    let (project, any) = (p("a"), BackupFilter::default());
    let is_odd = |id: &BackupId| id.as_str().ends_with(['1', '3', '5', '7', '9']);
    for page in pages() {
        let all = db.read(|tx| tx.backups().list(&project, &any, None, page)).unwrap();
        let expected: Vec<String> = all.iter().map(|record| record.backup_id.to_string()).collect();
        let (found, most) = in_pieces(db, page, |tx, cursor, ids| {
            tx.backups().advance(&project, &any, None, cursor, &mut |record| {
                ids.push(record.backup_id.to_string());
                Ok::<(), DbError>(())
            })
        });
        assert_eq!(found, expected, "{page:?}");
        assert!(most <= 120 + 70, "{page:?}: {most} rows at once");
        let wanted = |record: &Backup| is_odd(&record.backup_id);
        let all = db.read(|tx| tx.backups().list(&project, &any, Some(&wanted), page)).unwrap();
        let expected: Vec<String> = all.iter().map(|record| record.backup_id.to_string()).collect();
        let wanted = |record: &ShownBackup| is_odd(&record.backup_id);
        let (found, _) = in_pieces(db, page, |tx, cursor, ids| {
            tx.backups().advance(&project, &any, Some(&wanted), cursor, &mut |record| {
                ids.push(record.backup_id.to_string());
                Ok::<(), DbError>(())
            })
        });
        assert_eq!(found, expected, "odd ones, {page:?}");
    }
}

pub fn pieces_of_jobs(place: &Place) {
    let db = &place.db;
    let actions: Vec<String> = (0..40).map(|number| format!("x{number}")).collect();
    let names: Vec<&str> = actions.iter().map(String::as_str).collect();
    with_actions(db, "a", &names);
    db.transaction(|tx| -> Result<(), DbError> {
        for number in 0..130 {
            tx.jobs().insert(&job("a", &format!("j{number:03}"), &names))?;
        }
        Ok(())
    })
    .unwrap();
    let (project, any) = (p("a"), JobFilter::default());
    for page in pages() {
        let whole = db.read(|tx| tx.jobs().list(Scope::Project(&project), &any, None, page)).unwrap();
        let list = JobList { scope: Scope::Project(&project), filter: &any, viewer: None };
        let found = shown(db, list, None, page).unwrap();
        let expected: Vec<_> = whole.iter().map(document_of).collect();
        assert!(found.iter().map(document_seen).eq(expected), "{page:?}");
    }
}

/// A hundred jobs with twenty long actions each, thirty MiB together, in an order that no key has.
fn large_jobs(db: &Database) {
    for number in 0..100 {
        db.transaction(|tx| -> Result<(), DbError> {
            let mut large = job("a", &format!("j{number:03}"), &[]);
            large.created_at = Timestamp(5_000 + (number * 37) % 100);
            for position in 0..20 {
                let mut one = action("a", &format!("x{number}-{}", (position * 7) % 20));
                one.freezer_action.insert("é\"".to_owned(), json!(format!("{number} ").repeat(5_000)));
                tx.actions().insert(&one)?;
                large.actions.push(one);
            }
            tx.jobs().insert(&large)
        })
        .unwrap();
    }
}

/// The documents of a list, and what it cost.
fn large_list(db: &Database, page: Page) -> (Vec<String>, u64) {
    let (project, filter) = (p("a"), JobFilter::default());
    let list = JobList { scope: Scope::Project(&project), filter: &filter, viewer: None };
    let before = db.statements();
    let all = shown(db, list, None, page).unwrap();
    (all.iter().map(document_seen).collect(), db.statements() - before)
}

pub fn a_large_page_of_jobs_costs_three_statements(place: &Place) {
    let db = &place.db;
    large_jobs(db);
    let (project, filter) = (p("a"), JobFilter::default());
    let scope = Scope::Project(&project);
    let all = db.read(|tx| tx.jobs().list(scope, &filter, None, Page::ALL)).unwrap();
    let expected: Vec<String> = all.iter().map(document_of).collect();
    drop(all);
    assert!(expected.iter().map(String::len).sum::<usize>() > 20 << 20, "too little text to tell");
    let is_whole =
        |found: (Vec<String>, u64), from: usize, to: usize, cost: std::ops::RangeInclusive<u64>| {
            assert!(found.0.iter().eq(&expected[from..to]), "{} of {from}..{to}", found.0.len());
            assert!(cost.contains(&found.1), "{} statements, not {cost:?}", found.1);
        };
    let piece_by_piece = 10..=30;
    let page = |offset, limit| Page { offset, limit: Some(limit) };
    is_whole(large_list(db, Page::first(100)), 0, 100, 3..=3);
    is_whole(large_list(db, page(30, 100)), 30, 100, 3..=3);
    is_whole(large_list(db, page(30, 50)), 30, 80, 3..=3);
    is_whole(large_list(db, page(0, 101)), 0, 100, piece_by_piece.clone());
    // At once, they take turns.
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| is_whole(large_list(db, Page::first(100)), 0, 100, 3..=6));
        }
    });
    // No room for files, or nowhere to put them.
    let full = place.again(|options| options.spool_bytes = 1 << 20);
    is_whole(large_list(&full, Page::first(100)), 0, 100, piece_by_piece.clone());
    let nowhere = place.again(|options| options.spool_folder = "/dev/null".into());
    is_whole(large_list(&nowhere, Page::first(100)), 0, 100, piece_by_piece.clone());
    while_somebody_takes_it_slowly(place, is_whole);
}

/// The room of a page that is being taken is not another one's; no connection is held for it, and what comes is what was there.
fn while_somebody_takes_it_slowly(
    place: &Place,
    is_whole: impl Fn((Vec<String>, u64), usize, usize, std::ops::RangeInclusive<u64>),
) {
    let db = place.again(|options| {
        (options.spool_bytes, options.max_pool_size, options.max_overflow) = (48 << 20, 1, 0);
    });
    let (project, filter) = (p("a"), JobFilter::default());
    let list = JobList { scope: Scope::Project(&project), filter: &filter, viewer: None };
    let (mut cursor, mut large, mut all) = (Cursor::of(Page::first(100)), LargePage::default(), Vec::new());
    let mut some = |all: &mut Vec<String>| {
        db.advance_jobs(list, None, (&mut cursor, &mut large), &mut |seen| {
            all.push(document_seen(&seen));
            Ok::<(), DbError>(())
        })
        .unwrap();
        cursor.is_over()
    };
    while all.is_empty() {
        some(&mut all);
    }
    assert!(all.len() < 100, "all of it came at once");
    is_whole(large_list(&db, Page::first(100)), 0, 100, 10..=30);
    assert!(db.transaction(|tx| tx.jobs().delete(&p("a"), &JobId::from("j000"))).unwrap());
    while !some(&mut all) {}
    is_whole((all, 3), 0, 100, 3..=3);
    let (left, cost) = large_list(&db, Page::first(100));
    assert_eq!((left.len(), cost), (99, 3), "the room was given back");
}

pub fn runs_are_listed_without_what_is_large(place: &Place) {
    let db = &place.db;
    let mut large = run("a", "j", "r1");
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    large.actions = vec![action("a", "x"), action("a", "y")];
    large.actions[0].freezer_action.insert("deep".to_owned(), deep);
    large.steps = vec![Step {
        action_index: 0,
        attempt: 1,
        epoch: Epoch(1),
        started_at: None,
        finished_at: None,
        outcome: None,
        exit_code: None,
        error: None,
        result: serde_json::Map::from_iter([("files".to_owned(), json!("x".repeat(100_000)))]),
        log: vec!["2026-01-01T00:00:00Z INFO saved".into()],
    }];
    let small = run("a", "j", "r2");
    db.transaction(|tx| -> Result<(), DbError> {
        tx.runs().insert(&large)?;
        tx.runs().insert(&small)
    })
    .unwrap();
    let mut seen = Vec::new();
    in_pieces(db, Page::ALL, |tx, cursor, _| {
        tx.runs().advance(&p("a"), &RunFilter::default(), None, cursor, &mut |listed| {
            seen.push((listed.run.run_id.to_string(), listed.actions_total, listed.run.steps.len()));
            Ok::<(), DbError>(())
        })
    });
    seen.sort();
    assert_eq!(seen, [("r1".to_owned(), 2, 0), ("r2".to_owned(), small.actions.len(), 0)]);
    let handed = RunState::Dispatched;
    let whole = Run { state: handed, ..large };
    db.transaction(|tx| tx.runs().save(&whole)).unwrap();
    let found = db.read(|tx| tx.runs().handed_to(Some(&p("a")), &whole.client_id)).unwrap();
    let head = HandedRun {
        run_id: whole.run_id.clone(),
        project_id: whole.project_id.clone(),
        epoch: whole.epoch,
        is_to_begin: true,
        abort_requested: whole.abort_requested,
    };
    assert_eq!(found, [head]);
    let ids = [small.run_id.clone(), RunId::from("none"), whole.run_id.clone()];
    let found = db.read(|tx| tx.runs().without_steps(&ids)).unwrap();
    let steps = Vec::new();
    assert_eq!(found, [Run { steps: steps.clone(), ..small }, Run { steps, ..whole }]);
    assert!(db.read(|tx| tx.runs().without_steps(&[])).unwrap().is_empty());
}

pub fn a_job_that_became_too_long_is_found(place: &Place) {
    let db = &place.db;
    with_actions(db, "a", &["x", "y"]);
    db.transaction(|tx| tx.jobs().insert(&job("a", "j", &["x", "y", "x"]))).unwrap();
    let longer = |id: &str, bytes: usize| {
        db.read(|tx| tx.actions().job_longer_than(&p("a"), &ActionId::from(id), bytes)).unwrap()
    };
    assert_eq!(longer("x", 100_000), None);
    let mut long = action("a", "y");
    long.freezer_action.insert("text".to_owned(), json!("x".repeat(60_000)));
    db.transaction(|tx| tx.actions().save(&long)).unwrap();
    assert_eq!(longer("x", 60_000), Some(JobId::from("j")));
    assert_eq!(longer("x", 61_000), None);
    assert_eq!(longer("z", 0), None);
    assert_eq!(db.read(|tx| tx.actions().job_longer_than(&p("b"), &ActionId::from("x"), 0)).unwrap(), None);
}

/// What older versions took for a time, and what is shown of it.
pub fn impossible_times_are_shown_as_possible_ones(place: &Place) {
    let db = &place.db;
    for (id, secs, shown) in [("b1", i64::MAX, TIME_STAMP_MAX), ("b2", i64::MIN, 0), ("b3", 5, 5)] {
        let mut record = backup("a", id, 1);
        record.metadata.insert("time_stamp".to_owned(), json!(secs));
        db.transaction(|tx| tx.backups().insert(&record)).unwrap();
        let read = db.read(|tx| tx.backups().get(&p("a"), &BackupId::from(id))).unwrap().unwrap();
        assert_eq!(read.metadata["time_stamp"], shown);
    }
}

/// More than one statement takes, and what is no id at all.
pub fn however_many_are_named(place: &Place) {
    let db = &place.db;
    let mut held = run("a", "j", "held");
    held.state = RunState::Running;
    db.transaction(|tx| -> Result<(), DbError> {
        tx.runs().insert(&held)?;
        let records: Vec<Backup> =
            (0..120).map(|number| backup("a", &format!("b{number}"), number)).collect();
        tx.backups().insert_many(&records)?;
        tx.backups().insert(&backup("b", "b0", 1))
    })
    .unwrap();
    let mut named: Vec<RunId> = (0..70_000).map(|number| RunId::from(format!("no-{number}"))).collect();
    named.extend([held.run_id.clone(), RunId::from("x".repeat(1 << 20))]);
    let before = db.statements();
    let (found, renewed) = db
        .transaction(|tx| -> Result<_, DbError> {
            let found = tx.runs().holdings(&named.iter().collect())?;
            let ids: Vec<&RunId> = found.keys().collect();
            let renewed = tx.runs().renew(&ids, Timestamp(7_000))?;
            Ok((found, renewed))
        })
        .unwrap();
    let cost = db.statements() - before;
    assert!(cost <= 150, "{cost} statements");
    assert_eq!((found.len(), found[&held.run_id].is_held, renewed), (1, true, 1));
    let kept = db.read(|tx| tx.runs().get(&p("a"), &held.run_id)).unwrap().unwrap();
    assert_eq!(kept.attention_at, Some(Timestamp(7_000)));

    let waiting = |project: &str, number: u32, error: Option<&str>| {
        let mut one = run(project, "w", &format!("{project}-{number}"));
        (one.error, one.attention_at) = (error.map(str::to_owned), Some(Timestamp(9_000)));
        one
    };
    let mut away: Vec<Run> = (0..1200).map(|number| waiting("a", number, Some("away"))).collect();
    away.extend([waiting("a", 1200, None), waiting("b", 0, Some("away"))]);
    db.transaction(|tx| tx.runs().insert_many(&away)).unwrap();
    let (before, client) = (db.statements(), held.client_id.clone());
    let changed = db.transaction(|tx| tx.runs().go_on(Some(&p("a")), &client, "away")).unwrap();
    assert_eq!((changed, db.statements() - before), (1200, 4));
    for (project, number, attention) in [
        ("a", 0, None),
        ("a", 1199, None),
        ("a", 1200, Some(Timestamp(9_000))),
        ("b", 0, Some(Timestamp(9_000))),
    ] {
        let id = RunId::from(format!("{project}-{number}"));
        let run = db.read(|tx| tx.runs().get(&p(project), &id)).unwrap().unwrap();
        assert_eq!(run.attention_at, attention, "{id}");
    }

    let ids: Vec<BackupId> = (0..70_000).map(|number| BackupId::from(format!("b{number}"))).collect();
    db.transaction(|tx| -> Result<(), DbError> {
        assert_eq!(tx.backups().which_exist(&p("a"), &ids)?.len(), 120);
        assert_eq!(tx.backups().find_for_update(&p("a"), &ids[..200])?.len(), 120);
        assert_eq!(tx.backups().delete_many(&p("a"), &ids)?, 120);
        assert_eq!(tx.backups().which_exist(&p("b"), &ids)?.len(), 1);
        Ok(())
    })
    .unwrap();
}
