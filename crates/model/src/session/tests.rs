#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use serde_json::json;

fn member(id: &str) -> Member {
    Member {
        job_id: JobId::from(id),
        client_id: "node".into(),
        status: String::new(),
        result: String::new(),
        time_started: -1,
        time_ended: -1,
        session_tag: 0,
    }
}

fn session(members: &[&str]) -> Session {
    Session {
        project_id: ProjectId::from("p"),
        session_id: SessionId::from("s"),
        user_id: UserId::from("u"),
        description: None,
        session_tag: 0,
        hold_off: 30,
        status: ACTIVE.into(),
        result: None,
        time_start: -1,
        time_end: -1,
        schedule: Map::new(),
        members: members.iter().map(|id| member(id)).collect(),
        created_at: Timestamp(0),
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + secs)
}

impl Session {
    fn begin(&mut self, job: &str, tag: i64, secs: i64) -> Result<StartAnswer, SessionRefusal> {
        self.start(&JobId::from(job), tag, at(secs))
    }
    fn finish(&mut self, job: &str, result: &str, secs: i64) {
        self.end(&JobId::from(job), result, at(secs)).unwrap();
    }
    fn stands(&self) -> (&str, Option<&str>) {
        (&self.status, self.result.as_deref())
    }
}

#[test]
fn every_case_of_the_table() {
    let begun = || {
        let mut begun = session(&["a", "b"]);
        assert_eq!(begun.begin("a", 0, 0), Ok(StartAnswer::Success(1)));
        begun
    };
    for (secs, tag, job, expected) in [
        (30, 1, "a", Ok(StartAnswer::HoldOff(1))),
        (30, 0, "b", Ok(StartAnswer::Success(1))),
        (31, 1, "a", Ok(StartAnswer::Success(2))),
        (31, 0, "b", Ok(StartAnswer::OutOfSync(1))),
        (0, 2, "a", Err(SessionRefusal::TagTooHigh { session_tag: 1, job_tag: 2 })),
        (99, 2, "x", Err(SessionRefusal::TagTooHigh { session_tag: 1, job_tag: 2 })),
        // membership matters only where something is to be written
        (30, 1, "x", Ok(StartAnswer::HoldOff(1))),
        (31, 0, "x", Ok(StartAnswer::OutOfSync(1))),
        (30, 0, "x", Err(SessionRefusal::NotAMember)),
        (31, 1, "x", Err(SessionRefusal::NotAMember)),
        // a clock that went back does not end the hold-off
        (-500, 0, "b", Ok(StartAnswer::Success(1))),
    ] {
        let mut session = begun();
        let before = session.clone();
        assert_eq!(session.begin(job, tag, secs), expected, "{secs} {tag} {job}");
        assert_eq!(session != before, matches!(expected, Ok(StartAnswer::Success(_))), "{secs} {tag} {job}");
    }
}

#[test]
fn two_jobs_and_two_rounds() {
    let mut session = session(&["a", "b"]);
    assert_eq!(session.begin("a", 0, 0), Ok(StartAnswer::Success(1)));
    assert_eq!(session.begin("b", 0, 5), Ok(StartAnswer::Success(1)));
    assert_eq!(session.stands(), ("running", Some("")));
    session.finish("a", "success", 50);
    assert_eq!(session.stands(), ("running", Some("")));
    session.finish("b", "success", 60);
    assert_eq!(session.stands(), ("completed", Some("success")));
    assert_eq!((session.time_start, session.time_end), (at(0).secs(), at(60).secs()));
    assert_eq!(session.begin("b", 1, 100), Ok(StartAnswer::Success(2)));
    // the first one of the round ends before the other has come: last round's end does not count
    session.finish("b", "success", 101);
    assert_eq!(session.stands(), ("running", Some("")));
    assert_eq!(session.begin("a", 1, 102), Ok(StartAnswer::Success(2)));
    session.finish("a", "aborted", 103);
    assert_eq!(session.stands(), ("completed", Some("fail")));
    // a later word changes the member, not the session
    session.finish("a", "success", 104);
    assert_eq!(
        (session.stands(), session.members[0].result.as_str()),
        (("completed", Some("fail")), "success")
    );
}

#[test]
fn a_failure_waits_for_the_others() {
    let mut session = session(&["a", "b"]);
    session.begin("a", 0, 0).unwrap();
    session.begin("b", 0, 0).unwrap();
    session.finish("a", "fail", 1);
    assert_eq!(session.stands(), ("running", Some("")));
    session.finish("b", "success", 2);
    assert_eq!(session.stands(), ("completed", Some("fail")));
}

#[test]
fn who_ran_without_having_been_let_in_counts_and_who_is_late_from_an_earlier_round_does_not() {
    let mut both = session(&["a", "b"]);
    both.begin("a", 0, 0).unwrap();
    both.finish("a", "success", 1);
    assert_eq!(both.begin("b", 0, 40), Ok(StartAnswer::OutOfSync(1)));
    assert_eq!(both.end(&JobId::from("b"), "success", at(50)), Ok(1), "in step again");
    assert_eq!(both.stands(), ("completed", Some("success")));

    let mut late = session(&["a", "b"]);
    late.begin("a", 0, 0).unwrap();
    late.begin("b", 0, 0).unwrap();
    late.finish("a", "success", 1);
    late.begin("a", 1, 100).unwrap();
    assert_eq!(late.end(&JobId::from("b"), "success", at(101)), Ok(1), "of its own round");
    late.finish("a", "success", 102);
    assert_eq!(late.stands(), ("running", Some("")));
}

#[test]
fn coming_and_going() {
    let mut session = session(&["a", "b", "c"]);
    session.schedule = json!({"schedule_interval": "1 days", "status": "x"}).as_object().unwrap().clone();
    assert_eq!(Value::Object(session.plan()), json!({"schedule_interval": "1 days"}));
    session.begin("a", 0, 0).unwrap();
    session.finish("a", "success", 1);
    assert!(session.detach(&JobId::from("b"), at(2)));
    assert_eq!(session.stands(), ("running", Some("")));
    assert!(session.detach(&JobId::from("c"), at(3)));
    assert_eq!((session.stands(), session.time_end), (("completed", Some("success")), at(3).secs()));
    assert!(!session.detach(&JobId::from("c"), at(3)));
    assert!(session.detach(&JobId::from("a"), at(4)));
    assert_eq!(session.end(&JobId::from("a"), "success", at(5)), Err(SessionRefusal::NotAMember));
}
