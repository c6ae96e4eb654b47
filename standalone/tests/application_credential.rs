//! An agent with an application credential: it works on the resources of the credential's project, and takes no other one for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::credential::Credential;
use cloud::login;
use cloud::one_shot::Said;
use cloud::project::{Hands, Project, content, scribble};
use cloud::servers::resources;
use cloud::stage::{Stage, count};
use cloud::whole::{let_in, volumes};
use serde_json::json;
use std::process::Command;

/// With the credential in place of the user's name and password.
fn by_credential(mut command: Command, credential: &Credential) -> Command {
    let of_users = ["USERNAME", "PASSWORD", "PROJECT_NAME", "USER_DOMAIN_ID", "PROJECT_DOMAIN_ID"];
    for name in of_users {
        command.env_remove(format!("OS_{name}"));
    }
    command.envs([
        ("OS_AUTH_TYPE", "v3applicationcredential"),
        ("OS_APPLICATION_CREDENTIAL_ID", credential.id.as_str()),
        ("OS_APPLICATION_CREDENTIAL_SECRET", credential.secret.as_str()),
    ]);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_is_saved_and_restored_and_no_other_is_taken_for_it() {
    let stage = Stage::new().await;
    let friends = Project::create().await;
    // The user is let in there; the credential is not.
    let_in(&stage.project, &friends).await;
    let theirs = Hands { login: login(&stage.project.user, &friends.name).await };
    let hands = &stage.hands;
    let volume = hands.volume("data", false).await;
    scribble(&volume);
    let (original, before) = (content(&volume), resources(hands).await);
    let credential = Credential::create(&hands.login).await;
    let run = async |action: &str, more: &[&str]| {
        let command = stage.command(action, &[more, &["--metadata-out", "-"]].concat());
        Said::by(by_credential(command, &credential)).await
    };

    let elsewhere = ["an application credential is for one project", friends.id.as_str()];
    run("backup", &["--project-id", &friends.id]).await.fails_with(&elsewhere);
    let saved = run("backup", &["--incremental"]).await.document();
    assert_eq!((&saved["project_id"], count(&saved, "missing")), (&json!(stage.project.id), 0), "{saved:#}");
    hands.clear().await;
    run("restore", &["--project-restore-to", &friends.id]).await.fails_with(&elsewhere);
    assert_eq!((resources(hands).await.len(), resources(&theirs).await.len()), (0, 0));
    let own = ["--project-restore-to", stage.project.id.as_str()];
    let restored = run("restore", &own).await.document();
    assert_eq!((count(&restored, "failed"), count(&restored, "made")), (0, 1), "{restored:#}");
    assert_eq!(resources(hands).await, before);
    let there = volumes(hands).await;
    assert_eq!(content(there[0]["id"].as_str().unwrap()), original);
    credential.delete(&hands.login).await;
}
