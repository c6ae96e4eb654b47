//! Trusts between the jobs that share them.

use crate::place::*;
use freezer_database::{DbError, Tx};
use freezer_model::*;
use std::sync::Barrier;

const NOW: Timestamp = Timestamp(1_000_000);

fn trust(id: &str) -> TrustCredentials {
    TrustCredentials { trust_id: id.to_owned(), trustor_user_id: UserId::from("ann") }
}

fn job_under(project: &str, id: &str, trust_id: &str) -> Job {
    Job { credentials: Some(trust(trust_id)), ..job(project, id, &[]) }
}

/// Writes a job under a trust, unless that was given up.
fn begin_to_use(place: &Place, id: &str, trust_id: &str) -> bool {
    let outcome = place.db.transaction(|tx| {
        tx.jobs().insert(&job_under("p", id, trust_id))?;
        match tx.trusts().claim(&p("p"), &trust(trust_id))? {
            true => Ok(()),
            false => Err(DbError::Missing { noun: "trust", id: String::new() }),
        }
    });
    match outcome {
        Ok(()) => true,
        Err(DbError::Missing { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Deletes a job; true when its trust is to be ended.
fn cease_to_use(place: &Place, id: &str, trust_id: &str) -> bool {
    let outcome: Result<bool, DbError> = place.db.transaction(|tx| {
        tx.jobs().delete(&p("p"), &JobId::from(id))?;
        tx.trusts().release(&p("p"), &trust(trust_id), NOW)
    });
    outcome.unwrap()
}

pub fn a_trust_is_given_up_by_its_last_job_and_never_taken_again(place: &Place) {
    let to_end =
        |user: &str| place.db.read(|tx| tx.trusts().to_end(&p("p"), &UserId::from(user), 10)).unwrap();
    assert!(begin_to_use(place, "one", "t"));
    assert!(begin_to_use(place, "two", "t"));
    assert!(!cease_to_use(place, "one", "t"));
    assert_eq!(to_end("ann"), []);
    assert!(cease_to_use(place, "two", "t"));
    assert_eq!((to_end("ann"), to_end("bob")), (vec![trust("t")], vec![]));
    assert!(!begin_to_use(place, "three", "t"));
    let ids = ["t".to_owned(), "u".to_owned()];
    assert_eq!(place.db.read(|tx| tx.trusts().given_up(&ids)).unwrap(), ["t"]);

    // Whoever names another project's trust gets nothing, and takes nothing from that.
    let others = |tx: &mut Tx| {
        let claimed = tx.trusts().claim(&p("q"), &trust("t2"))?;
        tx.trusts().release(&p("q"), &trust("t2"), NOW).map(|_| claimed)
    };
    assert!(begin_to_use(place, "of p", "t2"));
    assert!(!place.db.transaction(others).unwrap());
    assert!(begin_to_use(place, "of p, too", "t2"), "it was not given up by that");
    assert_eq!(to_end("ann"), [trust("t")]);

    let ended = |at: Timestamp| place.db.transaction(|tx| tx.trusts().ended("t", at)).unwrap();
    ended(NOW);
    assert_eq!(to_end("ann"), []);
    assert!(!begin_to_use(place, "three", "t"), "one that has ended is remembered");
    // Another one ends two days later: the first is forgotten.
    assert!(begin_to_use(place, "four", "u"));
    let later = NOW.plus(std::time::Duration::from_secs(48 * 3600));
    place.db.transaction(|tx| tx.trusts().ended("u", later)).unwrap();
    assert!(place.db.read(|tx| tx.trusts().given_up(&ids)).unwrap().is_empty());
}

pub fn one_of_two_sees_the_other(place: &Place) {
    for round in 0..25 {
        let trust_id = format!("t{round}");
        let (old, new) = (format!("old{round}"), format!("new{round}"));
        assert!(begin_to_use(place, &old, &trust_id));
        let start = Barrier::new(2);
        let (is_used, is_to_end) = std::thread::scope(|scope| {
            let user = scope.spawn(|| {
                start.wait();
                begin_to_use(place, &new, &trust_id)
            });
            let leaver = scope.spawn(|| {
                start.wait();
                cease_to_use(place, &old, &trust_id)
            });
            (user.join().unwrap(), leaver.join().unwrap())
        });
        assert_ne!(is_used, is_to_end, "round {round}: used {is_used}, to be ended {is_to_end}");
    }
}
