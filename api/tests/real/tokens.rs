//! Tokens that are no good, made by a real Keystone: expired, revoked, of a neighbour, without a project, and garbage.

use crate::stage::{Person, Stage};
use crate::tenant::{Tenant, User};
use freezer_testkit::services;
use keystone::{ApplicationCredential, Auth, Domain, Named, Scope, Session, SessionOptions};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lives of tokens that shall expire: the shortest that lets one be used before. A busy machine needs a longer one.
const LIVES_SECS: [u64; 3] = [8, 30, 90];
/// Longer than any of them, shorter than a validation is remembered (300 s).
const PATIENCE: Duration = Duration::from_secs(200);

async fn jobs(stage: &Stage, who: &Person, token: &str) -> crate::stage::Answer {
    stage.ask(Some(token), "GET", &format!("/v2/{}/jobs", who.project_id), Value::Null).await
}

/// Keystone gives a token no longer life than the application credential it was given for.
async fn dying_credential(user: &User, life_secs: u64) -> Auth {
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + life_secs;
    let end = chrono::DateTime::from_timestamp(i64::try_from(end).unwrap(), 0).unwrap();
    let body = json!({"application_credential": {"name": freezer_testkit::random_name(),
        "expires_at": end.format("%Y-%m-%dT%H:%M:%S").to_string()}});
    let path = format!("/users/{}/application_credentials", user.person.user_id);
    let made = user.session.request(Method::POST, "identity", &path).json(&body).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    let text = |key: &str| made["application_credential"][key].as_str().unwrap().to_owned();
    let credential = ApplicationCredential::Id(text("id"));
    Auth::ApplicationCredential { credential, secret: text("secret").into() }
}

/// None when the credential has ended already.
async fn try_token(auth: Auth) -> Option<String> {
    let session = Session::new(SessionOptions::new(services::keystone_url(), auth)).unwrap();
    session.token().await.ok().map(|token| token.expose().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_refused_also_when_it_was_good_before() {
    let stage = Stage::start();
    Tenant::with(async |tenant| {
        let ann = tenant.ann().await;
        let mut tokens = None;
        for life_secs in LIVES_SECS {
            let auth = dying_credential(&ann, life_secs).await;
            let (Some(seen), Some(unseen)) = (try_token(auth.clone()).await, try_token(auth).await) else {
                continue;
            };
            if jobs(&stage, &ann.person, &seen).await.status == 200 {
                tokens = Some((seen, unseen));
                break;
            }
        }
        let (seen, unseen) = tokens.expect("a token is good before it expires");
        let refused = tokio::time::timeout(PATIENCE, async {
            loop {
                let answer = jobs(&stage, &ann.person, &seen).await;
                if answer.status != 200 {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let refused = refused.await.expect("an expired token is still believed").expect(401);
        assert_eq!(refused.json()["error"]["code"], 401);
        assert!(!refused.text.contains(&seen));
        jobs(&stage, &ann.person, &unseen).await.expect(401);
        jobs(&stage, &ann.person, &ann.person.token).await.expect(200);
    })
    .await;
}

async fn revoke(user: &User, token: &str) {
    let request = user.session.request(Method::DELETE, "identity", "/auth/tokens");
    let status = request.header("X-Subject-Token", token).send().await.unwrap().status();
    assert_eq!(status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_refused() {
    // Nothing is remembered: by default a token that was seen is believed for token_cache_time after its revocation.
    let stage = Stage::set("token_cache_time = -1\n");
    Tenant::with(async |tenant| {
        let (ann, bob) = (tenant.ann().await, tenant.bob().await);
        // Her own, by another token of hers.
        let hand = tenant.ann().await;
        let unseen = tenant.ann().await.person.token;
        jobs(&stage, &ann.person, &ann.person.token).await.expect(200);
        for token in [&ann.person.token, &unseen] {
            revoke(&hand, token).await;
            jobs(&stage, &ann.person, token).await.expect(401);
        }
        jobs(&stage, &ann.person, &bob.person.token).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_refused_and_never_an_error_of_ours() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    let mut flipped = demo.token.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let cut = &demo.token[..demo.token.len() - 5];
    for garbage in [
        "",
        " ",
        "x",
        "null",
        "../../users",
        "?nocatalog",
        "{\"auth\": 1}",
        "gAAAAA",
        "' OR 1=1 --",
        "%00%0d%0aX-Roles: admin",
        &"gAAAAABk".repeat(200),
        &"x".repeat(60_000),
        cut,
        std::str::from_utf8(&flipped).unwrap(),
        &format!("{0},{0}", demo.token),
        &format!("{} x", demo.token),
    ] {
        let answer = jobs(&stage, &demo, garbage).await;
        assert!(answer.status == 401 || answer.status == 400, "{garbage}: {} {}", answer.status, answer.text);
    }
    // Headers that only the middleware may set are not believed.
    let forged = reqwest::Client::new()
        .get(format!("{}/v2/{}/jobs", stage.base, demo.project_id))
        .header("X-Identity-Status", "Confirmed")
        .header("X-User-Id", &demo.user_id)
        .header("X-Project-Id", &demo.project_id)
        .header("X-Roles", "admin,member");
    assert_eq!(forged.send().await.unwrap().status(), 401);
    jobs(&stage, &demo, &demo.token).await.expect(200);
}

/// A token of the cloud's administrator for the system as a whole.
async fn system_token() -> String {
    let domain = Domain::Id("default".to_owned());
    let user = Named::Name { name: "admin".to_owned(), domain };
    let auth = Auth::Password { user, password: services::password().into(), scope: Scope::System };
    try_token(auth).await.unwrap()
}

/// By default rules are for tokens of projects alone. Where an operator lets the scope be, a token without a project passes on its
/// roles, and on nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_domain_and_of_the_system_pass_on_their_roles_alone() {
    let stage = Stage::set("[oslo_policy]\nenforce_scope = false\n");
    let demo = stage.person("demo", "demo").await;
    let ask = async |token: &str, method: &str, path: &str, body: Value| {
        stage.ask(Some(token), method, &format!("/v2/{}{path}", demo.project_id), body).await
    };
    Tenant::with(async |tenant| {
        for (number, token) in [system_token().await, tenant.domain_token().await].iter().enumerate() {
            ask(token, "GET", "/jobs", Value::Null).await.expect(200);
            ask(token, "GET", "/jobs?all_projects=True", Value::Null).await.expect(200);
            let path = format!("/actions/a{number}");
            let action = json!({"freezer_action": {"action": "backup"}});
            ask(token, "POST", &path, action).await.expect(201);
            let made = stage.call(&demo, "GET", &path, Value::Null).await.expect(200).json();
            assert_eq!(made["project_id"], json!(demo.project_id), "{made}");
            assert_ne!(made["user_id"], json!(demo.user_id), "{made}");
            // An agent speaks for a project.
            ask(token, "POST", "/agents/node1/hello", json!({})).await.expect(403);
            ask(token, "POST", "/agents/node1/work", json!({})).await.expect(403);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbours_token_opens_no_operation_and_one_without_a_project_none_at_all() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    let other = stage.person("other", "other").await;
    let unscoped = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "demo",
        "domain": {"name": "Default"}, "password": services::password()}}}, "scope": "unscoped"}});
    let answer = reqwest::Client::new()
        .post(format!("{}/auth/tokens", services::keystone_url()))
        .header("Content-Type", "application/json")
        .body(unscoped.to_string());
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let unscoped = answer.headers()["X-Subject-Token"].to_str().unwrap().to_owned();
    // Of the administrator; but rules are for projects' tokens.
    let system = system_token().await;
    for (method, route) in freezer_api::routes::operations() {
        let Some(path) = route.strip_prefix("/v2/{project_id}") else { continue };
        let path = format!("/v2/{}{}", demo.project_id, path.replace(['{', '}'], ""));
        for (whose, token) in [("other", &other.token), ("unscoped", &unscoped), ("system", &system)] {
            for body in [Value::Null, json!({})] {
                let answer = stage.ask(Some(token), method.as_str(), &path, body).await;
                assert_eq!(answer.status, 403, "{whose} {method} {path}: {}", answer.text);
            }
        }
        for method in [method.as_str(), "OPTIONS"] {
            let answer = stage.ask(None, method, &path, Value::Null).await;
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text);
        }
    }
    a_service_lends_nobody_its_roles(&stage, &demo, &other).await;
}

/// A service that passes a user's token on sends its own with it. What the user may do stays as it is.
async fn a_service_lends_nobody_its_roles(stage: &Stage, demo: &Person, other: &Person) {
    let service = stage.person("freezer", "service").await;
    let central = json!({"client_id": "central", "is_central": true});
    let record = json!({"container": "c", "hostname": "h", "backup_name": "b"});
    for (method, project, path, body, status) in [
        ("GET", &demo.project_id, "/jobs", None, 200_u16),
        ("POST", &demo.project_id, "/clients", Some(&central), 403),
        ("GET", &other.project_id, "/jobs", None, 403),
        ("POST", &other.project_id, "/backups", Some(&record), 403),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = reqwest::Client::new()
            .request(method, format!("{}/v2/{project}{path}", stage.base))
            .header("X-Auth-Token", &demo.token)
            .header("X-Service-Token", &service.token);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{project} {path}");
    }
}
