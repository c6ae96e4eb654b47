//! Sessions against a Keystone that is slow, ill, refusing or gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod stand_in;

use chrono::TimeDelta;
use futures_util::future::join_all;
use keystone::{Auth, AuthTokenConfig, Interface, KeystoneError, Secret, Session};
use reqwest::Method;
use stand_in::{Fault, HandClock, StandIn, fault, options};
use std::time::Duration;

const LOGIN: &str = "POST /v3/auth/tokens";

#[actix_web::test]
async fn many_tasks_one_login() {
    let keystone = StandIn::start().await;
    keystone.close_gate();
    let session = Session::new(keystone.options()).unwrap();
    let tasks = join_all((0..100).map(|_| {
        let session = session.clone();
        async move { session.token().await.unwrap() }
    }));
    let opener = async {
        keystone.wait_for("GET /", 1).await;
        keystone.open_gate();
    };
    let (tokens, ()) = tokio::join!(tasks, opener);
    assert!(tokens.iter().all(|token| *token == Secret::from("own-token")));
    assert_eq!(keystone.take_requests(), ["GET /", LOGIN]);
    keystone.stop().await;
}

#[actix_web::test]
async fn a_caller_who_gives_up_does_not_stop_the_others() {
    let keystone = StandIn::start().await;
    keystone.close_gate();
    let session = Session::new(keystone.options()).unwrap();
    let impatient = session.clone();
    let first = tokio::spawn(async move { impatient.token().await });
    keystone.wait_for("GET /", 1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    keystone.open_gate();
    session.token().await.unwrap();
    assert_eq!(keystone.take_requests(), ["GET /", LOGIN]);
    keystone.stop().await;
}

#[actix_web::test]
async fn renewal_before_the_end_and_life_on_when_it_fails() {
    let keystone = StandIn::start().await;
    keystone.logins(TimeDelta::hours(1));
    let clock = HandClock::new();
    let session = Session::with_clock(keystone.options(), clock.clone()).unwrap();
    let token = async || session.token().await.unwrap().expose().to_owned();
    assert_eq!(token().await, "own-1");
    clock.forward(3600 - 125);
    assert_eq!(token().await, "own-1", "more than the margin is left");

    clock.forward(10);
    keystone.fail(LOGIN, [Fault { for_ever: true, ..fault(503) }]);
    assert_eq!(token().await, "own-1", "renewal fails, the old token still lives");
    let tries = keystone.count(LOGIN);
    assert_eq!(tries, 1 + 4, "first login; renewal with three repetitions");
    assert_eq!(token().await, "own-1");
    assert_eq!(keystone.count(LOGIN), tries, "no new try at each use");

    clock.forward(31);
    keystone.mend();
    assert_eq!(token().await, "own-2");

    clock.forward(7200);
    keystone.fail(LOGIN, [Fault { for_ever: true, ..fault(503) }]);
    assert!(
        matches!(session.token().await, Err(KeystoneError::Answer { status: 503, .. })),
        "the old one is dead"
    );
    keystone.stop().await;
}

#[actix_web::test]
async fn a_short_life_is_not_renewed_at_each_use() {
    let keystone = StandIn::start().await;
    keystone.logins(TimeDelta::seconds(60));
    let clock = HandClock::new();
    let session = Session::with_clock(keystone.options(), clock.clone()).unwrap();
    for _ in 0..5 {
        assert_eq!(session.token().await.unwrap().expose(), "own-1");
    }
    clock.forward(50);
    assert_eq!(session.token().await.unwrap().expose(), "own-2");
    keystone.stop().await;
}

#[actix_web::test]
async fn one_new_login_for_each_refused_token() {
    let keystone = StandIn::start().await;
    keystone.logins(TimeDelta::hours(1));
    let session = Session::new(keystone.options()).unwrap();
    let first = session.token().await.unwrap();
    let tasks = (0..50).map(|_| {
        let (session, first) = (session.clone(), first.clone());
        async move {
            session.refuse(&first);
            session.token().await.unwrap()
        }
    });
    let second = join_all(tasks).await;
    assert!(second.iter().all(|token| token.expose() == "own-2"), "{:?}", keystone.take_requests());
    session.refuse(&first);
    assert_eq!(session.token().await.unwrap().expose(), "own-2", "an old refusal changes nothing");
    assert_eq!(keystone.count(LOGIN), 2);
    keystone.stop().await;
}

#[actix_web::test]
async fn login_is_repeated_when_keystone_is_ill_not_when_it_refuses() {
    let keystone = StandIn::start().await;
    let clock = HandClock::new();
    let slow_down = Fault { retry_after: Some("0"), ..fault(429) };
    keystone.fail(LOGIN, [fault(500), slow_down, fault(503)]);
    let session = Session::with_clock(keystone.options(), clock.clone()).unwrap();
    session.token().await.unwrap();
    assert_eq!(keystone.count(LOGIN), 4);
    assert_eq!(keystone.count("GET /"), 1, "discovery is not repeated");

    keystone.take_log();
    keystone.fail(LOGIN, [fault(401)]);
    let session = Session::with_clock(keystone.options(), clock.clone()).unwrap();
    for _ in 0..10 {
        let error = session.token().await.unwrap_err();
        assert!(matches!(error, KeystoneError::Refused { .. }), "{error}");
        let told = error.to_string();
        assert!(told.contains("\"backup\" of domain default") && told.contains("as told"), "{told}");
        assert!(!format!("{error:?}").contains("\"x\""));
    }
    assert_eq!(keystone.count(LOGIN), 1, "a refusal is not asked for again and again");
    clock.forward(11);
    session.token().await.unwrap();
    keystone.stop().await;
}

#[actix_web::test]
async fn nobody_there_is_told_with_the_address() {
    let keystone = StandIn::start().await;
    keystone.stop().await;
    let session = Session::new(keystone.options()).unwrap();
    let error = session.token().await.unwrap_err();
    assert!(matches!(error, KeystoneError::Unreachable { .. }) && error.is_temporary());
    assert!(error.to_string().contains(&keystone.base), "{error}");
}

#[actix_web::test]
async fn what_is_no_keystone_is_told_so() {
    let keystone = StandIn::start().await;
    let mut wrong = keystone.options();
    wrong.auth_url = format!("{}/elsewhere", keystone.base);
    let error = Session::new(wrong).unwrap().token().await.unwrap_err();
    assert!(matches!(error, KeystoneError::Answer { status: 404, .. }), "{error}");
    for bad in ["", "keystone:5000", "ftp://keystone/"] {
        assert!(matches!(Session::new(options(bad)), Err(KeystoneError::Options { .. })), "{bad}");
    }
    let mut no_ca = keystone.options();
    no_ca.cafile = Some("/nowhere/ca.pem".into());
    assert!(matches!(Session::new(no_ca), Err(KeystoneError::TlsFile { .. })));
    keystone.stop().await;
}

#[actix_web::test]
async fn endpoints_of_catalogue_and_overrides() {
    let keystone = StandIn::start().await;
    let mut options = keystone.options();
    options.endpoint_overrides.insert("image".to_owned(), "http://glance:9292/".to_owned());
    let session = Session::new(options).unwrap();
    let url = async |service: &str, interface, region| session.endpoint(service, interface, region).await;
    assert_eq!(url("image", None, None).await.unwrap(), "http://glance:9292");
    assert!(keystone.take_requests().is_empty(), "an override needs no login");
    assert_eq!(url("backup", None, None).await.unwrap(), "http://backup.example.com/v1");
    let internal = Some(Interface::Internal);
    assert_eq!(url("backup", internal, Some("RegionTwo")).await.unwrap(), "http://backup2.internal/v1");
    let told = url("backup", internal, Some("RegionOne")).await.unwrap_err().to_string();
    for part in ["internal", "backup", "RegionOne", "backup internal in RegionTwo"] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(session.user_id().await.unwrap(), "u-svc");
    assert_eq!(session.project_id().await.unwrap().as_deref(), Some("p-1"));
    assert_eq!(session.roles().await.unwrap(), ["service"]);
    assert_eq!(keystone.count(LOGIN), 1);
    keystone.stop().await;
}

#[actix_web::test]
async fn requests_carry_token_request_id_and_body() {
    let keystone = StandIn::start().await;
    let session = Session::new(keystone.options()).unwrap();
    let answer = session
        .request(Method::POST, "object-store", "/box")
        .query("a", "b c")
        .header("X-Meta", "m")
        .request_id("req-1")
        .json(&serde_json::json!({"k": 1}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.text().await.unwrap(), "{\"k\":1}");
    let asked = keystone.take_log().pop().unwrap();
    assert_eq!(asked.request, "POST /service/box?a=b+c");
    for (name, value) in [("x-auth-token", "own-token"), ("x-openstack-request-id", "req-1"), ("x-meta", "m")]
    {
        assert_eq!(asked.headers[name], value);
    }
    let error =
        session.request(Method::GET, "object-store", "/").header("X", "se\ncret").send().await.unwrap_err();
    assert!(
        matches!(error, KeystoneError::Unsendable { .. }) && !error.to_string().contains("cret\""),
        "{error}"
    );
    keystone.stop().await;
}

#[actix_web::test]
async fn a_refused_token_is_replaced_once() {
    let keystone = StandIn::start().await;
    keystone.logins(TimeDelta::hours(1));
    let session = Session::new(keystone.options()).unwrap();
    keystone.fail("PUT /service/o", [fault(401)]);
    let put = async || session.request(Method::PUT, "object-store", "/o").bytes("data").send().await.unwrap();
    let answer = put().await;
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "data"));
    let tokens: Vec<_> = keystone.take_log().into_iter().filter(|a| a.request == "PUT /service/o").collect();
    let tokens: Vec<_> = tokens.iter().map(|asked| asked.headers["x-auth-token"].as_str()).collect();
    assert_eq!(tokens, ["own-1", "own-2"]);

    keystone.fail("PUT /service/o", [Fault { for_ever: true, ..fault(401) }]);
    assert_eq!(put().await.status(), 401);
    assert_eq!((keystone.count("PUT /service/o"), keystone.count(LOGIN)), (2, 1));

    // A stream is not sent twice, but the next request has a new token.
    keystone.mend();
    keystone.take_log();
    keystone.fail("PUT /service/o", [fault(401)]);
    let stream =
        || reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>("streamed")]));
    let send =
        async || session.request(Method::PUT, "object-store", "/o").stream(stream()).send().await.unwrap();
    assert_eq!(send().await.status(), 401);
    assert_eq!(keystone.count("PUT /service/o"), 1);
    assert_eq!(send().await.text().await.unwrap(), "streamed");
    assert_eq!(keystone.count(LOGIN), 1);
    keystone.stop().await;
}

#[actix_web::test]
async fn repetitions_where_they_do_no_harm() {
    let keystone = StandIn::start().await;
    let session = Session::new(keystone.options()).unwrap();
    session.token().await.unwrap();
    let path = "/service/x";
    let cases = [
        (Method::GET, 500, 2),
        (Method::PUT, 502, 2),
        (Method::DELETE, 504, 2),
        (Method::GET, 429, 2),
        (Method::POST, 503, 2),
        (Method::POST, 429, 2),
        (Method::POST, 500, 1),
        (Method::PATCH, 504, 1),
        (Method::GET, 404, 1),
    ];
    for (method, status, tries) in cases {
        let request = format!("{method} {path}");
        keystone.take_log();
        keystone.fail(&request, [fault(status)]);
        let answer = session.request(method, "object-store", "/x").send().await.unwrap();
        assert_eq!(keystone.count(&request), tries, "{request} {status}");
        assert_eq!(answer.status().as_u16(), if tries == 2 { 200 } else { status }, "{request}");
    }
    keystone.take_log();
    keystone.fail("GET /service/x", [Fault { for_ever: true, ..fault(503) }]);
    let answer = session.request(Method::GET, "object-store", "/x").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), keystone.count("GET /service/x")), (503, 4));
    keystone.stop().await;
    let error = session.request(Method::GET, "object-store", "/x").send().await.unwrap_err();
    assert!(matches!(error, KeystoneError::Unreachable { .. }), "{error}");
}

#[actix_web::test]
async fn retry_after_is_heeded() {
    let keystone = StandIn::start().await;
    let mut options = keystone.options();
    options.retries.first_pause = Duration::ZERO;
    options.retries.longest_pause = Duration::from_secs(2);
    let session = Session::new(options).unwrap();
    session.token().await.unwrap();
    keystone.fail("GET /service/x", [Fault { retry_after: Some("1"), ..fault(429) }]);
    let start = std::time::Instant::now();
    session.request(Method::GET, "object-store", "/x").send().await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    keystone.stop().await;
}

#[actix_web::test]
async fn without_keystone() {
    let service = StandIn::start().await;
    let mut options = options("");
    options.auth = Auth::None { user_id: "u".to_owned(), project_id: "p".to_owned() };
    options.endpoint_overrides.insert("backup".to_owned(), format!("{}/service", service.base));
    let session = Session::new(options).unwrap();
    session.request(Method::GET, "backup", "/v2").send().await.unwrap();
    let log = service.take_log();
    assert_eq!((log.len(), log[0].headers["x-auth-token"].as_str()), (1, "u:p"));
    session.refuse(&session.token().await.unwrap());
    assert_eq!(session.project_id().await.unwrap().as_deref(), Some("p"));
    assert!(matches!(session.endpoint("image", None, None).await, Err(KeystoneError::NoEndpoint { .. })));
    service.stop().await;
}

/// `[keystone_authtoken] http_request_max_retries` is for trusts as for validations; logins of a service are not repeated.
#[actix_web::test]
async fn trust_calls_are_repeated_as_configured() {
    let keystone = StandIn::start().await;
    let list = "GET /v3/OS-TRUST/trusts?trustor_user_id=a&trustee_user_id=b";
    for (retries, tries) in [("0", 1), ("2", 3)] {
        let value = |name: &str| match name {
            "auth_url" => Some(keystone.base.clone()),
            "auth_type" | "username" | "password" => Some("password".to_owned()),
            "user_domain_id" | "project_domain_id" | "project_name" => Some("default".to_owned()),
            "http_request_max_retries" => Some(retries.to_owned()),
            other => keystone::authtoken_options()
                .iter()
                .find(|option| option.name == other)
                .and_then(|option| option.default)
                .map(str::to_owned),
        };
        let mut options = AuthTokenConfig::from_section(&value).unwrap().session;
        let quick = options.identity_retries.as_mut().unwrap();
        (quick.first_pause, quick.longest_pause) = (Duration::from_millis(1), Duration::from_millis(1));
        let session = Session::new(options).unwrap();
        keystone.fail("GET /v3/OS-TRUST/trusts", [Fault { for_ever: true, ..fault(503) }]);
        let failed = session.list_trusts("a", "b").await.unwrap_err();
        assert!(matches!(failed, KeystoneError::Answer { status: 503, .. }), "{failed}");
        assert_eq!(keystone.count(list), tries, "http_request_max_retries = {retries}");
        keystone.mend();
        keystone.take_log();
    }
    keystone.stop().await;
}
