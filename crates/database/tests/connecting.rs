//! Opening databases: in memory, unreachable, not built in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use freezer_database::{Database, DatabaseOptions, DbError};

#[test]
fn a_database_in_memory_is_shared_by_clones_and_threads() {
    let db = Database::connect(&DatabaseOptions::new("sqlite://")).unwrap();
    db.sync().unwrap();
    let other = db.clone();
    std::thread::spawn(move || assert!(other.version().unwrap().is_current())).join().unwrap();
    let empty = Database::connect(&DatabaseOptions::new("sqlite://")).unwrap();
    assert_eq!(empty.version().unwrap().newest, None);
}

#[cfg(not(feature = "mysql"))]
#[test]
fn without_the_feature_a_mysql_url_names_the_build_that_is_needed() {
    let error = Database::connect(&DatabaseOptions::new("mysql+pymysql://u:secret@h/d")).unwrap_err();
    assert!(matches!(error, DbError::NeedsMysqlBuild { .. }));
    assert!(
        error.to_string().contains("feature `mysql`") && !error.to_string().contains("secret"),
        "{error}"
    );
}

#[cfg(feature = "mysql")]
#[test]
fn an_unreachable_server_is_told_without_the_password() {
    let options = DatabaseOptions {
        max_retries: 2,
        retry_interval: std::time::Duration::from_millis(1),
        ..DatabaseOptions::new("mysql+pymysql://u:secret@127.0.0.1:1/d")
    };
    let error = Database::connect(&options).unwrap_err();
    assert!(matches!(error, DbError::Connect { .. }));
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(!format!("{options:?}").contains("secret"));
}

#[test]
fn an_unwritable_place_is_told() {
    let options = DatabaseOptions { max_retries: 0, ..DatabaseOptions::new("sqlite:////dev/null/x.sqlite") };
    let error = Database::connect(&options).unwrap_err();
    assert!(matches!(&error, DbError::Connect { url, .. } if url.contains("x.sqlite")), "{error}");
}
