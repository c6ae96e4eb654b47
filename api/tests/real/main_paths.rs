//! Tokens, projects and roles of a real Keystone; rows in MariaDB; notices over RabbitMQ.

use crate::stage::{Stage, manage};
use freezer_model::rpc::{CONDUCTOR_TOPIC, EXCHANGE, VERSION};
use oslo_messaging::{
    Context, Endpoint, RabbitOptions, RemoteFailure, RpcServer, ServerOptions, Target, Transport,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

fn job(client: &str) -> Value {
    json!({"client_id": client, "description": "nightly \u{1F4BE}", "job_schedule": {"schedule_interval": "1 days"},
        "job_actions": [{"freezer_action": {"action": "backup", "mode": "fs", "path_to_backup": "/etc", "backup_name": "etc", "container": "vault"}}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_open_their_own_project_and_no_other() {
    let stage = Stage::start();
    let refused = stage.ask(None, "GET", "/v2", Value::Null).await.expect(401);
    let message = "The request you have made requires authentication.";
    let body = json!({"error": {"code": 401, "title": "Unauthorized", "message": message}});
    assert_eq!((refused.json(), refused.header("content-type")), (body, "application/json"));
    assert_eq!(refused.headers.get("x-openstack-request-id"), None);
    assert!(refused.header("www-authenticate").starts_with("Keystone uri="), "{:?}", refused.headers);
    let refused = stage.ask(Some("no such token"), "GET", "/v2", Value::Null).await.expect(401);
    assert_eq!(
        (&refused.json()["error"]["code"], refused.headers.get("x-openstack-request-id")),
        (&json!(401), None)
    );
    stage.ask(None, "GET", "/v2/x/unknown", Value::Null).await.expect(401);
    stage.ask(None, "GET", "/", Value::Null).await.expect(300);
    stage.ask(None, "GET", "/healthcheck", Value::Null).await.expect(200);
    assert!(
        stage.ask(None, "GET", "/metrics", Value::Null).await.expect(200).text.contains("status=\"401\"")
    );

    let demo = stage.person("demo", "demo").await;
    stage.ask(Some(&demo.token), "GET", "/v2/", Value::Null).await.expect(200);
    stage.ask(Some(&demo.token), "GET", "/v1", Value::Null).await.expect(404);
    stage.call(&demo, "POST", "/clients/", json!({"client_id": "node1"})).await.expect(201);
    let id = stage.call(&demo, "POST", "/jobs/", job("node1")).await.expect(201).json()["job_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let shown = stage.call(&demo, "GET", &format!("/jobs/{id}"), Value::Null).await.expect(200).json();
    assert_eq!((&shown["user_id"], &shown["project_id"]), (&json!(demo.user_id), &json!(demo.project_id)));
    assert_eq!(shown["description"], "nightly \u{1F4BE}");
    stage.call(&demo, "POST", &format!("/jobs/{id}/event"), json!({"stop": null})).await.expect(202);
    let search = json!({"match": [{"client_id": "node1"}], "match_not": [{"status": "completed"}]});
    let listed = stage
        .call(&demo, "GET", "/jobs/?limit=10&offset=0&all_projects=False", search)
        .await
        .expect(200)
        .json();
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 1);
    let backup = json!({"container": "c", "hostname": "h", "backup_name": "b", "job_id": id});
    stage.call(&demo, "POST", "/backups", backup).await.expect(201);

    let other = stage.person("other", "other").await;
    let foreign = format!("/v2/{}/jobs/{id}", demo.project_id);
    stage.ask(Some(&other.token), "GET", &foreign, Value::Null).await.expect(403);
    stage.call(&other, "GET", &format!("/jobs/{id}"), Value::Null).await.expect(404);
    stage.call(&other, "DELETE", &format!("/jobs/{id}"), Value::Null).await.expect(204);
    for list in ["jobs", "clients", "actions", "sessions", "backups", "runs"] {
        let own = stage
            .call(&other, "GET", &format!("/{list}?all_projects=True"), Value::Null)
            .await
            .expect(200)
            .json();
        assert_eq!(own, json!({list: []}));
    }

    let reader = stage.person("reader", "demo").await;
    stage.call(&reader, "GET", &format!("/jobs/{id}"), Value::Null).await.expect(200);
    stage.call(&reader, "DELETE", &format!("/jobs/{id}"), Value::Null).await.expect(403);
    let admin = stage.person("admin", "admin").await;
    assert_eq!(stage.call(&admin, "GET", "/jobs", Value::Null).await.json(), json!({"jobs": []}));
    let all = stage.call(&admin, "GET", "/jobs?all_projects=True", Value::Null).await.expect(200).json();
    assert_eq!(all["jobs"].as_array().unwrap().len(), 1);
    let service = stage.person("freezer", "service").await;
    stage
        .call(&service, "POST", "/clients", json!({"client_id": "central", "is_central": true}))
        .await
        .expect(201);
    let seen = stage.call(&demo, "GET", "/clients/central", Value::Null).await.expect(200).json();
    assert_eq!(seen["project_id"], json!(service.project_id));
    stage.call(&demo, "DELETE", "/clients/central", Value::Null).await.expect(403);
    stage.call(&demo, "DELETE", &format!("/jobs/{id}"), Value::Null).await.expect(204);
}

struct Ear(mpsc::UnboundedSender<(String, Value)>);

#[async_trait::async_trait]
impl Endpoint for Ear {
    fn methods(&self) -> &[&str] {
        &["job_changed"]
    }
    async fn call(&self, context: &Context, _method: &str, arguments: Value) -> Result<Value, RemoteFailure> {
        self.0.send((context.request_id().unwrap_or_default().to_owned(), arguments)).unwrap();
        Ok(Value::Null)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conductors_hear_over_rabbitmq_and_the_request_id_is_logged() {
    let stage = Stage::start();
    let transport = Transport::connect(&stage.vhost.url(), RabbitOptions::default()).unwrap();
    let (heard, mut ear) = mpsc::unbounded_channel();
    let target = Target::topic(CONDUCTOR_TOPIC).exchange(EXCHANGE).version(VERSION).server("conductor-1");
    let endpoints: Vec<Arc<dyn Endpoint>> = vec![Arc::new(Ear(heard))];
    let server = RpcServer::start(&transport, target, endpoints, ServerOptions::default()).await.unwrap();
    let demo = stage.person("demo", "demo").await;
    stage.call(&demo, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
    let created = stage.call(&demo, "POST", "/jobs", job("node1")).await.expect(201);
    let (request_id, notice) =
        tokio::time::timeout(Duration::from_secs(120), ear.recv()).await.expect("a notice comes").unwrap();
    assert_eq!(notice, json!({"project_id": demo.project_id, "job_id": created.json()["job_id"]}));
    assert_eq!(request_id, created.header("x-openstack-request-id"));
    let log = stage.daemon.log();
    let line = log
        .lines()
        .find(|line| line.contains(&request_id) && line.contains("status: 201"))
        .expect("a line about the request");
    assert!(line.contains(&format!("{} {}", demo.user_id, demo.project_id)), "{line}");
    assert!(!log.contains(&demo.token), "tokens stay out of the log");
    assert!(!log.contains(freezer_testkit::services::password().as_str()), "passwords stay out of the log");
    server.stop().await;
    transport.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_when_it_is_told_to_and_manage_knows_the_schema() {
    let mut stage = Stage::start();
    let configuration = stage.folder.path().join("freezer.conf");
    let version = manage(&configuration, &["db", "version"]);
    assert!(!version.contains("missing") && version.trim() != "empty", "{version}");
    assert_eq!(
        manage(&configuration, &["db", "purge", "--older-than-days", "1", "--dry-run"]),
        "would delete: 0 runs, 0 backup records\n"
    );
    assert_eq!(manage(&configuration, &["db", "purge"]), "deleted: 0 runs, 0 backup records\n");
    let ended = stage.daemon.stop(Duration::from_secs(120)).expect("it ends by itself");
    assert!(ended.success(), "{ended}: {}", stage.daemon.last_words());
}

/// An operator's own file: it closes what is open by default, and names rules that this version does not have.
#[tokio::test(flavor = "multi_thread")]
async fn an_operators_policy_file_is_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    let rules = "# Closed for the holidays.\n\"jobs:create\": \"!\"\n\"jobs:levitate\": \"role:admin\"\n\
                 \"actions:delete\": \"rule:nobody_knows\"\n";
    std::fs::write(&file, rules).unwrap();
    let stage = Stage::set(&format!("[oslo_policy]\npolicy_file = {}\n", file.display()));
    let demo = stage.person("demo", "demo").await;
    let admin = stage.person("admin", "admin").await;
    stage.call(&demo, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
    stage.call(&admin, "POST", "/clients", json!({"client_id": "node2"})).await.expect(201);
    for (who, client) in [(&demo, "node1"), (&admin, "node2")] {
        for path in ["/jobs", "/jobs/mine"] {
            let refused = stage.call(who, "POST", path, job(client)).await.expect(403).json();
            assert_eq!(refused["title"], "Access Forbidden");
        }
        assert_eq!(
            stage.call(who, "GET", "/jobs", Value::Null).await.expect(200).json(),
            json!({"jobs": []})
        );
    }
    // What the file does not name is as ever; what calls a rule that is not there is refused.
    let action = json!({"freezer_action": {"action": "info"}});
    stage.call(&demo, "POST", "/actions/a", action).await.expect(201);
    stage.call(&demo, "DELETE", "/actions/a", Value::Null).await.expect(403);
    stage.call(&demo, "PUT", "/quotas", json!({})).await.expect(403);
    let log = stage.daemon.log();
    assert!(log.contains("policy actions:delete calls rule:nobody_knows, which does not exist"), "{log}");
    // The file is followed while the service runs.
    std::fs::write(&file, rules.replace("\"jobs:create\": \"!\"\n", "")).unwrap();
    let opened = async {
        while stage.call(&demo, "POST", "/jobs/mine", job("node1")).await.status != 201 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), opened).await.expect("the changed file is read");
    stage.call(&demo, "DELETE", "/actions/a", Value::Null).await.expect(403);
}
