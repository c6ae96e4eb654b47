//! Registration of clients (contract §5.3).

use crate::harness::*;
use serde_json::{Value, json};

const CENTRAL_409: &str = "Client central is already registered by another project";

#[tokio::test]
async fn a_registration_reads_back_with_everything_it_can_do() {
    let api = Api::start().await;
    let sent = json!({"client_id": "node1", "hostname": "node1.dom", "uuid": "9aa28556509046e49a85062faf8e06a9", "config_id": "c", "project_id": "p9"});
    let answer = api.call(ALICE, "POST", "/clients/", sent).await.expect(201).json();
    assert_eq!(answer, json!({"client_id": "node1"}));
    let expected = json!({"project_id": "p1", "user_id": "alice", "client": {"uuid": "9aa28556509046e49a85062faf8e06a9", "hostname": "node1.dom",
        "client_id": "node1", "is_central": false, "description": null,
        "supported_actions": ["backup", "restore", "info", "admin", "exec"],
        "supported_modes": ["fs", "mongo", "mysql", "sqlserver", "cinder", "glance", "cindernative", "nova"],
        "supported_storages": ["local", "swift", "ssh", "s3", "ftp", "ftps"],
        "supported_engines": ["tar", "rsync", "rsyncv2", "nova", "osbrick", "glance"],
        "link": "poll", "agent_version": null, "last_seen_at": -1}});
    assert_eq!(api.get(ALICE, "/clients/node1").await.expect(200).json(), expected);
    assert_eq!(api.get(ALICE, "/clients").await.expect(200).json(), json!({"clients": [expected]}));
}

#[tokio::test]
async fn registering_again_updates_what_changes_and_keeps_identity() {
    let api = Api::start().await;
    let first = json!({"client_id": "node1", "hostname": "one", "description": "d1", "supported_modes": ["nova", "fs", "rbd"]});
    api.call(ALICE, "POST", "/clients", first).await.expect(201);
    let before = api.get(ALICE, "/clients/node1").await.json();
    assert_eq!(before["client"]["supported_modes"], json!(["nova", "fs", "rbd"]));
    let made = before["client"]["uuid"].as_str().unwrap();
    assert!(made.len() == 32 && made.bytes().all(|b| b.is_ascii_hexdigit()), "{made}");
    let again =
        json!({"client_id": "node1", "hostname": "two", "uuid": "other", "supported_engines": ["tar"]});
    api.call(ANN, "POST", "/clients", again).await.expect(201);
    let after = api.get(ALICE, "/clients/node1").await.json();
    for key in ["hostname", "uuid", "is_central"] {
        assert_eq!(after["client"][key], before["client"][key]);
    }
    assert_eq!(after["user_id"], "alice");
    assert_eq!(
        (&after["client"]["description"], &after["client"]["supported_engines"]),
        (&Value::Null, &json!(["tar"]))
    );
    assert_eq!(after["client"]["supported_modes"].as_array().unwrap().len(), 8);
    let taken = json!({"client_id": "node2", "uuid": before["client"]["uuid"]});
    let answer = api.call(ALICE, "POST", "/clients", taken).await;
    answer.expect_error(409, "Document already existing", "Document with the specified ID already exists.");
    // once its owner is gone, a uuid is free, and the name stands for somebody else
    let uuid = before["client"]["uuid"].clone();
    api.call(ALICE, "DELETE", "/clients/node1", Value::Null).await.expect(204);
    api.call(ALICE, "POST", "/clients", json!({"client_id": "node2", "uuid": uuid})).await.expect(201);
    assert_eq!(api.get(ALICE, "/clients/node2").await.json()["client"]["uuid"], uuid);
    api.call(ANN, "POST", "/clients", json!({"client_id": "node1", "hostname": "three"})).await.expect(201);
    let fresh = api.get(ALICE, "/clients/node1").await.json();
    assert_eq!((&fresh["user_id"], &fresh["client"]["hostname"]), (&json!("ann"), &json!("three")));
    assert_ne!(fresh["client"]["uuid"], uuid);
}

#[tokio::test]
async fn central_clients_are_seen_by_all_and_owned_by_one() {
    let api = Api::start().await;
    let central = json!({"client_id": "central", "is_central": true, "hostname": "h1"});
    api.call(ALICE, "POST", "/clients", central.clone()).await.expect(403);
    // a bare service user may, and again at each start
    api.call(SERVICE, "POST", "/clients", central.clone()).await.expect(201);
    api.call(SERVICE, "POST", "/clients", central.clone()).await.expect(201);
    let seen = api.get(ALICE, "/clients/central").await.expect(200).json();
    assert_eq!((&seen["project_id"], &seen["client"]["is_central"]), (&json!("service"), &json!(true)));
    assert_eq!(api.get(OTTO, "/clients").await.json()["clients"].as_array().unwrap().len(), 1);
    // its name is taken, whatever the host name, and only for others
    let other_host = json!({"client_id": "central", "is_central": true, "hostname": "h2"});
    api.call(SERVICE, "POST", "/clients", other_host.clone()).await.expect(201);
    let again = api.get(ALICE, "/clients/central").await.expect(200).json();
    assert_eq!(again, seen);
    api.call(ADMIN, "POST", "/clients", other_host).await.expect_error(
        409,
        "Document already existing",
        CENTRAL_409,
    );
    api.call(ALICE, "POST", "/clients", json!({"client_id": "central"})).await.expect_error(
        409,
        "Document already existing",
        CENTRAL_409,
    );
    let refused = api.call(ALICE, "DELETE", "/clients/central", Value::Null).await;
    refused.expect_error(403, "Access Forbidden", "You are not allowed to access this resource");
    api.call_in(ADMIN, "service", "DELETE", "/clients/central", Value::Null).await.expect(204);
    api.get(ALICE, "/clients/central").await.expect(404);
}

#[tokio::test]
async fn a_central_client_is_not_its_projects_members_to_change() {
    let api = Api::start().await;
    let central = json!({"client_id": "central", "is_central": true, "supported_actions": ["backup"]});
    api.call_in(ADMIN, "p1", "POST", "/clients", central).await.expect(201);
    // It works for all projects: a member of its own does not give it what it shall not do, nor take it from all.
    let more = json!({"client_id": "central", "supported_actions": ["backup", "exec"]});
    api.call(ALICE, "POST", "/clients", more.clone()).await.expect(403);
    api.call(ALICE, "DELETE", "/clients/central", Value::Null).await.expect(403);
    let seen = api.get(OTTO, "/clients/central").await.expect(200).json();
    assert_eq!(seen["client"]["supported_actions"], json!(["backup"]));
    api.call_in(ADMIN, "p1", "POST", "/clients", more).await.expect(201);
    api.call_in(ADMIN, "p1", "DELETE", "/clients/central", Value::Null).await.expect(204);
}

#[tokio::test]
async fn a_central_client_does_not_shadow_a_tenants_own() {
    let api = Api::start().await;
    api.client(ALICE, "central").await;
    api.call(SERVICE, "POST", "/clients", json!({"client_id": "central", "is_central": true}))
        .await
        .expect(201);
    assert_eq!(api.get(ALICE, "/clients/central").await.json()["project_id"], "p1");
    assert_eq!(api.get(OTTO, "/clients/central").await.json()["project_id"], "service");
    // updating one's own is no conflict with the central one; deleting it uncovers the other
    api.client(ALICE, "central").await;
    api.call(ALICE, "DELETE", "/clients/central", Value::Null).await.expect(204);
    api.call(ALICE, "DELETE", "/clients/central", Value::Null).await.expect(403);
}

#[tokio::test]
async fn the_grammar_of_names() {
    let api = Api::start().await;
    for good in
        ["node1", "test_node", "a.b.c-d", "01b0f00a-4ce2_myhost.tld", "test-tenant_5253_test-hostname_19544"]
    {
        api.client(ALICE, good).await;
        api.get(ALICE, &format!("/clients/{good}")).await.expect(200);
    }
    for bad in ["-a", "_a", "x_y.z_w", "bad%id_h", "p_bad_hostname.bad/domain.b", "a\n", "", &"a".repeat(300)]
    {
        api.call(ALICE, "POST", "/clients", json!({"client_id": bad})).await.expect_refusal("'client_id'");
    }
    for (key, bad) in [
        ("hostname", json!("***")),
        ("hostname", json!(null)),
        ("hostname", json!("h".repeat(129))),
        ("description", json!(null)),
        ("description", json!("d".repeat(256))),
        ("supported_actions", json!(["destroy"])),
        ("supported_modes", json!("fs")),
        ("supported_storages", json!([1])),
        ("supported_engines", json!(null)),
        ("is_central", json!("yes")),
        ("uuid", json!(5)),
        ("uuid", json!("u".repeat(65))),
    ] {
        api.call(ALICE, "POST", "/clients", json!({"client_id": "n", key: bad}))
            .await
            .expect_refusal(&format!("'{key}'"));
    }
    api.call(ALICE, "POST", "/clients", json!({"client_id": "n", "hostname": "test-hostname_19544"}))
        .await
        .expect(201);
    api.call(ALICE, "POST", "/clients", json!({"hostname": "h"})).await.expect_error(
        400,
        "Bad request format",
        "'client_id' is a required property",
    );
}
