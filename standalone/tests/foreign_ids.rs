//! Ids of another project, given to an agent with an administrator's login for its own: the services would let it have everything,
//! and the agent refuses in every mode, with nothing made, changed or left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::http;
use cloud::one_shot::{Said, agent_of};
use cloud::project::{CINDER, GLANCE, Hands, NOVA, Project, call};
use cloud::servers::resources;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A small image of the project.
async fn image(hands: &Hands, name: &str, visibility: &str) -> String {
    let token = &hands.login.token;
    let body =
        json!({"name": name, "visibility": visibility, "disk_format": "raw", "container_format": "bare"});
    let (status, made) = call(Method::POST, &format!("{GLANCE}/images"), token, Some(&body)).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    let request = http().put(format!("{GLANCE}/images/{id}/file")).header("X-Auth-Token", token);
    let sent = request.header("Content-Type", "application/octet-stream").body("content").send().await;
    assert_eq!(sent.unwrap().status(), 204);
    id
}

/// What the other project has.
struct Theirs {
    volume: String,
    backup: String,
    image: String,
    shared: String,
    server: String,
    network: String,
}

impl Theirs {
    async fn make(hands: &Hands) -> Self {
        let volume = hands.volume("theirs", false).await;
        let backup = hands.own_backup(&volume, "theirs").await;
        let network = hands.network("theirs", "10.9.3.0/24").await;
        let fields = json!({
            "name": "theirs", "flavorRef": hands.flavor_id("tiny").await, "imageRef": hands.image_id().await,
            "networks": "none",
        });
        // Whether it has come up is all the same.
        let (status, made) = hands.nova(Method::POST, "/servers", Some(&json!({ "server": fields }))).await;
        assert_eq!(status, 202, "{made}");
        let server = made["server"]["id"].as_str().unwrap().to_owned();
        let (image, shared) =
            (image(hands, "theirs", "private").await, image(hands, "for-friends", "shared").await);
        Self { volume, backup, image, shared, server, network }
    }

    /// The services themselves show all of it to an administrator, or the refusals of the agent would prove nothing.
    async fn are_shown_to(&self, user: &str, project: &Project) {
        let login = cloud::login(user, &project.name).await;
        for url in [
            format!("{CINDER}/{}/volumes/{}", project.id, self.volume),
            format!("{CINDER}/{}/backups/{}", project.id, self.backup),
            format!("{GLANCE}/images/{}", self.image),
            format!("{NOVA}/servers/{}", self.server),
        ] {
            let (status, document) = call(Method::GET, &url, &login.token, None).await;
            assert_eq!(status, 200, "{url}: {document}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrators_login_reaches_nothing_of_another_project() {
    let (mut project, other) = (Project::create().await, Project::create().await);
    let administrator = project.administrator().await;
    let (hands, their_hands) = (Hands::of(&project).await, Hands::of(&other).await);
    let own = async {
        let volume = hands.volume("own", false).await;
        (hands.own_backup(&volume, "own").await, volume)
    };
    let (theirs, (backup, volume)) = tokio::join!(Theirs::make(&their_hands), own);
    theirs.are_shown_to(&administrator, &project).await;
    let folder = tempfile::tempdir().unwrap();
    let run = async |user: &str, action: &str, mode: &str, more: &[&str]| {
        let mut command = agent_of(&project, user);
        command
            .args(["--action", action, "--mode", mode, "--backup-name", "b", "--metadata-out", "-"])
            .args(more);
        if mode != "cindernative" {
            command.args(["--storage", "local", "--container"]).arg(folder.path());
        }
        Said::by(command).await
    };
    let (before, theirs_before) = (resources(&hands).await.len(), their_hands.backups(&theirs.volume).await);

    let into_theirs = ["--cindernative-backup-id", backup.as_str(), "--cindernative-vol-id", &theirs.volume];
    let rotated = ["--cindernative-vol-id", theirs.volume.as_str(), "--fullbackup-rotation", "1"];
    let not_here = "not in this project";
    let cases: [(&str, &str, &[&str], &str); 11] = [
        ("backup", "cinder", &["--cinder-vol-id", &theirs.volume], "Cinder has no volume"),
        ("backup", "cinder", &["--cinder-vol-name", "theirs"], "Cinder has no volume"),
        ("backup", "cindernative", &["--cindernative-vol-id", &theirs.volume], not_here),
        ("restore", "cindernative", &["--cindernative-backup-id", &theirs.backup], not_here),
        ("restore", "cindernative", &into_theirs, not_here),
        ("admin", "cindernative", &rotated, not_here),
        ("backup", "nova", &["--nova-inst-id", &theirs.server], "Nova has no server"),
        ("backup", "nova", &["--nova-inst-name", "theirs"], "Nova has no server"),
        ("backup", "glance", &["--glance-image-id", &theirs.image], "Glance has no image"),
        ("backup", "glance", &["--glance-image-name", "theirs"], "Glance has no image"),
        ("backup", "glance", &["--glance-image-id", &theirs.shared], "Glance has no image"),
    ];
    for (action, mode, more, words) in cases {
        let said = run(&administrator, action, mode, more).await;
        eprintln!("{action} {mode} {more:?}");
        said.fails_with(&[words]);
    }
    // A backup of the project is of that one, whoever logs in.
    let all = ["--project-exclude", "volume,image,server,container"];
    let (mut seen, mut counted) = (Vec::new(), Vec::new());
    for user in [&administrator, &project.user] {
        let planned = run(user, "backup", "project", &["--dry-run"]).await.document();
        let rows = planned["resources"].as_array().unwrap().iter();
        seen.push(rows.map(|row| row.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>());
        counted.push(run(user, "backup", "project", &all).await.document()["resources"].take());
    }
    assert_eq!((&seen[0], &counted[0]), (&seen[1], &counted[1]));
    assert!(seen[0].contains(&format!("volume {volume}")) && counted[0]["security_group"] == 1, "{seen:?}");
    // Nor may it take the place of something that was the project's own.
    for (kind, id) in [("network", &theirs.network), ("volume", &theirs.volume), ("image", &theirs.image)] {
        let map = format!("{kind}/old={id}");
        run(&administrator, "restore", "project", &["--project-map", &map])
            .await
            .fails_with(&[&map, "project_map"]);
    }
    // What is shared with a project is for it, whoever logs in.
    let members = format!("{GLANCE}/images/{}/members", theirs.shared);
    let member = json!({"member": project.id});
    let (status, said) = call(Method::POST, &members, &their_hands.login.token, Some(&member)).await;
    assert_eq!(status, 200, "{said}");
    for user in [&administrator, &project.user] {
        let saved = run(user, "backup", "glance", &["--glance-image-id", &theirs.shared]).await.document();
        assert_eq!(saved["glance_image_id"], theirs.shared.as_str(), "{saved}");
    }

    assert_eq!(resources(&hands).await.len(), before);
    assert_eq!(hands.backups(&volume).await.len(), 1);
    let ids = |rows: &[Value]| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&their_hands.backups(&theirs.volume).await), ids(&theirs_before));
    let left: Vec<String> =
        resources(&their_hands).await.into_iter().filter(|row| row.contains(" freezer_")).collect();
    assert_eq!(left, Vec::<String>::new());
    their_hands.volume_is(&theirs.volume, "available").await;
}
