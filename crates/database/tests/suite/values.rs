//! Odd, long and foreign values.

use crate::place::*;
use freezer_database::*;
use freezer_model::*;
use serde_json::json;

type Outcome = Result<(), DbError>;

pub fn four_byte_text_and_odd_ids(place: &Place) {
    let db = &place.db;
    let id = "Ünï_ид-𝔘𝔫𝔦";
    let mut j = job("proj-🗄", id, &[]);
    j.description = Some("'; DROP TABLE jobs; -- \\ % _ 🎉 \u{10FFFF} \t\n".to_owned());
    j.plan.insert("ключ🔑".to_owned(), "значение💾".into());
    db.transaction(|tx| tx.jobs().insert(&j)).unwrap();
    assert_eq!(db.read(|tx| tx.jobs().get(&j.project_id, &j.job_id)).unwrap().unwrap(), j);
    let mut b = backup("p", "b", 1);
    b.metadata.insert("backup_name".into(), "🗄".repeat(512).into());
    db.transaction(|tx| tx.backups().insert(&b)).unwrap();
    let filter = BackupFilter { backup_name: Some("🗄".repeat(512)), ..BackupFilter::default() };
    assert_eq!(db.read(|tx| tx.backups().list(&p("p"), &filter, None, Page::ALL)).unwrap(), [b]);
}

pub fn too_long_is_told_by_field(place: &Place) {
    let db = &place.db;
    let field = |outcome: Outcome| match outcome {
        Err(DbError::TooLong { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let mut j = job("a", "j", &[]);
    j.description = Some("д".repeat(256));
    assert_eq!(field(db.transaction(|tx| tx.jobs().insert(&j))), "description");
    j.description = Some("д".repeat(255));
    db.transaction(|tx| tx.jobs().insert(&j)).unwrap();
    j.client_id = ClientId::from("c".repeat(300));
    assert_eq!(field(db.transaction(|tx| tx.jobs().save(&j))), "client_id");
    assert_eq!(field(db.transaction(|tx| tx.jobs().insert(&job("a", &"j".repeat(65), &[])))), "job_id");
    assert_eq!(field(db.transaction(|tx| tx.jobs().insert(&job(&"p".repeat(65), "j", &[])))), "project_id");
    assert_eq!(field(db.transaction(|tx| tx.actions().insert(&action("a", &"x".repeat(65))))), "action_id");
    let mut b = backup("a", "b", 1);
    b.metadata.insert("hostname".into(), "h".repeat(256).into());
    assert_eq!(field(db.transaction(|tx| tx.backups().insert(&b))), "hostname");
    // Looking for what can never be there is not an error.
    assert!(db.read(|tx| tx.jobs().get(&p("a"), &JobId::from("j".repeat(5000)))).unwrap().is_none());
}

pub fn large_documents(place: &Place) {
    let db = &place.db;
    let mut b = backup("a", "b", 1);
    b.metadata.insert("blob".into(), "x".repeat(3_000_000).into());
    db.transaction(|tx| tx.backups().insert(&b)).unwrap();
    assert_eq!(db.read(|tx| tx.backups().get(&p("a"), &b.backup_id)).unwrap().unwrap(), b);
}

pub fn ids_are_case_sensitive(place: &Place) {
    let db = &place.db;
    db.transaction(|tx| -> Outcome {
        tx.jobs().insert(&job("a", "Job", &[]))?;
        tx.jobs().insert(&job("a", "job", &[]))?;
        tx.jobs().insert(&job("a", "jób", &[]))?;
        tx.jobs().insert(&job("A", "job", &[]))
    })
    .unwrap();
    assert!(db.read(|tx| tx.jobs().get(&p("a"), &JobId::from("JOB"))).unwrap().is_none());
    assert!(db.read(|tx| tx.jobs().get(&p("A"), &JobId::from("Job"))).unwrap().is_none());
}

pub fn conflicts_and_missing_rows(place: &Place) {
    let db = &place.db;
    db.transaction(|tx| -> Outcome {
        tx.jobs().insert(&job("a", "j", &[]))?;
        tx.actions().insert(&action("a", "x"))?;
        tx.clients().insert(&client("a", "c"))
    })
    .unwrap();
    let conflict =
        |outcome: Outcome| assert!(matches!(outcome, Err(DbError::Conflict { .. })), "{outcome:?}");
    conflict(db.transaction(|tx| tx.jobs().insert(&job("a", "j", &[]))));
    conflict(db.transaction(|tx| tx.actions().insert(&action("a", "x"))));
    conflict(db.transaction(|tx| tx.clients().insert(&client("a", "c"))));
    db.transaction(|tx| tx.jobs().insert(&job("b", "j", &[]))).unwrap();
    let missing = |outcome: Outcome| assert!(matches!(outcome, Err(DbError::Missing { .. })), "{outcome:?}");
    missing(db.transaction(|tx| tx.jobs().save(&job("a", "absent", &[]))));
    missing(db.transaction(|tx| tx.actions().save(&action("b", "x"))));
    missing(db.transaction(|tx| tx.backups().save(&backup("a", "b", 1))));
    missing(db.transaction(|tx| tx.runs().save(&run("a", "j", "r"))));
    // A job may only list actions of its own project.
    missing(db.transaction(|tx| tx.jobs().insert(&job("b", "k", &["x"]))));
    assert!(db.read(|tx| tx.jobs().get(&p("b"), &JobId::from("k"))).unwrap().is_none());
}

/// However large the sizes are that records tell, and whatever older versions kept of them, their sum is a number.
pub fn no_sum_of_sizes_is_too_large(place: &Place) {
    let db = &place.db;
    for index in 0..3 {
        let mut record = backup("p", &format!("b{index}"), 1);
        record.metadata.insert("bytes_stored".to_owned(), json!(i64::MAX));
        db.transaction(|tx| tx.backups().insert(&record)).unwrap();
    }
    let sum = || db.read(|tx| tx.quotas().stored_bytes(&ProjectId::from("p"))).unwrap();
    assert_eq!(sum(), 3 << 53);
    place.execute(&format!("UPDATE backups SET stored_bytes = {}", i64::MAX));
    assert_eq!(sum(), i64::MAX);
}

/// Records of before the column of sizes are counted after the migration, as new ones are.
pub fn sizes_of_older_records_are_filled_in(place: &Place) {
    let db = &place.db;
    let sizes =
        [json!(7), json!(100), json!("50"), json!(1.5), json!(-3), json!(u64::MAX), json!(null), json!([1])];
    for (index, size) in sizes.iter().enumerate() {
        let mut record = backup("p", &format!("b{index}"), 1);
        record.metadata.insert("bytes_stored".to_owned(), size.clone());
        db.transaction(|tx| tx.backups().insert(&record)).unwrap();
    }
    let sum = || db.read(|tx| tx.quotas().stored_bytes(&ProjectId::from("p"))).unwrap();
    assert_eq!(sum(), 107);
    place.execute("UPDATE backups SET stored_bytes = 0");
    assert_eq!(sum(), 0);
    for _ in 0..2 {
        place.execute(&place.migration("2026-11-26-030100_stored_bytes"));
        assert_eq!(sum(), 107);
    }
}
