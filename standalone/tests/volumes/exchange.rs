//! Agents that die while a restored volume takes the place of another one at two servers, each time at the same step.

use super::Stage;
use super::cloud::detour::keystone_with;
use super::cloud::one_shot::at_work;
use super::cloud::project::content;
use super::cloud::{LOOK, PATIENCE};
use super::proxy::{Action, Proxy};
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Instant;

const PATH: &str = "/os-volume_attachments";

/// Servers and devices.
type Places = BTreeSet<(String, String)>;

struct Exchanges<'a> {
    stage: &'a Stage,
    /// The way to Nova, and the Keystone that shows it.
    nova: Proxy,
    keystone: u16,
}

impl Exchanges<'_> {
    /// A restore whose agent dies at a request that Nova never gets.
    async fn killed_at(&self, method: &'static str, name: &str) {
        let more = ["--cinder-restore-to", "replace", "--restore-name", name];
        let mut command = self.stage.command("restore", &more);
        command.env("OS_AUTH_URL", format!("http://127.0.0.1:{}/v3", self.keystone));
        self.nova.rule(method, PATH, 1, Action::Stall);
        let before = self.nova.requests(method, PATH);
        let has_come = async || self.nova.requests(method, PATH) != before;
        let mut child = at_work(command, method, has_come).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What the next agent says, whatever it is called for.
    async fn next(&self) -> String {
        let nobodys = uuid::Uuid::new_v4().to_string();
        let said = self.stage.agent("backup", &["--cinder-vol-id", &nobodys]).await;
        said.fails_with(&["no volume"]);
        said.err
    }

    /// No server has lost the old one: it is as if the restore had never been. What somebody has used since is kept.
    async fn before_it_began(&self, old: &str, places: &Places) {
        let stage = self.stage;
        let before = stage.resources().await;
        self.killed_at("DELETE", "next").await;
        assert_eq!(stage.resources().await.len(), before.len() + 1);
        let new = stage.hands.volume_named("next").await;
        let used = self.used_since(&new, places).await;
        let said = self.next().await;
        assert!(said.contains("the agent was gone before that began, and it is removed"), "{said}");
        assert_eq!(said.matches(&format!("volume {used} is kept: it was whole at")).count(), 2, "{said}");
        assert_eq!(stage.shown(&used).await["status"], "available");
        assert!(stage.ends(&used).await.is_empty());
        stage.hands.cinder(Method::DELETE, &format!("/volumes/{used}"), None).await;
        stage.hands.volume_is(&used, "gone").await;
        assert_eq!(stage.resources().await, before);
        assert_eq!(&stage.places(old, 2).await, places);
    }

    /// A volume that an agent has left as it has left `new`, and that was attached and detached since.
    async fn used_since(&self, new: &str, places: &Places) -> String {
        let stage = self.stage;
        let used = stage.hands.volume("used", false).await;
        let made = stage.shown(&used).await["updated_at"].as_str().unwrap().to_owned();
        let mut metadata = stage.shown(new).await["metadata"].take();
        let marks = metadata.as_object_mut().unwrap();
        marks.retain(|key, _| key.starts_with("freezer_replaces_"));
        for mark in marks.values_mut() {
            let mut words: Vec<&str> = mark.as_str().unwrap().split(' ').collect();
            assert!(words[0] == new && words[7].contains('T'), "{words:?}");
            words[0] = used.as_str();
            words[7] = made.as_str();
            *mark = json!(words.join(" "));
        }
        let path = format!("/volumes/{used}/metadata");
        stage.hands.cinder(Method::PUT, &path, Some(&json!({ "metadata": metadata }))).await;
        let (server, _) = places.first().unwrap();
        let path = format!("/servers/{server}{PATH}");
        let attachment = json!({"volumeAttachment": {"volumeId": used}});
        let (status, attached) = stage.hands.nova(Method::POST, &path, Some(&attachment)).await;
        assert_eq!(status, 200, "{attached}");
        stage.hands.volume_is(&used, "in-use").await;
        let (status, said) = stage.hands.nova(Method::DELETE, &format!("{path}/{used}"), None).await;
        assert_eq!(status, 202, "{said}");
        stage.hands.volume_is(&used, "available").await;
        used
    }

    /// One server has neither, the other one the old one still. Answers the new volume.
    async fn between_both(&self, old: &str, places: &Places) -> String {
        self.killed_at("POST", "next").await;
        self.stage.places(old, 1).await;
        let new = self.stage.hands.volume_named("next").await;
        assert_eq!(self.stage.shown(&new).await["status"], "available");
        let said = self.next().await;
        assert_eq!(said.matches("that was finished").count(), 2, "{said}");
        assert_eq!(&self.stage.places(&new, 2).await, places);
        assert_eq!(self.stage.shown(old).await["status"], "available");
        assert_eq!(content(&new), content(old));
        assert_eq!(self.stage.ends(&new).await, ["new", "new"]);
        assert!(!self.next().await.contains("replace volume"), "it is done once");
        new
    }

    /// The server that has neither is deleted: the other one is not taken from its volume for one that no server has.
    async fn of_a_server_that_is_gone(&self, old: &str, places: &Places) {
        let stage = self.stage;
        self.killed_at("POST", "last").await;
        let kept = stage.places(old, 1).await;
        let (gone, _) = places.difference(&kept).next().unwrap();
        let path = format!("/servers/{gone}");
        stage.hands.nova(Method::DELETE, &path, None).await;
        let end = Instant::now() + PATIENCE;
        while stage.hands.nova(Method::GET, &path, None).await.0 != 404 {
            assert!(Instant::now() < end, "server {gone} stays");
            tokio::time::sleep(LOOK).await;
        }
        let said = self.next().await;
        assert!(said.contains(&format!("server {gone} is not in this project any more")), "{said}");
        assert_eq!(stage.places(old, 1).await, kept);
        let last = stage.hands.volume_named("last").await;
        assert_eq!(stage.shown(&last).await["status"], "available");
        assert_eq!(content(&last), content(old));
        let mut ends = stage.ends(&last).await;
        ends.sort_unstable();
        assert_eq!(ends, ["left_alone", "old"]);
    }
}

/// `old` is at both servers, where another exchange has brought it.
pub(super) async fn that_breaks_off_is_gone_on_with(stage: &Stage, old: &str, places: &Places) {
    let nova = Proxy::http("127.0.0.1:8774".to_owned()).await;
    let keystone = keystone_with(&[(8774, nova.port)]).await;
    let exchanges = Exchanges { stage, nova, keystone };
    // What the metadata tell of that one is nothing of the volume's own.
    stage.agent("backup", &["--cinder-vol-id", old]).await.document();
    let planned = stage.agent("restore", &["--dry-run"]).await.document();
    assert_eq!(planned["volume"]["id"], old, "{planned}");
    assert!(!planned["volume"]["metadata"].to_string().contains("freezer_replaces"), "{planned}");
    exchanges.before_it_began(old, places).await;
    let new = exchanges.between_both(old, places).await;
    stage.agent("backup", &["--cinder-vol-id", &new]).await.document();
    exchanges.of_a_server_that_is_gone(&new, places).await;
}
