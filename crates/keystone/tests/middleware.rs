//! The middleware's own matters: public paths, noauth, the forms of 503, delayed decisions, many workers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod stand_in;

use actix_web::{App, HttpMessage, HttpRequest, HttpResponse, HttpServer, test, web};
use keystone::{AuthToken, AuthTokenConfig, Identity, TokenValidator};
use stand_in::StandIn;

const ASK: &str = "GET /v3/auth/tokens";

/// Status, content type and body of a request through the middleware; the body names who was let in.
async fn call(middleware: &AuthToken, path: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
    let handler = async |request: HttpRequest| {
        let lies = request.headers().contains_key("X-Roles") || request.headers().contains_key("X-User-Id");
        assert!(!lies, "forged headers reached the handler");
        let identity = request.extensions().get::<Identity>().cloned();
        let name =
            |identity: Identity| format!("{} {}", identity.user_id, identity.project_id.unwrap_or_default());
        HttpResponse::Ok().body(identity.map_or("nobody".to_owned(), name))
    };
    let app = App::new().wrap(middleware.clone()).default_service(web::to(handler));
    let app = test::init_service(app).await;
    let mut request = test::TestRequest::with_uri(path);
    for (name, value) in headers {
        request = request.insert_header((*name, *value));
    }
    let answer = test::call_service(&app, request.to_request()).await;
    let kind = answer.headers().get("Content-Type").map_or("", |value| value.to_str().unwrap()).to_owned();
    let status = answer.status().as_u16();
    (status, kind, String::from_utf8(test::read_body(answer).await.to_vec()).unwrap())
}

fn middleware(keystone: &StandIn, change: impl FnOnce(&mut AuthTokenConfig)) -> AuthToken {
    let mut config = AuthTokenConfig::new(keystone.options());
    change(&mut config);
    AuthToken::new(TokenValidator::new(config).unwrap())
}

#[actix_web::test]
async fn public_paths_need_no_token_and_give_no_identity() {
    let keystone = StandIn::start().await;
    let middleware = middleware(&keystone, |_| {}).public_paths(["/", "/v2/", "/healthcheck", "/docs/*"]);
    let forged = [("X-Roles", "admin"), ("X-Auth-Token", "user-token")];
    for path in ["/", "/v2", "/v2/", "/healthcheck", "/docs/a/b", "/v2/?x=1"] {
        let (status, _, body) = call(&middleware, path, &forged).await;
        assert_eq!((status, body.as_str()), (200, "nobody"), "{path}");
    }
    assert!(keystone.take_requests().is_empty());
    for path in ["/v2/p/jobs", "/v2x", "/healthcheck/x", "/docs", "/docs/../v2/p/jobs", "//v2/jobs"] {
        assert_eq!(call(&middleware, path, &[("X-Roles", "admin")]).await.0, 401, "{path}");
    }
    keystone.stop().await;
}

#[actix_web::test]
async fn noauth_believes_everything() {
    let project = |path: &str| path.strip_prefix("/v2/")?.split('/').next().map(str::to_owned);
    let middleware = AuthToken::noauth(project).public_paths(["/v2/"]);
    let who = async |headers: &[(&str, &str)]| call(&middleware, "/v2/p-path/jobs", headers).await.2;
    assert_eq!(who(&[]).await, "admin p-path");
    assert_eq!(who(&[("X-Auth-Token", "u:p")]).await, "u p");
    assert_eq!(who(&[("X-User-Id", "me"), ("X-Project-Id", "mine"), ("X-Roles", "reader")]).await, "me mine");
    assert_eq!(call(&middleware, "/v2", &[]).await.2, "nobody");
}

#[actix_web::test]
async fn the_form_of_503_is_what_the_client_asks_for() {
    let keystone = StandIn::start().await;
    keystone.stop().await;
    let strict = middleware(&keystone, |_| {});
    let token = ("X-Auth-Token", "user-token");
    let detail = "The Keystone service is temporarily unavailable.";
    for (accept, kind, start) in [
        (None, "text/plain; charset=UTF-8", "503 Service Unavailable\n\nThe server"),
        (Some("text/plain"), "text/plain; charset=UTF-8", "503 Service Unavailable\n\nThe server"),
        (Some("application/json"), "application/json", "{\"message\":\"The server"),
        (Some("*/*"), "text/html; charset=UTF-8", "<html>"),
    ] {
        let mut headers = vec![token];
        headers.extend(accept.map(|accept| ("Accept", accept)));
        let (status, content_type, body) = call(&strict, "/v2/p/jobs", &headers).await;
        assert_eq!((status, content_type.as_str()), (503, kind), "{accept:?}");
        assert!(body.starts_with(start) && body.contains(detail), "{body}");
    }
    let delayed = middleware(&keystone, |config| config.delay_auth_decision = true);
    assert_eq!(call(&delayed, "/v2/p/jobs", &[token]).await.2, "nobody");
}

#[actix_web::test]
async fn an_identity_argument_without_identity_is_401() {
    let keystone = StandIn::start().await;
    let delayed = middleware(&keystone, |config| {
        config.delay_auth_decision = true;
        config.www_authenticate_uri = "http://public".to_owned();
    });
    let handler = async |identity: Identity| identity.user_id;
    let app = test::init_service(App::new().wrap(delayed).default_service(web::to(handler))).await;
    let answer = test::call_service(&app, test::TestRequest::get().to_request()).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers().get("WWW-Authenticate").unwrap(), "Keystone uri=\"http://public\"");
    let body: serde_json::Value = test::read_body_json(answer).await;
    assert_eq!(body["error"]["title"], "Unauthorized");
    keystone.stop().await;
}

#[actix_web::test]
async fn workers_share_login_and_cache() {
    let keystone = StandIn::start().await;
    let shared = middleware(&keystone, |_| {});
    let handler = async |identity: Identity| identity.user_id;
    let server = HttpServer::new(move || App::new().wrap(shared.clone()).default_service(web::to(handler)))
        .workers(4)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .unwrap();
    let url = format!("http://{}/x", server.addrs()[0]);
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    // A new connection each time, so that all workers have their turn.
    for _ in 0..40 {
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
        let answer = client.get(&url).header("X-Auth-Token", "user-token").send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "u-1");
    }
    assert_eq!((keystone.count(ASK), keystone.count("POST /v3/auth/tokens")), (1, 1));
    handle.stop(false).await;
    keystone.stop().await;
}
