//! Events on a real broker: which queues got how many.

use crate::stage::Stage;
use freezer_testkit::private::wait_for_port;
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn what_users_do_is_told_when_it_is_switched_on() {
    let mut stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    stage.call(&demo, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
    assert_eq!(stage.vhost.messages("notifications.info"), None, "nothing is sent by default");
    let path = stage.folder.path().join("freezer.conf");
    let mut file = std::fs::File::options().append(true).open(path).unwrap();
    file.write_all(b"[oslo_messaging_notifications]\ndriver = messagingv2\n[audit]\nenabled = true\n")
        .unwrap();
    stage.daemon.start();
    let port = stage.base.rsplit_once(':').unwrap().1.parse().unwrap();
    wait_for_port(port, "freezer-api");
    let job = json!({"client_id": "node1", "job_actions": [{"freezer_action": {"action": "backup", "mode": "fs",
        "path_to_backup": "/etc", "backup_name": "etc", "container": "vault"}}]});
    let id = stage.call(&demo, "POST", "/jobs", job).await.expect(201).json()["job_id"]
        .as_str()
        .unwrap()
        .to_owned();
    stage.call(&demo, "GET", "/backups", Value::Null).await.expect(200);
    stage.call(&demo, "DELETE", &format!("/jobs/{id}"), Value::Null).await.expect(204);
    stage.call(&demo, "PATCH", &format!("/jobs/{id}"), json!({"description": "x"})).await.expect(404);
    // Two audit events for each of four calls, and two changes; what failed changed nothing.
    let end = Instant::now() + Duration::from_secs(60);
    while stage.vhost.messages("notifications.info") != Some(10) {
        assert!(Instant::now() < end, "{:?} of 10 events", stage.vhost.messages("notifications.info"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let metrics = stage.ask(None, "GET", "/metrics", Value::Null).await.expect(200).text;
    assert!(metrics.contains("freezer_api_events_lost_total 0"), "{metrics}");
}
