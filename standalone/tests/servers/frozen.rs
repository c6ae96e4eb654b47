//! Guests with an agent, and without: frozen while their disks are taken, or not saved.

use super::cloud::one_shot::CEPH;
use super::cloud::project::{Hands, Project};
use super::cloud::servers::resources;
use super::{agent, folder};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_must_be_frozen_and_cannot_be_is_not_saved() {
    let project = Project::create().await;
    let (hands, folder) = (Hands::of(&project).await, folder(CEPH));
    let root = hands.volume("root", true).await;
    let wanted = json!({"hw_qemu_guest_agent": "yes", "os_require_quiesce": "yes"});
    let body = json!({"os-set_image_metadata": { "metadata": wanted }});
    let (status, said) = hands.cinder(Method::POST, &format!("/volumes/{root}/action"), Some(&body)).await;
    assert_eq!(status, 200, "{said}");
    let server = hands
        .server(json!({
            "name": "quiet", "flavorRef": hands.flavor_id("tiny0").await, "networks": "none",
            "block_device_mapping_v2": [
                {"uuid": root, "source_type": "volume", "destination_type": "volume", "boot_index": 0},
            ],
        }))
        .await;
    let before = resources(&hands).await;
    // The guest has no agent, and its image says that it must have one.
    let save = async || agent(&project, folder.path(), "backup", &["--nova-inst-id", &server]).await;
    save().await.fails_with(&["os_require_quiesce", "guest agent runs", &server]);
    assert_eq!(resources(&hands).await, before);
    // Switched off there is nothing to freeze.
    let stop = json!({"os-stop": null});
    hands.nova(Method::POST, &format!("/servers/{server}/action"), Some(&stop)).await;
    hands.server_is(&server, "SHUTOFF").await;
    let saved = save().await.document();
    assert_eq!(saved["consistency"], "crash-consistent", "{saved}");
    assert_eq!(resources(&hands).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_with_an_agent_is_frozen_while_its_disks_are_taken() {
    let project = Project::create().await;
    let (hands, folder) = (Hands::of(&project).await, folder(CEPH));
    let image = hands.image_named("quiet").await;
    let root = hands.volume_of(json!({"name": "root", "size": 1, "imageRef": image})).await;
    let data = hands.volume("data", false).await;
    let server = hands
        .server(json!({
            "name": "quiet", "flavorRef": hands.flavor_id("tiny0").await, "networks": "none",
            "block_device_mapping_v2": [
                {"uuid": root, "source_type": "volume", "destination_type": "volume", "boot_index": 0},
                {"uuid": data, "source_type": "volume", "destination_type": "volume", "boot_index": null},
            ],
        }))
        .await;
    hands.says(&server, "MINICLOUD AGENT").await;
    let before = resources(&hands).await;
    let saved = agent(&project, folder.path(), "backup", &["--nova-inst-id", &server]).await.document();
    assert_eq!(
        (&saved["consistency"], saved["disks"].as_object().unwrap().len()),
        (&"quiesced".into(), 2),
        "{saved}"
    );
    // Frozen once, and let go.
    hands.says(&server, "MINICLOUD frozen").await;
    hands.says(&server, "MINICLOUD thawed").await;
    assert_eq!(resources(&hands).await, before);
    let restored = agent(&project, folder.path(), "restore", &[]).await.document();
    hands.booted(restored["server_id"].as_str().unwrap(), 2).await;
}
