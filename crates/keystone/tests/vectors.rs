//! What keystonemiddleware 13.0.1 did with 42 requests, replayed: same answers, same identity, same questions to
//! Keystone. Where upstream is not to be copied, the test says why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod stand_in;

use actix_web::http::Method;
use actix_web::{App, HttpMessage, HttpRequest, HttpResponse, test, web};
use keystone::{AuthToken, AuthTokenConfig, Identity, TokenValidator};
use serde_json::{Map, Value, json};
use stand_in::{Fault, StandIn, fault};
use std::sync::Mutex;

const VECTORS: &str = include_str!("vectors/keystonemiddleware-13.0.1.json");

#[actix_web::test]
async fn every_captured_scenario() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let scenarios = vectors["scenarios"].as_array().unwrap();
    assert_eq!(scenarios.len(), 42);
    for scenario in scenarios {
        replay(scenario).await;
    }
}

async fn replay(scenario: &Value) {
    let name = scenario["name"].as_str().unwrap();
    let keystone = StandIn::start().await;
    set_mood(&keystone, name).await;
    let validator = TokenValidator::new(config(&keystone, &scenario["options"])).unwrap();
    let (seen, answer) = call(AuthToken::new(validator), scenario, name).await;
    let asked = keystone.take_requests();
    keystone.stop().await;

    let expected = &scenario["result"];
    if name == "access rules: without a catalog" {
        // Upstream fails with KeyError (500). The catalogue is fetched for such tokens instead.
        assert_eq!(answer.status, 200, "{name}");
        let validations: Vec<_> = asked.iter().skip(2).map(String::as_str).collect();
        assert_eq!(validations, ["GET /v3/auth/tokens?nocatalog", "GET /v3/auth/tokens"], "{name}");
        return;
    }
    let status: u16 = expected["status"].as_str().unwrap()[..3].parse().unwrap();
    assert_eq!(answer.status, status, "{name}");
    assert_eq!(answer.body, expected["body"].as_str().unwrap(), "{name}");
    let challenges: Vec<_> =
        expected["all-www-authenticate"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    assert_eq!(answer.challenges, challenges, "{name}");
    if expected.get("application-saw").is_none() {
        assert_eq!(answer.content_type, expected["headers"]["Content-Type"].as_str().unwrap(), "{name}");
    }
    compare_seen(name, seen, expected.get("application-saw"));
    compare_questions(name, &asked, &scenario["keystone-was-asked"]);
}

async fn set_mood(keystone: &StandIn, name: &str) {
    let validations = "GET /v3/auth/tokens";
    let always = |status| [Fault { for_ever: true, ..fault(status) }];
    match name {
        _ if name.starts_with("keystone answers 500") => keystone.fail(validations, always(500)),
        "keystone answers 401 once" => keystone.fail(validations, [fault(401)]),
        "keystone answers 401 always" => keystone.fail(validations, always(401)),
        "keystone unreachable" => keystone.stop().await,
        _ => {}
    }
}

fn config(keystone: &StandIn, options: &Value) -> AuthTokenConfig {
    let base = keystone.base.clone();
    let options = options.as_object().unwrap().clone();
    let mut config = AuthTokenConfig::from_section(&move |name| match options.get(name) {
        Some(_) if name == "auth_url" => Some(base.clone()),
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
        None => match name {
            "auth_type" | "password" => Some("password".to_owned()),
            "auth_url" => Some(base.clone()),
            "username" => Some("backup".to_owned()),
            "project_name" => Some("service".to_owned()),
            "user_domain_id" | "project_domain_id" => Some("default".to_owned()),
            "www_authenticate_uri" => Some("http://keystone.example.com:5000".to_owned()),
            _ => None,
        },
    })
    .unwrap();
    config.validation_retries.first_pause = std::time::Duration::from_millis(1);
    config
}

struct Answer {
    status: u16,
    body: String,
    content_type: String,
    challenges: Vec<String>,
}

/// What a handler got: the identity, if any, and the headers that were left.
type Seen = Option<(Option<Identity>, Map<String, Value>)>;

async fn call(middleware: AuthToken, scenario: &Value, name: &str) -> (Seen, Answer) {
    let seen: web::Data<Mutex<Seen>> = web::Data::new(Mutex::new(None));
    let app_status = if name == "application answers 401 itself" { 401 } else { 200 };
    let handler = move |request: HttpRequest, seen: web::Data<Mutex<Seen>>| async move {
        let identity = request.extensions().get::<Identity>().cloned();
        let text = |value: &actix_web::http::header::HeaderValue| value.to_str().unwrap().to_owned();
        let headers =
            request.headers().iter().map(|(key, value)| (key.to_string(), json!(text(value)))).collect();
        *seen.lock().unwrap() = Some((identity, headers));
        HttpResponse::build(actix_web::http::StatusCode::from_u16(app_status).unwrap()).body("app")
    };
    let app = App::new().wrap(middleware).app_data(seen.clone()).default_service(web::to(handler));
    let app = test::init_service(app).await;
    let mut request = test::TestRequest::with_uri(scenario["path"].as_str().unwrap())
        .method(scenario["method"].as_str().unwrap().parse::<Method>().unwrap());
    for (key, value) in scenario["client-headers"].as_object().unwrap() {
        request = request.insert_header((key.as_str(), value.as_str().unwrap()));
    }
    let response = test::call_service(&app, request.to_request()).await;
    let header = |name: &str| {
        let values = response.headers().get_all(name);
        values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (status, challenges) = (response.status().as_u16(), header("www-authenticate"));
    let content_type = header("content-type").concat();
    let body = String::from_utf8(test::read_body(response).await.to_vec()).unwrap();
    let seen = seen.lock().unwrap().take();
    (seen, Answer { status, body, content_type, challenges })
}

fn compare_seen(name: &str, seen: Seen, expected: Option<&Value>) {
    let Some(expected) = expected else { return assert!(seen.is_none(), "{name}: reached the application") };
    let (identity, headers) = seen.unwrap_or_else(|| panic!("{name}: did not reach the application"));
    let wsgi = |key: &str| expected.get(key).and_then(Value::as_str).map(str::to_owned);
    let valid = wsgi("HTTP_X_IDENTITY_STATUS").as_deref() == Some("Confirmed");
    assert_eq!(identity.is_some(), valid, "{name}");
    for key in headers.keys() {
        assert!(
            matches!(
                key.as_str(),
                "x-auth-token" | "x-storage-token" | "x-service-token" | "x-custom" | "x-auth-method"
            ),
            "{name}: {key} reached the application"
        );
    }
    let Some(identity) = identity else { return };
    let roles = |roles: &[String]| Some(roles.join(","));
    let admin = if identity.is_admin_project { "True" } else { "False" };
    for (key, value) in [
        ("HTTP_X_USER_ID", Some(identity.user_id.clone())),
        ("HTTP_X_USER_DOMAIN_ID", identity.user_domain_id.clone()),
        ("HTTP_X_USER_DOMAIN_NAME", identity.user_domain_name.clone()),
        ("HTTP_X_PROJECT_ID", identity.project_id.clone()),
        ("HTTP_X_PROJECT_NAME", identity.project_name.clone()),
        ("HTTP_X_PROJECT_DOMAIN_ID", identity.project_domain_id.clone()),
        ("HTTP_X_PROJECT_DOMAIN_NAME", identity.project_domain_name.clone()),
        ("HTTP_X_DOMAIN_ID", identity.domain_id.clone()),
        ("HTTP_X_DOMAIN_NAME", identity.domain_name.clone()),
        ("HTTP_X_ROLES", roles(&identity.roles)),
        ("HTTP_X_IS_ADMIN_PROJECT", Some(admin.to_owned())),
    ] {
        assert_eq!(value, wsgi(key), "{name}: {key}");
    }
    compare_special(name, &identity, &wsgi);
    let service = identity.service.as_ref();
    for (key, value) in [
        ("HTTP_X_SERVICE_USER_ID", service.map(|s| s.user_id.clone())),
        ("HTTP_X_SERVICE_USER_NAME", service.and_then(|s| s.user_name.clone())),
        ("HTTP_X_SERVICE_PROJECT_ID", service.and_then(|s| s.project_id.clone())),
        ("HTTP_X_SERVICE_PROJECT_NAME", service.and_then(|s| s.project_name.clone())),
        ("HTTP_X_SERVICE_PROJECT_DOMAIN_ID", service.and_then(|s| s.project_domain_id.clone())),
        ("HTTP_X_SERVICE_ROLES", service.and_then(|s| roles(&s.roles))),
    ] {
        assert_eq!(value, wsgi(key), "{name}: {key}");
    }
    let invalid_service = wsgi("HTTP_X_SERVICE_IDENTITY_STATUS").as_deref() == Some("Invalid");
    assert_eq!(identity.service_token_invalid, invalid_service, "{name}");
}

fn compare_special(name: &str, identity: &Identity, wsgi: &dyn Fn(&str) -> Option<String>) {
    // WSGI hands UTF-8 on as Latin-1.
    let latin: String = identity.user_name.clone().unwrap().bytes().map(char::from).collect();
    let shown = wsgi("HTTP_X_USER_NAME").unwrap();
    assert!(shown == latin || Some(shown) == identity.user_name, "{name}");
    match name {
        // Upstream lets the service token's scope hide the user's.
        "system user token and project service token" => {
            assert_eq!(identity.system_scope.as_deref(), Some("all"))
        }
        _ => assert_eq!(identity.system_scope, wsgi("HTTP_OPENSTACK_SYSTEM_SCOPE"), "{name}"),
    }
    let v2: Option<Value> = wsgi("HTTP_X_SERVICE_CATALOG").map(|text| serde_json::from_str(&text).unwrap());
    let types = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let expected = v2.as_ref().map(|list| {
        types(list.as_array().unwrap().iter().map(|service| service["type"].as_str().unwrap()).collect())
    });
    let ours = identity.catalog().map(|catalog| {
        let of_vectors = catalog.services.iter().filter(|service| service.service_type != "object-store");
        types(of_vectors.map(|service| service.service_type.as_str()).collect())
    });
    assert_eq!(ours, expected, "{name}");
}

fn compare_questions(name: &str, asked: &[String], expected: &Value) {
    let expected: Vec<_> = expected.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect();
    if name == "keystone answers 401 always" {
        // Upstream tries four times with three logins; twice with two logins says as much.
        let count = |request: &str| asked.iter().filter(|asked| asked.as_str() == request).count();
        assert_eq!((count("POST /v3/auth/tokens"), count("GET /v3/auth/tokens")), (2, 2), "{name}");
        return;
    }
    if name == "expired token and service token without the role" || name == "invalid service token" {
        // The answer is settled by the service token: the user's is not asked about, upstream does all the same.
        assert_eq!(asked, &expected[..expected.len() - 1], "{name}");
        return;
    }
    assert_eq!(asked, expected, "{name}");
}
