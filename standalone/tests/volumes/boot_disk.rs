//! Servers that boot from a volume, and a restore in the place of one of theirs.

use super::Stage;
use super::cloud::detour::keystone_with;
use super::cloud::one_shot::CEPH;
use super::proxy::{Action, Proxy};
use serde_json::{Value, json};

fn disk(volume: &str, boot_index: Option<u32>) -> Value {
    json!({"uuid": volume, "source_type": "volume", "destination_type": "volume", "boot_index": boot_index})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_that_a_server_boots_from_is_not_replaced() {
    let mut stage = Stage::new(CEPH).await;
    stage.agent("backup", &["--cinder-vol-id", &stage.volume]).await.document();
    let data = stage.hands.volume("more", false).await;
    let fields = json!({
        "name": "db", "flavorRef": stage.hands.flavor_id("tiny0").await, "networks": "none",
        "block_device_mapping_v2": [disk(&stage.volume, Some(0)), disk(&data, None)],
    });
    let server = stage.hands.server(fields).await;
    stage.hands.booted(&server, 1).await;
    let before = stage.resources().await;
    let replace = ["--cinder-restore-to", "replace"];
    let words = [stage.volume.as_str(), server.as_str(), "boots from it", "mode nova", "into a new volume"];
    stage.agent("restore", &replace).await.fails_with(&words);
    // Nor where Nova's policy hides from which device a server boots, as it does by default.
    let nova = Proxy::http("127.0.0.1:8774".to_owned()).await;
    let root = "OS-EXT-SRV-ATTR:root_device_name";
    nova.rule("GET", "/servers/", u32::MAX, Action::RewordAnswer(root, "hidden"));
    stage.keystone = Some(keystone_with(&[(8774, nova.port)]).await);
    stage.agent("restore", &replace).await.fails_with(&["boots from it"]);
    assert!(nova.requests("GET", "/servers/") > 0);
    assert_eq!(stage.resources().await, before);
    assert_eq!(stage.shown(&stage.volume).await["attachments"][0]["server_id"], server.as_str());

    // Another volume of such a server is.
    stage.agent("backup", &["--cinder-vol-id", &data]).await.document();
    let restored = stage.agent("restore", &replace).await.document();
    let new = restored["volume_id"].as_str().unwrap();
    assert_eq!(stage.shown(new).await["attachments"][0]["server_id"], server.as_str());
}
