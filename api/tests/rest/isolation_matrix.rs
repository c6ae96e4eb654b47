//! Every operation of the service, tried by a neighbour against somebody's rows from inside the neighbour's own project: with
//! the victim's ids in paths, bodies and searches. Nothing of the victim is seen or changed. A new route fails the test until
//! its attack is written here.

use crate::agents::Bench;
use crate::harness::*;
use crate::runs::run;
use freezer_database::{JobFilter, Page, Scope};
use freezer_model::{Link, RunState};
use serde_json::{Map, Value, json};

/// Stands in everything of the victim, and in no answer to the neighbour.
const SECRET: &str = "of-the-victim";

/// That of the victim's client "vown", whose name the neighbour does not have.
const UUID: &str = "5fa1f2ba-0000-4000-8000-00000000abcd";

/// What a neighbour may get for an attack.
enum Verdict {
    /// One of these, and the caller sees or changes only the own project.
    Status(&'static [u16]),
    /// Relayed to a conductor, as the neighbour's own agent: what it says about foreign runs is refused there.
    RelayedAsOtto,
}
use Verdict::{RelayedAsOtto, Status};

struct Attack {
    path: String,
    body: Value,
    verdict: Verdict,
}

fn attack(path: &str, body: Value, statuses: &'static [u16]) -> Attack {
    Attack { path: path.to_owned(), body, verdict: Status(statuses) }
}

/// Rows of the victim (p1) under ids that the neighbour (p2) does not have.
async fn victim(api: &Api) -> String {
    let marked = |more: Value| {
        let mut body = json!({"description": SECRET});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for id in ["vhost", "vown"] {
        api.call(ALICE, "POST", "/clients", marked(json!({"client_id": id}))).await.expect(201);
    }
    api.db
        .transaction(|tx| {
            let mut client = tx.clients().get(&"p1".into(), &"vown".into())?.unwrap();
            client.uuid = UUID.to_owned();
            tx.clients().save(&client)
        })
        .unwrap();
    let action = json!({"freezer_action": {"action": "backup", "backup_name": SECRET}});
    api.call(ALICE, "POST", "/actions/va", action).await.expect(201);
    let job = marked(json!({"client_id": "vhost", "job_actions": [{"action_id": "va"}]}));
    api.call(ALICE, "POST", "/jobs/vj", job).await.expect(201);
    let session = marked(json!({"schedule": {}, "session_tag": 0}));
    api.call(ALICE, "POST", "/sessions/vs", session).await.expect(201);
    api.call(ALICE, "PUT", "/sessions/vs/jobs/vj", Value::Null).await.expect(204);
    let limits = json!({"jobs": 4242, "runs": 4242, "stored_bytes": 424_242});
    api.call_in(ADMIN, "p1", "PUT", "/quotas", limits).await.expect(200);
    let mut order = run("vr", "p1", "vj", RunState::Dispatched, NOW);
    order.error = Some(SECRET.to_owned());
    order.client_id = "vhost".into();
    api.db.transaction(|tx| tx.runs().insert(&order)).unwrap();
    let record = json!({"container": SECRET, "hostname": "h", "backup_name": "b", "job_id": "vj"});
    let backup = api.call(ALICE, "POST", "/backups", record).await.expect(201).json();
    backup["backup_id"].as_str().unwrap().to_owned()
}

/// The neighbour's own rows; his agent has the name of the victim's host.
async fn neighbour(api: &Api) {
    for id in ["ohost", "vhost"] {
        api.client(OTTO, id).await;
    }
    api.db
        .transaction(|tx| {
            let mut client = tx.clients().get(&"p2".into(), &"vhost".into())?.unwrap();
            client.link = Link::Http;
            tx.clients().save(&client)
        })
        .unwrap();
    api.job(OTTO, json!({"job_id": "oj", "client_id": "ohost"})).await;
    api.call(OTTO, "POST", "/sessions/os", json!({"schedule": {}, "session_tag": 0})).await.expect(201);
}

/// All that belongs to the victim, also what no answer shows.
async fn everything(api: &Api) -> Value {
    let mut all = Map::new();
    for list in ["jobs", "actions", "sessions", "clients", "backups", "runs"] {
        all.insert(list.to_owned(), api.get(ALICE, &format!("/{list}?limit=1000")).await.expect(200).json());
    }
    for one in ["quotas", "usage"] {
        all.insert(one.to_owned(), api.get(ALICE, &format!("/{one}")).await.expect(200).json());
    }
    let job = api.db.read(|tx| tx.jobs().get(&"p1".into(), &"vj".into())).unwrap().unwrap();
    all.insert("trust".to_owned(), json!(job.credentials.map(|trust| trust.trust_id)));
    Value::Object(all)
}

/// Fields by which a row would go to, or act for, the victim.
fn moved(more: Value) -> Value {
    let mut body = json!({"project_id": "p1", "user_id": "alice"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn lists(path: &str) -> Vec<Attack> {
    let searches = [
        Value::Null,
        json!({"match": [{"project_id": "p1"}]}),
        json!({"match": [{"job_id": "vj"}]}),
        json!({"match": [{"client_id": "vhost"}], "match_not": [{"project_id": "p2"}]}),
        json!({"match": [{"_all": SECRET}]}),
    ];
    let mut attacks: Vec<Attack> = Vec::new();
    for search in searches {
        for query in ["", "?limit=1000", "?all_projects=true", "?all_projects=true&offset=0"] {
            attacks.push(attack(&format!("{path}{query}"), search.clone(), &[200]));
        }
    }
    attacks
}

fn jobs(method: &str, path: &str) -> Vec<Attack> {
    let job = |more: Value| {
        let mut body = job_body();
        body["client_id"] = json!("ohost");
        body.as_object_mut().unwrap().extend(moved(more).as_object().unwrap().clone());
        body
    };
    let credentials = json!({"user_credentials": {"trust_id": "trust-of-alice", "trustor_user_id": "alice"}});
    match (method, path) {
        ("GET", "/jobs") => lists(path),
        ("GET", "/jobs/{job_id}/runs") => vec![attack("/jobs/vj/runs", Value::Null, &[404])],
        ("POST", "/jobs") => vec![
            attack("/jobs", job(json!({"job_actions": [{"action_id": "va"}]})), &[422]),
            attack("/jobs", job(json!({"session_id": "vs", "session_tag": 1})), &[201, 422]),
            attack("/jobs", job(credentials), &[201]),
            attack("/jobs", job(json!({"job_id": "vj"})), &[201]),
            attack("/jobs", job(json!({"client_id": "vown"})), &[422]),
        ],
        ("GET", "/jobs/{job_id}") => vec![attack("/jobs/vj", Value::Null, &[404])],
        ("PATCH", "/jobs/{job_id}") => vec![
            attack("/jobs/vj", moved(json!({"description": "x", "job_actions": []})), &[404]),
            attack("/jobs/oj", moved(json!({"job_actions": [{"action_id": "va"}]})), &[422]),
            attack("/jobs/oj", moved(json!({"session_id": "vs", "session_tag": 9})), &[200, 422]),
            attack("/jobs/oj", moved(credentials), &[200]),
            attack("/jobs/oj", moved(json!({"client_id": "vown"})), &[422]),
        ],
        ("POST", "/jobs/{job_id}") => vec![
            attack("/jobs/vj2", job(json!({"job_actions": [{"action_id": "va"}]})), &[422]),
            attack("/jobs/vj", job(json!({})), &[201]),
            attack("/jobs/oj", job(credentials), &[201]),
            attack("/jobs/oj", job(json!({"client_id": "vown"})), &[422]),
        ],
        ("DELETE", "/jobs/{job_id}") => vec![attack("/jobs/vj", Value::Null, &[204])],
        ("POST", "/jobs/{job_id}/event") => ["start", "stop", "abort"]
            .map(|event| attack("/jobs/vj/event", json!({ event: null }), &[404]))
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

fn sessions(method: &str, path: &str) -> Vec<Attack> {
    let start = json!({"start": {"job_id": "vj", "current_tag": 0}});
    let end = json!({"end": {"job_id": "vj", "current_tag": 0, "result": "fail"}});
    let members = json!({"jobs": {"vj": {"status": "x"}}});
    match (method, path) {
        ("GET", "/sessions") => lists("/sessions"),
        ("POST", "/sessions") => {
            vec![attack("/sessions", moved(json!({"schedule": {}, "session_id": "vs"})), &[201, 400])]
        }
        ("GET", "/sessions/{session_id}") => vec![attack("/sessions/vs", Value::Null, &[404])],
        ("PATCH", "/sessions/{session_id}") => vec![
            attack("/sessions/vs", moved(json!({"session_tag": 9})), &[404]),
            attack("/sessions/os", moved(members), &[422]),
            // What a member says of its client is a copy for readers: nothing is looked up by it.
            attack("/sessions/os", moved(json!({"jobs": {"oj": {"client_id": "vown"}}})), &[200]),
        ],
        ("POST", "/sessions/{session_id}") => {
            vec![attack("/sessions/vs", moved(json!({"schedule": {}, "session_tag": 7})), &[201])]
        }
        ("DELETE", "/sessions/{session_id}") => vec![attack("/sessions/vs", Value::Null, &[204])],
        ("POST", "/sessions/{session_id}/action") => vec![
            attack("/sessions/vs/action", start.clone(), &[404]),
            attack("/sessions/vs/action", end.clone(), &[404]),
            attack("/sessions/os/action", start, &[202, 400]),
            attack("/sessions/os/action", end, &[202, 400]),
        ],
        ("PUT", "/sessions/{session_id}/jobs/{job_id}") => vec![
            attack("/sessions/vs/jobs/vj", Value::Null, &[404]),
            attack("/sessions/vs/jobs/oj", Value::Null, &[404]),
            attack("/sessions/os/jobs/vj", Value::Null, &[404]),
        ],
        ("DELETE", "/sessions/{session_id}/jobs/{job_id}") => vec![
            attack("/sessions/vs/jobs/vj", Value::Null, &[204]),
            attack("/sessions/os/jobs/vj", Value::Null, &[204]),
        ],
        _ => Vec::new(),
    }
}

fn agents(method: &str, path: &str) -> Vec<Attack> {
    let step = json!({"run_id": "vr", "epoch": 1, "reporter": {"project_id": "p1", "client_id": "vhost"}});
    let with = |more: Value| {
        let mut body = step.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let hello = |project: &str, client: &str| {
        json!({"project_id": project, "client_id": client, "hostname": "h", "agent_version": "1", "is_central": false,
            "held": [{"run_id": "vr", "epoch": 1}],
            "capabilities": {"actions": [], "modes": [], "storages": [], "engines": []}})
    };
    let relayed = |verb: &str, body: Value| {
        vec![Attack { path: format!("/agents/ohost/{verb}"), body, verdict: RelayedAsOtto }]
    };
    match (method, path.rsplit('/').next().unwrap()) {
        ("POST", verb @ ("hello" | "heartbeat")) => {
            let path = format!("/agents/ohost/{verb}");
            let mut attacks = vec![
                attack(&path, hello("p1", "ohost"), &[403]),
                attack(&path, hello("p2", "vhost"), &[403]),
                attack(&path, hello("p1", "vhost"), &[403]),
            ];
            attacks.extend(relayed(verb, hello("p2", "ohost")));
            attacks
        }
        ("POST", "started") => relayed("started", with(json!({"pid": 1}))),
        ("POST", "progress") => relayed("progress", with(json!({"progress": {"phase": "read"}}))),
        ("POST", "finished") => {
            relayed("finished", with(json!({"progress": {}, "result": {}, "outcome": "success"})))
        }
        // His own agent of that name has no orders; the victim's order is not his.
        ("POST", "work") => vec![attack("/agents/vhost/work", json!({}), &[200])],
        _ => Vec::new(),
    }
}

fn others(method: &str, path: &str, backup: &str) -> Vec<Attack> {
    let action = json!({"freezer_action": {"action": "exec", "command": "id"}});
    let record =
        json!({"container": "c", "hostname": "h", "backup_name": "b", "job_id": "vj", "backup_id": backup});
    let backup = format!("/backups/{backup}");
    match (method, path) {
        ("GET", "/clients") => {
            let mut attacks = lists(path);
            attacks.push(attack(path, json!({"match": [{"uuid": UUID}]}), &[200]));
            attacks
        }
        ("GET", "/runs" | "/actions" | "/backups") => lists(path),
        ("GET", "/runs/{run_id}") => vec![attack("/runs/vr", Value::Null, &[404])],
        ("PATCH", "/runs/{run_id}") => vec![attack("/runs/vr", json!({"upload_limit": 1}), &[404])],
        // His own numbers; the victim's are compared afterwards.
        ("GET", "/quotas" | "/usage") => vec![attack(path, Value::Null, &[200])],
        ("PUT", "/quotas") => vec![attack(path, json!({"jobs": -1}), &[403])],
        ("DELETE", "/quotas") => vec![attack(path, Value::Null, &[403])],
        ("POST", "/actions") => vec![
            attack("/actions", moved(action.clone()), &[201]),
            attack(
                "/actions",
                moved(json!({"action_id": "va", "freezer_action": {"action": "info"}})),
                &[201],
            ),
        ],
        ("GET", "/actions/{action_id}") => vec![attack("/actions/va", Value::Null, &[404])],
        ("PATCH", "/actions/{action_id}") => vec![attack("/actions/va", moved(action), &[404])],
        ("POST", "/actions/{action_id}") => vec![attack("/actions/va", moved(action), &[201])],
        ("DELETE", "/actions/{action_id}") => vec![attack("/actions/va", Value::Null, &[204])],
        ("POST", "/clients") => vec![
            attack("/clients", moved(json!({"client_id": "vhost", "supported_modes": []})), &[201]),
            attack("/clients", moved(json!({"client_id": "vhost", "is_central": true})), &[403]),
            attack("/clients", moved(json!({"client_id": "new", "uuid": UUID})), &[201]),
        ],
        ("GET", "/clients/{client_id}") => vec![attack("/clients/vhost", Value::Null, &[200])],
        ("DELETE", "/clients/{client_id}") => vec![attack("/clients/vhost", Value::Null, &[204])],
        ("POST", "/backups") => vec![attack("/backups", moved(record), &[201])],
        // Of his own records; there are none.
        ("POST", "/backups/retention-plan") => vec![
            attack(path, json!({"keep_last": 1, "hostname": "vhost"}), &[200]),
            attack(path, json!({"keep_last": 1, "job_id": "vj"}), &[404]),
            attack(path, moved(json!({"keep_last": 1})), &[400]),
        ],
        ("GET", "/backups/{backup_id}") => vec![attack(&backup, Value::Null, &[404])],
        ("PATCH", "/backups/{backup_id}") => {
            let patch = json!({"status": "deleted", "backup_metadata": {"project_id": "p2"}});
            vec![attack(&backup, patch, &[404])]
        }
        ("DELETE", "/backups/{backup_id}") => vec![attack(&backup, Value::Null, &[204])],
        _ => Vec::new(),
    }
}

/// Against this operation; `path` is as in the table of routes, below the project.
fn attacks(method: &str, path: &str, backup: &str) -> Vec<Attack> {
    match path.split('/').nth(1) {
        Some("jobs") => jobs(method, path),
        Some("sessions") => sessions(method, path),
        Some("agents") => agents(method, path),
        _ => others(method, path, backup),
    }
}

#[tokio::test]
async fn every_operation_is_tried_against_a_neighbours_rows() {
    try_every_operation(async || Bench::start().await).await;
}

/// What is one id and what are two, MariaDB decides in its own way.
#[cfg(feature = "mysql")]
#[tokio::test]
async fn every_operation_is_tried_on_mariadb() {
    let place = OnMariaDb::create();
    try_every_operation(async || {
        place.empty();
        Bench::on(Some(place.db.clone())).await
    })
    .await;
}

async fn try_every_operation(ground: impl AsyncFn() -> Bench) {
    let mut unchanged = None;
    for (method, route) in freezer_api::routes::operations() {
        let Some(path) = route.strip_prefix("/v2/{project_id}") else { continue };
        // Each on its own ground: some attacks give the neighbour rows of the victim's names. Reading gives none.
        let (mut bench, backup) = match unchanged.take() {
            Some(left) => left,
            None => {
                let bench = ground().await;
                let backup = victim(&bench.api).await;
                neighbour(&bench.api).await;
                (bench, backup)
            }
        };
        let attacks = attacks(method.as_str(), path, &backup);
        assert!(!attacks.is_empty(), "no attack on {method} {route}: write one");
        let before = everything(&bench.api).await;
        for Attack { path, body, verdict } in attacks {
            let answer = bench.api.call(OTTO, method.as_str(), &path, body.clone()).await;
            let said = format!("{method} {path} {body}: {} {}", answer.status, answer.text);
            match verdict {
                Status(good) => assert!(good.contains(&answer.status), "{said}"),
                RelayedAsOtto => {
                    assert_eq!(answer.status, 200, "{said}");
                    let (_, told) = bench.asked.recv().await.unwrap();
                    let speaker = told.get("reporter").unwrap_or(&told);
                    assert_eq!(
                        (&speaker["project_id"], &speaker["client_id"]),
                        (&json!("p2"), &json!("ohost"))
                    );
                }
            }
            for mark in [SECRET, "4242", "vr\"", "alice", "\"p1\""] {
                assert!(!answer.text.contains(mark), "{mark} is told: {said}");
            }
            assert!(bench.asked.try_recv().is_err(), "a conductor heard more: {said}");
        }
        assert_eq!(everything(&bench.api).await, before, "{method} {route}");
        for job in
            bench.api.db.read(|tx| tx.jobs().list(Scope::All, &JobFilter::default(), None, all())).unwrap()
        {
            assert!(job.credentials.is_none(), "{method} {route}: somebody's trust is in {}", job.job_id);
        }
        if method.as_str() == "GET" {
            unchanged = Some((bench, backup));
        }
    }
}

fn all() -> Page {
    Page { offset: 0, limit: Some(1000) }
}

/// From outside: below the victim's project, whatever the neighbour may do at home.
#[tokio::test]
async fn no_operation_is_open_below_a_foreign_project() {
    let bench = Bench::start().await;
    let backup = victim(&bench.api).await;
    neighbour(&bench.api).await;
    let before = everything(&bench.api).await;
    let manager = Who { user: "max", project: "p2", roles: "manager,member,reader" };
    for (method, route) in freezer_api::routes::operations() {
        let Some(path) = route.strip_prefix("/v2/{project_id}") else { continue };
        for Attack { path, body, .. } in attacks(method.as_str(), path, &backup) {
            for who in [OTTO, manager] {
                let answer = bench.api.call_in(who, "p1", method.as_str(), &path, body.clone()).await;
                assert_eq!(answer.status, 403, "{} {method} {path} {body}: {}", who.user, answer.text);
            }
        }
    }
    assert_eq!(everything(&bench.api).await, before);
}
