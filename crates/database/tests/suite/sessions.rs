//! Sessions and their members, and the mark of events that no scheduler has seen.

use crate::place::*;
use freezer_database::*;
use freezer_model::session::StartAnswer;
use freezer_model::*;
use serde_json::json;

type Outcome = Result<(), DbError>;

pub fn session(project: &str, id: &str) -> Session {
    Session {
        project_id: p(project),
        session_id: SessionId::from(id),
        user_id: UserId::from("user"),
        description: Some("web + db \u{1F4BE}".to_owned()),
        session_tag: 0,
        hold_off: 30,
        status: "active".to_owned(),
        result: None,
        time_start: -1,
        time_end: -1,
        schedule: object(json!({"schedule_interval": "1 days", "event": ""})),
        members: vec![],
        created_at: Timestamp(1_000),
    }
}

fn read(db: &Database, project: &str, id: &str) -> Option<Session> {
    db.read(|tx| tx.sessions().get(&p(project), &SessionId::from(id))).unwrap()
}

pub fn sessions_round_trip(place: &Place) {
    let db = &place.db;
    let mut s = session("a", "s");
    for id in ["z", "m", "a", "M"] {
        s.attach(&job("a", id, &[]));
    }
    db.transaction(|tx| tx.sessions().insert(&s)).unwrap();
    assert_eq!(read(db, "a", "s").unwrap(), s);
    assert_eq!(read(db, "b", "s"), None);
    let again = db.transaction(|tx| tx.sessions().insert(&s)).unwrap_err();
    assert!(matches!(again, DbError::Conflict { .. }), "{again}");
    // what changed is written, who went is gone, the order stays
    s.description = None;
    s.result = Some(String::new());
    s.session_tag = i64::MAX;
    s.time_start = 77;
    s.schedule.clear();
    s.members[1].status = "running".into();
    s.members.remove(0);
    s.attach(&job("a", "late", &[]));
    db.transaction(|tx| {
        assert!(tx.sessions().get_for_update(&p("a"), &SessionId::from("s"))?.is_some());
        tx.sessions().save(&s)
    })
    .unwrap();
    assert_eq!(read(db, "a", "s").unwrap(), s);
    let ids: Vec<&str> = s.members.iter().map(|member| member.job_id.as_str()).collect();
    assert_eq!(ids, ["m", "a", "M", "late"]);
    let missing = db.transaction(|tx| tx.sessions().save(&session("b", "s"))).unwrap_err();
    assert!(matches!(missing, DbError::Missing { .. }), "{missing}");
    let mut long = s.clone();
    long.members[0].client_id = "x".repeat(256);
    let refused = db.transaction(|tx| tx.sessions().save(&long)).unwrap_err();
    assert!(matches!(refused, DbError::TooLong { field: "client_id", .. }), "{refused}");
    assert!(!db.transaction(|tx| tx.sessions().delete(&p("b"), &s.session_id)).unwrap());
    assert!(db.transaction(|tx| tx.sessions().delete(&p("a"), &s.session_id)).unwrap());
    // nothing of it is left for the next one of that id
    db.transaction(|tx| tx.sessions().insert(&session("a", "s"))).unwrap();
    assert!(read(db, "a", "s").unwrap().members.is_empty());
}

pub fn session_lists(place: &Place) {
    let db = &place.db;
    let fill = |from: usize, to: usize| {
        db.transaction(|tx| -> Outcome {
            for n in from..to {
                let mut s = session("a", &format!("s{n:04}"));
                s.created_at = Timestamp((n / 3) as i64);
                s.attach(&job("a", "j", &[]));
                s.attach(&job("a", "k", &[]));
                tx.sessions().insert(&s)?;
            }
            Ok(())
        })
        .unwrap();
    };
    let list = |residual: Residual<'_, Session>, page| {
        let any = SessionFilter::default();
        db.read(|tx| tx.sessions().list(&p("a"), &any, residual, page)).unwrap()
    };
    let cost = || {
        let before = db.statements();
        let count = list(None, Page::ALL).len();
        (count, db.statements() - before)
    };
    db.transaction(|tx| tx.sessions().insert(&session("b", "foreign"))).unwrap();
    fill(0, 3);
    assert_eq!(cost(), (3, 2));
    fill(3, 25);
    assert_eq!(cost(), (25, 2));
    let all = list(None, Page::ALL);
    assert!(all.iter().all(|s| s.members.len() == 2));
    assert!(all.is_sorted_by_key(|s| (s.created_at, s.session_id.clone())));
    let mut paged = Vec::new();
    for offset in (0..30).step_by(7) {
        paged.extend(list(None, Page { offset, limit: Some(7) }));
    }
    assert_eq!(paged, all);
    let filter = SessionFilter { session_id: Some(SessionId::from("s0007")) };
    let found = db.read(|tx| tx.sessions().list(&p("a"), &filter, None, Page::ALL)).unwrap();
    assert_eq!(found, [all[7].clone()]);
    // batches of a residual search go on where the last one ended
    fill(25, 1100);
    let ends = |s: &Session| ["s0000", "s1099"].contains(&s.session_id.as_str());
    assert_eq!(list(Some(&ends), Page::ALL).len(), 2);
    assert_eq!(list(Some(&ends), Page { offset: 1, limit: Some(5) })[0].session_id.as_str(), "s1099");
    pages_of_sessions_cost_two(db);
}

/// A page is two statements, unless its sessions have so many members that they are weighed first.
fn pages_of_sessions_cost_two(db: &Database) {
    const MEMBERS: usize = 500;
    let put = |id: String, members: usize| {
        let mut s = session("c", &id);
        for n in 0..members {
            s.attach(&job("c", &format!("j{n}"), &[]));
        }
        db.transaction(|tx| tx.sessions().insert(&s)).unwrap();
    };
    let page = || {
        let (before, mut cursor, mut members) = (db.statements(), Cursor::of(Page::first(100)), Vec::new());
        while !cursor.is_over() {
            db.read(|tx| {
                tx.sessions().advance(&p("c"), &SessionFilter::default(), None, &mut cursor, &mut |s| {
                    members.push(s.members.len());
                    Ok::<(), DbError>(())
                })
            })
            .unwrap();
        }
        (members, db.statements() - before)
    };
    (0..10).for_each(|n| put(format!("large{n}"), MEMBERS));
    assert_eq!(page(), (vec![MEMBERS; 10], 2));
    put("one".to_owned(), 1);
    let (members, cost) = page();
    assert_eq!((members.len(), members.iter().sum::<usize>()), (11, 10 * MEMBERS + 1));
    assert!(cost > 3, "read in pieces: {cost}");
}

/// Members of one session that start at the same moment from several places: one of them begins the round.
pub fn one_round_begins_once(place: &Place) {
    const MEMBERS: usize = 8;
    let db = &place.db;
    let mut s = session("a", "s");
    for n in 0..MEMBERS {
        s.attach(&job("a", &format!("j{n}"), &[]));
    }
    db.transaction(|tx| tx.sessions().insert(&s)).unwrap();
    for round in 1..=3 {
        let now = Timestamp::from_secs(round * 1_000);
        let answers: Vec<StartAnswer> = std::thread::scope(|scope| {
            let begin = |n: usize| {
                db.transaction(|tx| -> Result<StartAnswer, DbError> {
                    let mut s = tx.sessions().get_for_update(&p("a"), &SessionId::from("s"))?.unwrap();
                    let answer = s.start(&JobId::from(format!("j{n}")), round - 1, now).unwrap();
                    tx.sessions().save(&s)?;
                    Ok(answer)
                })
                .unwrap()
            };
            let threads: Vec<_> = (0..MEMBERS).map(|n| scope.spawn(move || begin(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(answers, [StartAnswer::Success(round); MEMBERS]);
        let stored = read(db, "a", "s").unwrap();
        assert_eq!(stored.session_tag, round);
        assert!(stored.members.iter().all(|member| member.session_tag == round));
    }
}

pub fn jobs_come_and_go(place: &Place) {
    let db = &place.db;
    let id = JobId::from("j");
    db.transaction(|tx| -> Outcome {
        for project in ["a", "b"] {
            tx.jobs().insert(&job(project, "j", &[]))?;
            tx.jobs().insert(&job(project, "k", &[]))?;
            for session_id in ["s", "t"] {
                let mut s = session(project, session_id);
                s.attach(&job(project, "j", &[]));
                tx.sessions().insert(&s)?;
            }
            assert!(tx.jobs().set_session(&p(project), &id, "s", 4)?);
        }
        assert!(!tx.jobs().set_session(&p("a"), &JobId::from("none"), "s", 4)?);
        Ok(())
    })
    .unwrap();
    let stored = db.read(|tx| tx.jobs().get(&p("a"), &id)).unwrap().unwrap();
    assert_eq!((stored.session_id.as_deref(), stored.session_tag), (Some("s"), 4));
    let held = db.transaction(|tx| tx.jobs().of_session_for_update(&p("a"), &SessionId::from("s"))).unwrap();
    assert_eq!(held, vec![id.clone()]);
    let of_job = |project: &str| db.read(|tx| tx.sessions().of_job(&p(project), &id)).unwrap();
    assert_eq!(of_job("a"), [SessionId::from("s"), SessionId::from("t")]);
    let keep = SessionId::from("t");
    db.transaction(|tx| tx.sessions().leave_all(&p("a"), &id, Some(&keep), Timestamp(5))).unwrap();
    assert_eq!((of_job("a"), of_job("b").len()), (vec![keep], 2));
    db.transaction(|tx| tx.sessions().leave_all(&p("a"), &id, None, Timestamp(5))).unwrap();
    assert_eq!((of_job("a").len(), of_job("b").len()), (0, 2));
}

pub fn events_stay_new_until_they_are_shown(place: &Place) {
    let db = &place.db;
    let id = JobId::from("j");
    db.transaction(|tx| tx.jobs().insert(&job("a", "j", &[]))).unwrap();
    let set = |event: JobEvent| {
        db.transaction(|tx| -> Outcome {
            let mut job = tx.jobs().get_for_update(&p("a"), &id)?.unwrap();
            job.state.event = event;
            tx.jobs().set_state(&p("a"), &id, &job.state)?;
            tx.jobs().set_event_is_new(&p("a"), &id)
        })
        .unwrap();
    };
    let show = |project: &str, event: JobEvent| {
        let shown = [(p(project), id.clone(), event)];
        db.transaction(|tx| tx.jobs().events_are_shown(&shown)).unwrap();
        db.read(|tx| tx.jobs().is_event_new(&p("a"), &id)).unwrap()
    };
    assert!(!db.read(|tx| tx.jobs().is_event_new(&p("a"), &id)).unwrap());
    set(JobEvent::Stop);
    let read = [(p("b"), id.clone(), JobEvent::Stop), (p("a"), id.clone(), JobEvent::Stop)];
    assert_eq!(db.read(|tx| tx.jobs().new_events(&read)).unwrap(), read[1..]);
    assert!(db.read(|tx| tx.jobs().new_events(&[])).unwrap().is_empty());
    assert!(show("b", JobEvent::Stop), "of another project");
    assert!(show("a", JobEvent::Start), "changed since it was read");
    assert!(!show("a", JobEvent::Stop));
    set(JobEvent::Start);
    assert!(show("a", JobEvent::Stop));
    // writing the job as a whole does not touch the mark
    db.transaction(|tx| {
        let job = tx.jobs().get_for_update(&p("a"), &id)?.unwrap();
        tx.jobs().save(&job)
    })
    .unwrap();
    assert!(db.read(|tx| tx.jobs().is_event_new(&p("a"), &id)).unwrap());
}
