//! Who may do what: every operation × every kind of caller.

use crate::harness::*;
use serde_json::{Value, json};

/// An operation and the status for: reader, member, bare manager, service, admin, member of another project.
type Row = (&'static str, &'static str, fn() -> Value, [u16; 6]);

const READ: u16 = 200;
const NO: u16 = 403;

fn nothing() -> Value {
    Value::Null
}
fn action() -> Value {
    json!({"freezer_action": {"action": "backup"}})
}
fn backup() -> Value {
    json!({"container": "c", "hostname": "h", "backup_name": "b"})
}
fn client() -> Value {
    json!({"client_id": "new-node"})
}
fn central() -> Value {
    json!({"client_id": "new-central", "is_central": true})
}
fn empty() -> Value {
    json!({})
}
fn stop() -> Value {
    json!({"stop": null})
}

fn rules() -> Value {
    json!({"keep_last": 1})
}

fn slower() -> Value {
    json!({"upload_limit": 1})
}

fn session() -> Value {
    json!({"schedule": {}, "session_tag": 0})
}
fn end() -> Value {
    json!({"end": {"job_id": "j1", "result": "success"}})
}

/// The 34 operations of the contract (the root and the health check want no token), and our own.
#[rustfmt::skip]
const ROWS: [Row; 41] = [
    ("GET", "/jobs", nothing, [READ, READ, NO, READ, READ, NO]),
    ("GET", "/jobs/j1", nothing, [READ, READ, NO, READ, READ, NO]),
    ("GET", "/jobs/j1/runs", nothing, [READ, READ, NO, READ, READ, NO]),
    ("GET", "/runs", nothing, [READ, READ, NO, READ, READ, NO]),
    ("GET", "/runs/none", nothing, [404, 404, NO, 404, 404, NO]),
    ("PATCH", "/runs/none", slower, [NO, 404, NO, NO, 404, NO]),
    ("GET", "/actions", nothing, [READ, READ, NO, READ, READ, NO]),
    ("GET", "/actions/a1", nothing, [READ, READ, NO, READ, READ, NO]),
    ("GET", "/clients", nothing, [READ, READ, NO, READ, READ, NO]),
    ("GET", "/clients/node1", nothing, [READ, READ, NO, READ, READ, NO]),
    ("GET", "/backups", nothing, [READ, READ, NO, READ, READ, NO]),
    ("GET", "/backups/none", nothing, [404, 404, NO, 404, 404, NO]),
    ("GET", "/sessions", nothing, [READ, READ, NO, READ, READ, NO]),
    ("GET", "/sessions/s1", nothing, [READ, READ, NO, READ, READ, NO]),
    ("POST", "/sessions", session, [NO, 201, NO, NO, 201, NO]),
    ("POST", "/sessions/s2", session, [NO, 201, NO, NO, 201, NO]),
    ("PATCH", "/sessions/s1", empty, [NO, 200, NO, NO, 200, NO]),
    ("PUT", "/sessions/s1/jobs/j1", nothing, [NO, 204, NO, NO, 204, NO]),
    ("POST", "/sessions/s1/action", end, [NO, 202, NO, NO, 202, NO]),
    ("DELETE", "/sessions/s1/jobs/j1", nothing, [NO, 204, NO, NO, 204, NO]),
    ("DELETE", "/sessions/s1", nothing, [NO, 204, NO, NO, 204, NO]),
    ("POST", "/jobs", job_body, [NO, 201, NO, NO, 201, NO]),
    ("POST", "/jobs/j2", job_body, [NO, 201, NO, NO, 201, NO]),
    ("PATCH", "/jobs/j1", empty, [NO, 200, NO, NO, 200, NO]),
    ("POST", "/jobs/j1/event", stop, [NO, 202, NO, NO, 202, NO]),
    ("DELETE", "/jobs/j1", nothing, [NO, 204, NO, NO, 204, NO]),
    ("POST", "/actions", action, [NO, 201, NO, NO, 201, NO]),
    ("POST", "/actions/a1", action, [NO, 201, NO, NO, 201, NO]),
    ("PATCH", "/actions/a1", empty, [NO, 200, NO, NO, 200, NO]),
    ("DELETE", "/actions/a1", nothing, [NO, 204, NO, NO, 204, NO]),
    ("POST", "/clients", client, [NO, 201, NO, NO, 201, NO]),
    ("POST", "/clients", central, [NO, NO, NO, 201, 201, NO]),
    ("DELETE", "/clients/node2", nothing, [NO, 204, NO, NO, 204, NO]),
    ("POST", "/backups", backup, [NO, 201, NO, 201, 201, NO]),
    ("PATCH", "/backups/none", empty, [NO, 404, NO, 404, 404, NO]),
    ("DELETE", "/backups/none", nothing, [NO, 204, NO, 204, 204, NO]),
    ("POST", "/backups/retention-plan", rules, [READ, READ, NO, READ, READ, NO]),
    ("GET", "/quotas", nothing, [READ, READ, NO, READ, READ, NO]),
    ("GET", "/usage", nothing, [READ, READ, NO, READ, READ, NO]),
    ("PUT", "/quotas", empty, [NO, NO, NO, NO, 200, NO]),
    ("DELETE", "/quotas", nothing, [NO, NO, NO, NO, 204, NO]),
];

#[tokio::test]
async fn every_operation_for_every_caller() {
    let callers = [READER, ALICE, MANAGER, SERVICE, ADMIN, OTTO];
    let wrong = std::sync::Mutex::new(Vec::new());
    let one_column = async |column: usize, who: Who| {
        // one server each, so that what one may write does not disturb the next
        let api = Api::start().await;
        api.client(ALICE, "node1").await;
        api.call(ALICE, "POST", "/actions/a1", action()).await.expect(201);
        for path in ["/", "/healthcheck"] {
            let answer = api.send(api.request(who, "GET", path)).await;
            assert_eq!(answer.status, if path == "/" { 300 } else { 200 });
        }
        api.send(api.request(who, "GET", "/v2")).await.expect(200);
        for (method, path, body, expected) in ROWS {
            api.call(ALICE, "POST", "/jobs/j1", job_body()).await.expect(201);
            let mut member = session();
            member["jobs"] = json!({"j1": {}});
            api.call(ALICE, "POST", "/sessions/s1", member).await.expect(201);
            let answer = api.call_in(who, "p1", method, path, body()).await;
            if answer.status != expected[column] {
                wrong
                    .lock()
                    .unwrap()
                    .push(format!("{} {method} {path}: {} {}", who.user, answer.status, answer.text));
            }
            if answer.status == 403 {
                answer.expect_error(403, "Access Forbidden", "You are not allowed to access this resource");
            }
            api.call(ALICE, "POST", "/actions/a1", action()).await.expect(201);
        }
    };
    for (column, who) in callers.into_iter().enumerate() {
        one_column(column, who).await;
    }
    assert_eq!(wrong.into_inner().unwrap(), Vec::<String>::new());
}

/// Agents' own calls are tried as agents make them.
#[test]
fn no_operation_is_left_out() {
    let fits = |route: &str, path: &str| {
        let (route, path): (Vec<&str>, Vec<&str>) = (route.split('/').collect(), path.split('/').collect());
        route.len() == path.len() && route.iter().zip(&path).all(|(a, b)| a.starts_with('{') || a == b)
    };
    let is_tried =
        |method: &str, route: &str| ROWS.iter().any(|(verb, path, ..)| *verb == method && fits(route, path));
    let operations = freezer_api::routes::operations();
    let below = operations.iter().filter_map(|(method, route)| {
        Some((method.as_str(), route.strip_prefix("/v2/{project_id}")?))
            .filter(|(_, path)| !path.starts_with("/agents/"))
    });
    let missing: Vec<_> = below.filter(|(method, route)| !is_tried(method, route)).collect();
    assert!(missing.is_empty(), "write a row for {missing:?}");
}

#[tokio::test]
async fn refusals_come_before_anything_is_read() {
    let api = Api::start().await;
    let request = api.request(READER, "POST", "/v2/p1/jobs").body("{not json");
    api.send(request).await.expect(403);
    api.call(OTTO, "GET", "/clients", Value::Null).await.expect(200);
    api.call_in(OTTO, "p1", "GET", "/jobs?limit=x", Value::Null).await.expect(403);
}

#[tokio::test]
async fn an_admin_writes_into_the_paths_project_under_their_own_name() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.call_in(ADMIN, "p1", "POST", "/jobs/j1", job_body()).await.expect(201);
    let job = api.get(ALICE, "/jobs/j1").await.expect(200).json();
    assert_eq!((job["project_id"].as_str(), job["user_id"].as_str()), (Some("p1"), Some("root")));
}

#[tokio::test]
async fn roles_are_compared_in_lower_case() {
    let api = Api::start().await;
    let loud = Who { roles: "Member,READER", ..ALICE };
    api.client(loud, "node1").await;
    api.call(loud, "POST", "/jobs/j1", job_body()).await.expect(201);
    api.get(loud, "/jobs").await.expect(200);
    let admin = Who { roles: "ADMIN", ..OTTO };
    api.call_in(admin, "p1", "GET", "/jobs/j1", Value::Null).await.expect(200);
    api.call(Who { roles: "members", ..ALICE }, "GET", "/jobs", Value::Null).await.expect(403);
}

/// The rules of the contract by their defaults (§3): operators' files name them.
#[rustfmt::skip]
const DEFAULTS: [(&str, &[&str]); 11] = [
    ("role:admin", &["context_is_admin"]),
    ("role:member and project_id:%(project_id)s", &["project_member"]),
    ("role:reader and project_id:%(project_id)s", &["project_reader"]),
    ("role:admin or role:service", &["admin_or_service"]),
    ("rule:context_is_admin or rule:project_member", &["admin_or_owner"]),
    ("rule:admin_or_service or rule:project_member", &["admin_or_owner_or_service"]),
    ("rule:admin_or_owner_or_service or rule:project_reader", &["admin_or_reader_or_service"]),
    ("rule:admin_or_reader_or_service", &["actions:get", "actions:get_all", "backups:get", "backups:get_all", "clients:get",
        "clients:get_all", "jobs:get", "jobs:get_all", "sessions:get", "sessions:get_all"]),
    ("rule:admin_or_owner_or_service", &["backups:create", "backups:update", "backups:delete"]),
    ("rule:admin_or_owner", &["actions:create", "actions:update", "actions:replace", "actions:delete", "clients:create",
        "clients:delete", "jobs:create", "jobs:update", "jobs:delete", "jobs:event:create", "sessions:create", "sessions:update",
        "sessions:replace", "sessions:delete", "sessions:action:create", "sessions:job:add", "sessions:job:remove"]),
    ("rule:admin_or_service", &["clients:create_central", "jobs:get_all_projects"]),
];

#[test]
fn names_and_defaults_are_the_contracts() {
    let sample = freezer_api::policy::sample();
    for (default, rules) in DEFAULTS {
        for rule in rules {
            assert!(sample.contains(&format!("#\"{rule}\": \"{default}\"\n")), "{rule}");
        }
    }
}

/// What each rule closes, as rows above.
#[rustfmt::skip]
const GUARDED: [(&str, &[(&str, &str)]); 38] = [
    ("actions:get", &[("GET", "/actions/a1")]),
    ("actions:get_all", &[("GET", "/actions")]),
    ("actions:create", &[("POST", "/actions")]),
    ("actions:update", &[("PATCH", "/actions/a1")]),
    ("actions:replace", &[("POST", "/actions/a1")]),
    ("actions:delete", &[("DELETE", "/actions/a1")]),
    ("backups:get", &[("GET", "/backups/none")]),
    ("backups:get_all", &[("GET", "/backups")]),
    ("backups:create", &[("POST", "/backups")]),
    ("backups:update", &[("PATCH", "/backups/none")]),
    ("backups:delete", &[("DELETE", "/backups/none")]),
    ("backups:plan_retention", &[("POST", "/backups/retention-plan")]),
    ("clients:get", &[("GET", "/clients/node1")]),
    ("clients:get_all", &[("GET", "/clients")]),
    ("clients:delete", &[("DELETE", "/clients/node2")]),
    ("jobs:get", &[("GET", "/jobs/j1")]),
    ("jobs:get_all", &[("GET", "/jobs")]),
    ("jobs:create", &[("POST", "/jobs"), ("POST", "/jobs/j2")]),
    ("jobs:update", &[("PATCH", "/jobs/j1")]),
    ("jobs:delete", &[("DELETE", "/jobs/j1")]),
    ("jobs:event:create", &[("POST", "/jobs/j1/event")]),
    ("sessions:get", &[("GET", "/sessions/s1")]),
    ("sessions:get_all", &[("GET", "/sessions")]),
    ("sessions:create", &[("POST", "/sessions")]),
    ("sessions:update", &[("PATCH", "/sessions/s1")]),
    ("sessions:replace", &[("POST", "/sessions/s2")]),
    ("sessions:delete", &[("DELETE", "/sessions/s1")]),
    ("sessions:action:create", &[("POST", "/sessions/s1/action")]),
    ("sessions:job:add", &[("PUT", "/sessions/s1/jobs/j1")]),
    ("sessions:job:remove", &[("DELETE", "/sessions/s1/jobs/j1")]),
    ("runs:get", &[("GET", "/runs/none")]),
    ("runs:get_all", &[("GET", "/runs"), ("GET", "/jobs/j1/runs")]),
    ("runs:update", &[("PATCH", "/runs/none")]),
    ("quotas:get", &[("GET", "/quotas")]),
    ("quotas:update", &[("PUT", "/quotas")]),
    ("quotas:delete", &[("DELETE", "/quotas")]),
    ("usage:get", &[("GET", "/usage")]),
    ("agents:link", &[]),
];

/// An operator closes one rule after the other, also to administrators: each closes its own operations and no others.
#[tokio::test]
async fn each_rule_closes_its_own_operations() {
    let noun = |path: &'static str| path.split('/').nth(1).unwrap();
    let ground = Api::start().await;
    ground.client(ALICE, "node1").await;
    ground.client(OTTO, "node1").await;
    ground.job(OTTO, json!({"job_id": "ottos"})).await;
    for (rule, guarded) in GUARDED {
        let api = Api::governed(&ground.db, &format!("\"{rule}\": \"!\"\n")).await;
        if rule == "agents:link" {
            api.call(ALICE, "POST", "/agents/node1/work", json!({})).await.expect(403);
            continue;
        }
        for (method, path, body, _) in ROWS {
            if !guarded.iter().any(|known| noun(known.1) == noun(path)) {
                continue;
            }
            let answer = api.call_in(ADMIN, "p1", method, path, body()).await;
            let is_guarded = guarded.contains(&(method, path));
            assert_eq!(answer.status == 403, is_guarded, "{rule}: {method} {path}: {}", answer.status);
        }
    }
    // Two ways to one path, told apart by what is sent.
    for (rule, ordinary, of_all) in [("clients:create", 403, 201), ("clients:create_central", 201, 403)] {
        let api = Api::governed(&ground.db, &format!("\"{rule}\": \"!\"\n")).await;
        api.call_in(ADMIN, "p1", "POST", "/clients", client()).await.expect(ordinary);
        api.call_in(ADMIN, "p1", "POST", "/clients", central()).await.expect(of_all);
    }
    // One lets go what another login's agent speaks for, and closes no other deletion.
    let theirs =
        |id: &str| ground.db.transaction(|tx| tx.clients().bind(&"p1".into(), &id.into(), "")).unwrap();
    let api = Api::governed(&ground.db, "\"clients:release\": \"!\"\n").await;
    for id in ["anns", "unbound"] {
        ground.client(ANN, id).await;
    }
    theirs("anns");
    api.call_in(ADMIN, "p1", "DELETE", "/clients/anns", Value::Null).await.expect(403);
    api.call_in(ADMIN, "p1", "DELETE", "/clients/unbound", Value::Null).await.expect(204);
    api.call(ALICE, "DELETE", "/clients/anns", Value::Null).await.expect(403);
    api.call(ANN, "DELETE", "/clients/anns", Value::Null).await.expect(204);
    ground.client(ANN, "anns").await;
    theirs("anns");
    ground.call(ALICE, "DELETE", "/clients/anns", Value::Null).await.expect(403);
    ground.call_in(ADMIN, "p1", "DELETE", "/clients/anns", Value::Null).await.expect(204);
    // This one opens more, and closes nothing.
    let shown = async |api: &Api| {
        let listed = api.call(ADMIN, "GET", "/jobs?all_projects=True&limit=100", Value::Null).await;
        let is_listed = listed.expect(200).text.contains("ottos");
        (is_listed, api.call(ADMIN, "GET", "/jobs/ottos", Value::Null).await.status)
    };
    assert_eq!(shown(&ground).await, (true, 200));
    let api = Api::governed(&ground.db, "\"jobs:get_all_projects\": \"!\"\n").await;
    assert_eq!(shown(&api).await, (false, 404));
}
