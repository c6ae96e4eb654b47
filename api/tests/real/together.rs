//! Insertions that share a transaction: each caller gets what he would have got alone.

use freezer_api::error::ApiError;
use freezer_api::together::Together;
use freezer_database::{Database, DatabaseOptions, Tx};
use freezer_model::{Action, ActionId, ProjectId, Timestamp, UserId};
use freezer_testkit::TestDatabase;
use futures_util::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

fn action(id: &str) -> Action {
    Action {
        project_id: ProjectId::from("p1"),
        action_id: ActionId::from(id),
        user_id: UserId::from("u1"),
        freezer_action: Default::default(),
        max_retries: 0,
        max_retries_interval: 0,
        mandatory: false,
        created_at: Timestamp(1),
    }
}

/// Work that inserts an action, and counts how often it is run.
fn inserting(
    id: &str,
) -> (impl FnMut(&mut Tx) -> Result<String, ApiError> + Send + 'static, Arc<AtomicUsize>) {
    let (action, runs) = (action(id), Arc::new(AtomicUsize::new(0)));
    let counted = runs.clone();
    let work = move |tx: &mut Tx| {
        counted.fetch_add(1, Ordering::Relaxed);
        tx.actions().insert(&action)?;
        Ok(action.action_id.to_string())
    };
    (work, runs)
}

fn is_there(db: &Database, id: &str) -> bool {
    let found = db.read(|tx| tx.actions().get(&ProjectId::from("p1"), &ActionId::from(id)));
    found.unwrap().is_some()
}

async fn one_refused_spoils_nothing_for_the_others(db: Database) {
    let together = Together::with_writers(&db, 1).unwrap();
    let (entered, has_entered) = channel();
    let (release, released) = channel();
    let gate = {
        let together = together.clone();
        actix_web::rt::spawn(async move {
            together
                .write(move |tx| {
                    tx.actions().insert(&action("gate"))?;
                    entered.send(()).unwrap();
                    released.recv().unwrap();
                    Ok(())
                })
                .await
        })
    };
    actix_web::web::block(move || has_entered.recv().unwrap()).await.unwrap();

    // The only writer is busy, so these three are one batch.
    let (first, first_runs) = inserting("first");
    let (taken, taken_runs) = inserting("gate");
    let (last, last_runs) = inserting("last");
    let three = async {
        let opening = async { release.send(()).unwrap() };
        let written =
            futures_util::join!(together.write(first), together.write(taken), together.write(last), opening);
        (written.0, written.1, written.2)
    };
    let (first, taken, last) = three.await;
    gate.await.unwrap().unwrap();
    assert_eq!((first.unwrap(), last.unwrap()), ("first".to_owned(), "last".to_owned()));
    assert_eq!(taken.unwrap_err().status.as_u16(), 409);
    let runs = [first_runs, taken_runs, last_runs].map(|runs| runs.load(Ordering::Relaxed));
    assert_eq!(runs, [2, 2, 1], "together until one was refused, then each alone");
    assert!(is_there(&db, "gate") && is_there(&db, "first") && is_there(&db, "last"));
}

/// Many at once, every fifth with an id that is taken.
async fn each_of_many_gets_its_own_answer(db: Database) {
    let together = Together::new(&db).unwrap();
    together.write(inserting("taken").0).await.unwrap();
    let ids = (0..200).map(|number| if number % 5 == 0 { "taken".to_owned() } else { format!("a{number}") });
    let ids: Vec<String> = ids.collect();
    let outcomes = join_all(ids.iter().map(|id| together.write(inserting(id).0))).await;
    for (id, outcome) in ids.iter().zip(outcomes) {
        match outcome {
            Ok(written) => assert_eq!((&written, id.as_str() != "taken"), (id, true)),
            Err(refused) => assert_eq!((refused.status.as_u16(), id.as_str()), (409, "taken")),
        }
        assert!(is_there(&db, id), "{id}");
    }
}

/// A panic ends one call, and the queue goes on.
async fn a_panic_takes_nothing_with_it(db: Database) {
    let together = Together::with_writers(&db, 1).unwrap();
    let lost = together.write(|_| -> Result<(), ApiError> { panic!("as a test wants it") }).await;
    assert_eq!(lost.unwrap_err().status.as_u16(), 500);
    together.write(inserting("after").0).await.unwrap();
}

fn sqlite(folder: &tempfile::TempDir) -> Database {
    open(&format!("sqlite:///{}/freezer.sqlite", folder.path().display()))
}

fn open(url: &str) -> Database {
    let db = Database::connect(&DatabaseOptions::new(url)).unwrap();
    db.sync().unwrap();
    db
}

#[actix_web::test]
async fn on_mariadb() {
    let database = TestDatabase::create();
    one_refused_spoils_nothing_for_the_others(open(&database.url())).await;
    each_of_many_gets_its_own_answer(open(&database.url())).await;
    a_panic_takes_nothing_with_it(open(&database.url())).await;
}

#[actix_web::test]
async fn on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    one_refused_spoils_nothing_for_the_others(sqlite(&folder)).await;
    each_of_many_gets_its_own_answer(sqlite(&folder)).await;
    a_panic_takes_nothing_with_it(sqlite(&folder)).await;
}
