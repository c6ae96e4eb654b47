//! A central agent at work on a tenant's servers and on the whole project: with the trust of the job, in the real Nova, Cinder, Glance,
//! Neutron and Swift; and nowhere else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;
#[allow(dead_code)]
#[path = "../../crates/storage/tests/support/proxy.rs"]
mod proxy;

use cloud::detour::keystone_with;
use cloud::one_shot::CEPH;
use cloud::project::{Hands, Project, call, content, scribble};
use cloud::secrets::Secrets;
use cloud::servers::resources;
use cloud::{Cloud, LOOK, PATIENCE, Parts, User, login, step};
use freezer_testkit::{TestDatabase, TestVhost, random_name, services};
use proxy::{Action, Proxy};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_and_projects_are_saved_and_restored_under_the_trust_of_the_job() {
    let (project, other) = (Project::create().await, Project::create().await);
    let hands = Hands::of(&project).await;
    let data = hands.volume("data", false).await;
    scribble(&data);
    let original = content(&data);
    // The service user, who is one for all tenants, has a key of the name of the tenant's.
    let key = format!("key-{}", random_name());
    let service = Hands { login: login("freezer", "service").await };
    hands.keypair(&key).await;
    service.keypair(&key).await;
    let server = server_with(&hands, &data, &key).await;
    let before = resources(&hands).await;

    let work = tempfile::tempdir().unwrap();
    let (database, vhost) = (TestDatabase::create(), TestVhost::create());
    let operators = login("freezer", "service").await.project_id;
    let parts = Parts {
        database_url: &database.url(),
        rabbit_url: &vhost.url(),
        project_id: &operators,
        agent_login: ("freezer", "service"),
    };
    let cinder = Proxy::http("127.0.0.1:8776".to_owned()).await;
    let glance = Proxy::http("127.0.0.1:9292".to_owned()).await;
    let detours = [(8776, cinder.port), (9292, glance.port)];
    let keystone = format!("http://127.0.0.1:{}/v3", keystone_with(&detours).await);
    let mut central = cloud::central::start_with(work.path(), &parts, &keystone, "amqp", CEPH);
    let user = User::new(central.api_port, &hands.login);
    central.wait_for_agent(&user).await;
    let (container, client_id) = (format!("saved-{}", random_name()), central.client_id.clone());
    let run = async |mut action: Value, more: Value| {
        let fields = action.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        fields.extend([("storage".to_owned(), json!("swift")), ("container".to_owned(), json!(container))]);
        let actions = json!([{"freezer_action": action, "max_retries": 0}]);
        let job = json!({"client_id": client_id, "job_schedule": {}, "job_actions": actions});
        let made = user.post("/jobs", &job).await;
        user.finished_run(made["job_id"].as_str().unwrap(), 1).await
    };

    // The operator's host has no file with a tenant's pass phrase; Barbican keeps it.
    let secrets = Secrets::of(&project).await;
    let secret = secrets.store("known to the tenant").await;
    let plain = json!({"mode": "nova", "engine_name": "nova", "backup_name": "web", "nova_inst_id": server});
    let mut nova = plain.clone();
    nova["encrypt_secret_ref"] = json!(secret);
    let saving = run(nova.clone(), json!({"action": "backup"}));
    let (saved, ()) = tokio::join!(saving, dies_at_the_disk(&mut central, &glance));
    assert_eq!(saved["state"], "success", "{saved:#}");
    assert_eq!(resources(&hands).await, before);
    // What the dead one left, its successor has removed under the trust, and tells: nobody was told of its making.
    let told = &saved["steps"].as_array().unwrap().last().unwrap()["result"]["temporaries"];
    for (row, is_made) in [(&told[0], false), (&told[1], true)] {
        assert_eq!((&row["kind"], &row["error"]), (&json!("image"), &Value::Null), "{saved:#}");
        assert_eq!((row["made"].is_i64(), row["removed"].is_i64()), (is_made, true), "{saved:#}");
    }
    let all = json!({"mode": "project", "engine_name": "set", "backup_name": "all"});
    let saved = run(all.clone(), json!({"action": "backup", "incremental": true})).await;
    assert_eq!(saved["state"], "success", "{saved:#}");
    let metadata = &saved["steps"][0]["result"]["backup_metadata"];
    assert_eq!((&metadata["project_id"], &metadata["resources"]["server"]), (&json!(project.id), &json!(1)));
    // Keys are users', and nobody's under a trust.
    assert_eq!(metadata["resources"]["keypair"], Value::Null, "{metadata:#}");
    let problem = &saved["steps"][0]["result"]["report"]["problems"][0];
    assert_eq!((&problem["path"], &problem["weight"]), (&json!(format!("keypair/{key}")), &json!("warning")));
    assert_eq!(resources(&hands).await, before);

    let refused = run(plain, json!({"action": "restore", "restore_name": "again"})).await;
    assert_eq!(refused["state"], "fail", "{refused:#}");
    assert!(refused["error"].as_str().unwrap().contains("encrypt"), "{refused:#}");
    let restored = run(nova, json!({"action": "restore", "restore_name": "again"})).await;
    assert_eq!(restored["state"], "partial", "{restored:#}");
    let missing = &restored["steps"][0]["result"]["restore"]["missing"];
    let words = format!("keypair {key}: keypairs are a user's own");
    assert!(missing[0].as_str().is_some_and(|what| what.starts_with(&words)), "{restored:#}");
    assert_eq!(missing[1], Value::Null, "{restored:#}");
    let (_, servers) = hands.nova(Method::GET, "/servers/detail", None).await;
    let again = servers["servers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "again")
        .expect("a new server");
    assert_eq!((&again["tenant_id"], &again["status"]), (&json!(project.id), &json!("ACTIVE")));
    assert_eq!(again["key_name"], Value::Null, "a key that is another's: {again:#}");
    service.nova(Method::DELETE, &format!("/os-keypairs/{key}"), None).await;
    let disks = hands.disks_of(again["id"].as_str().unwrap()).await;
    assert_eq!(content(disks[0].1["volumeId"].as_str().unwrap()), original);
    let part = json!({"action": "restore", "project_select": "volume/data"});
    let restored = run(all.clone(), part.clone()).await;
    assert_eq!(restored["state"], "success", "{restored:#}");
    let after = resources(&hands).await;
    assert!(after.iter().any(|row| row.starts_with("volumes data~")), "{after:?}");
    assert!(!after.iter().any(|row| row.contains(" freezer_")), "{after:?}");

    // The trust is one project's, whatever the user may do elsewhere.
    let mut elsewhere = part;
    elsewhere["project_restore_to"] = json!(other.id);
    let refused = run(all, elsewhere).await;
    assert_eq!(refused["state"], "fail", "{refused:#}");
    assert!(
        refused["error"].as_str().unwrap().contains("under a trust, which is for one project"),
        "{refused:#}"
    );
    assert_eq!(resources(&Hands::of(&other).await).await, Vec::<String>::new());
    secrets.remove_all().await;
    a_trust_that_ends_meanwhile((&central, &user), &hands, (&cinder, &data)).await;
}

/// The agent dies, with its step, when that downloads the server's disk and no service works any more; and begins again.
async fn dies_at_the_disk(central: &mut Cloud, glance: &Proxy) {
    glance.rule("GET", "/file", 1, Action::Stall);
    let end = Instant::now() + PATIENCE;
    while glance.unused_rules() > 0 {
        assert!(Instant::now() < end, "the disk was never asked for");
        tokio::time::sleep(LOOK).await;
    }
    step::dies_with_its_daemon(&mut central.agent);
}

/// A running server with a key and with this volume as its second disk.
async fn server_with(hands: &Hands, volume: &str, key: &str) -> String {
    let image = hands.image_id().await;
    let fields = json!({
        "name": "freezer-test", "flavorRef": hands.flavor_id("tiny").await, "imageRef": image, "networks": "none",
        "key_name": key,
        "block_device_mapping_v2": [
            {"uuid": image, "source_type": "image", "destination_type": "local", "boot_index": 0, "delete_on_termination": true},
            {"uuid": volume, "source_type": "volume", "destination_type": "volume", "boot_index": null},
        ],
    });
    hands.server(fields).await
}

/// The member ends the trust while Cinder makes a backup. The run says so, and what it could not remove goes with the next one, which
/// has a trust of its own.
async fn a_trust_that_ends_meanwhile(
    (central, user): (&Cloud, &User),
    hands: &Hands,
    (cinder, volume): (&Proxy, &str),
) {
    let begin = async |is_dry_run: bool| {
        let action = json!({
            "action": "backup", "mode": "cindernative", "cindernative_vol_id": volume, "backup_name": "native",
            "storage": "swift", "container": "native", "dry_run": is_dry_run,
        });
        let actions = json!([{"freezer_action": action, "max_retries": 0}]);
        let job = json!({"client_id": central.client_id, "job_schedule": {}, "job_actions": actions});
        user.post("/jobs", &job).await["job_id"].as_str().unwrap().to_owned()
    };
    // However soon Cinder is done: the agent waits for it until the trust is gone.
    let (done, at_work) = ("\"status\": \"available\"", "\"status\": \"creating\"");
    cinder.rule("GET", "/backups/", u32::MAX, Action::RewordAnswer(done, at_work));
    let job = begin(false).await;
    let shown = user.get(&format!("/jobs/{job}")).await;
    let trust = shown["user_credentials"]["trust_id"].as_str().unwrap().to_owned();
    let end = Instant::now() + PATIENCE;
    while hands.backups(volume).await.is_empty() {
        assert!(Instant::now() < end, "Cinder was never asked for a backup");
        tokio::time::sleep(LOOK).await;
    }
    let url = format!("{}/OS-TRUST/trusts/{trust}", services::keystone_url());
    let (status, said) = call(Method::DELETE, &url, &hands.login.token, None).await;
    assert_eq!(status, 204, "{said}");
    cinder.forget_rules();
    // Services that keep tokens in a cache would learn of it minutes later.
    for method in ["GET", "POST", "PUT", "DELETE"] {
        cinder.rule(method, "/", u32::MAX, Action::Answer(401, Vec::new()));
    }
    let run = user.finished_run(&job, 1).await;
    assert_eq!(run["state"], "fail", "{run:#}");
    let error = run["error"].as_str().unwrap_or_default();
    for words in ["Cinder", "under a trust", "trust was ended", "Cinder goes on with backup"] {
        assert!(error.contains(words), "'{words}' is not in: {error}");
    }
    assert!(!error.contains(&trust) && !central.agent.log().contains(&trust), "ids of trusts stay out of it");
    assert_eq!(hands.backups(volume).await.len(), 1, "nobody can remove it now");

    cinder.forget_rules();
    let next = begin(true).await;
    let run = user.finished_run(&next, 1).await;
    assert_eq!(run["state"], "success", "{run:#}");
    assert_eq!(hands.backups(volume).await, Vec::<Value>::new());
    assert!(!resources(hands).await.iter().any(|row| row.contains(" freezer_")));
}
