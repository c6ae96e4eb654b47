//! What the database says when it refuses a statement is for the log alone.

use crate::stage::Stage;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_database_is_not_told_to_callers() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    let session = json!({"schedule": {}, "session_tag": 0});
    let record = json!({"container": "c", "hostname": "h", "backup_name": "b"});
    stage.call(&demo, "POST", "/sessions/s", session.clone()).await.expect(201);
    let made = stage.call(&demo, "POST", "/backups", record.clone()).await.expect(201).json();
    let backup = format!("/backups/{}", made["backup_id"].as_str().unwrap());
    // Whoever repairs a database can make such a thing under a running service.
    stage.sql("SET FOREIGN_KEY_CHECKS = 0; DROP TABLE sessions; DROP TABLE backups");

    for (method, path, body) in [
        ("GET", "/sessions", Value::Null),
        ("GET", "/sessions", json!({"match": [{"description": "d"}]})),
        ("GET", "/sessions/s", Value::Null),
        ("POST", "/sessions", session.clone()),
        ("POST", "/sessions/s", session),
        ("PATCH", "/sessions/s", json!({"hold_off": 5})),
        ("DELETE", "/sessions/s", Value::Null),
        ("GET", "/backups", Value::Null),
        ("GET", backup.as_str(), Value::Null),
        ("POST", "/backups", record),
        ("PATCH", backup.as_str(), json!({"status": "error"})),
        ("DELETE", backup.as_str(), Value::Null),
    ] {
        let answer = stage.call(&demo, method, path, body).await;
        // The whole body: no statement, no table, no address.
        let told = json!({"title": "Internal Storage Error", "description": "Database operation failed."});
        assert_eq!((answer.status, answer.json()), (500, told), "{method} {path}");
        assert_eq!(answer.header("content-type"), "application/json");
        let headers = format!("{:?}", answer.headers).to_lowercase();
        assert!(!headers.contains("sessions") && !headers.contains("mysql"), "{method} {path}: {headers}");
    }
    // The operator reads it all.
    let log = stage.daemon.log();
    for words in ["sessions' doesn't exist", "backups' doesn't exist"] {
        assert!(log.contains(words), "{words}: {}", stage.daemon.last_words());
    }
    stage.call(&demo, "GET", "/actions", Value::Null).await.expect(200);
}
