//! A restored volume that Nova does not take: the server gets the old one again.

use super::Stage;
use super::cloud::detour::keystone_with;
use super::cloud::one_shot::CEPH;
use super::cloud::project::{content, scribble};
use super::proxy::{Action, Proxy};

const PATH: &str = "/os-volume_attachments";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_get_the_restored_volume_has_the_old_one_again() {
    let mut stage = Stage::with(CEPH, None, false).await;
    scribble(&stage.volume);
    let server = stage.hands.server_with(&stage.volume).await;
    stage.hands.booted(&server, 1).await;
    let places = stage.places(&stage.volume, 1).await;
    stage.agent("backup", &["--cinder-vol-id", &stage.volume]).await.document();
    let nova = Proxy::http("127.0.0.1:8774".to_owned()).await;
    stage.keystone = Some(keystone_with(&[(8774, nova.port)]).await);
    nova.rule("POST", PATH, 1, Action::Answer(400, Vec::new()));
    let said = stage.agent("restore", &["--cinder-restore-to", "replace", "--restore-name", "next"]).await;
    let new = stage.hands.volume_named("next").await;
    said.fails_with(&[&new, "is kept, not attached to server", &server]);
    assert_eq!((nova.unused_rules(), nova.requests("POST", PATH)), (0, 2));
    assert_eq!(stage.places(&stage.volume, 1).await, places);
    // The new one is whole, the user's, and of no exchange any more.
    assert_eq!(stage.shown(&new).await["status"], "available");
    assert!(stage.ends(&new).await.is_empty());
    assert_eq!(content(&new), content(&stage.volume));
}
