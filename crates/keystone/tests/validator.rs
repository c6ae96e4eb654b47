//! The validator's caches and its behaviour under load and with Keystone in trouble.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod stand_in;

use chrono::TimeDelta;
use futures_util::future::join_all;
use keystone::{AuthFailure, AuthTokenConfig, Credentials, Secret, TokenValidator};
use serde_json::json;
use stand_in::{Fault, HandClock, StandIn, fault, iso};
use std::sync::Arc;
use std::time::Duration;

const LOGIN: &str = "POST /v3/auth/tokens";
const ASK: &str = "GET /v3/auth/tokens";
const ASK_EXPIRED: &str = "GET /v3/auth/tokens?allow_expired=1";

struct Scene {
    keystone: StandIn,
    clock: Arc<HandClock>,
    validator: TokenValidator,
}

impl Scene {
    async fn set() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut AuthTokenConfig)) -> Self {
        let keystone = StandIn::start().await;
        let mut config = AuthTokenConfig::new(keystone.options());
        change(&mut config);
        let clock = HandClock::new();
        let validator = TokenValidator::with_clock(config, clock.clone()).unwrap();
        Self { keystone, clock, validator }
    }

    /// The user's name, `invalid` or `unavailable`.
    async fn who(&self, user: &str, service: Option<&str>) -> String {
        let (user, service) = (Secret::from(user), service.map(Secret::from));
        let request = Credentials {
            user_token: Some(&user),
            service_token: service.as_ref(),
            method: "GET",
            path: "/v1/x",
        };
        match self.validator.authenticate(request).await {
            Ok(identity) => identity.user_name.unwrap(),
            Err(AuthFailure::Invalid(_)) => "invalid".to_owned(),
            Err(AuthFailure::Unavailable(_)) => "unavailable".to_owned(),
        }
    }
}

#[actix_web::test]
async fn good_answers_are_believed_for_their_time() {
    let scene = Scene::set().await;
    assert_eq!(scene.who("user-token", None).await, "alice");
    assert_eq!(scene.keystone.take_requests(), ["GET /", LOGIN, ASK]);
    scene.keystone.revoke("user-token");
    scene.clock.forward(299);
    assert_eq!(scene.who("user-token", None).await, "alice", "revoked while cached");
    assert!(scene.keystone.take_requests().is_empty());
    scene.clock.forward(1);
    assert_eq!(scene.who("user-token", None).await, "invalid");
    assert_eq!(scene.keystone.take_requests(), [ASK]);
    scene.keystone.stop().await;
}

#[actix_web::test]
async fn no_cache_means_asking_each_time() {
    let scene = Scene::with(|config| config.token_cache_time = None).await;
    for _ in 0..3 {
        assert_eq!(scene.who("user-token", None).await, "alice");
    }
    assert_eq!(scene.keystone.count(ASK), 3);
    scene.keystone.stop().await;
}

#[actix_web::test]
async fn a_flood_of_one_bad_token_is_one_question() {
    let scene = Scene::set().await;
    for _ in 0..100 {
        assert_eq!(scene.who("nope", None).await, "invalid");
    }
    assert_eq!(scene.keystone.count(ASK), 1);
    scene.clock.forward(10);
    scene.keystone.add_token("nope", scene.keystone.project_token());
    assert_eq!(scene.who("nope", None).await, "alice", "a no is not believed for long");
    scene.keystone.stop().await;
}

#[actix_web::test]
async fn what_cannot_be_a_token_is_not_asked_about() {
    let scene = Scene::set().await;
    let long = "a".repeat(8193);
    for text in ["", "with blank", "line\nbreak", "žeton", long.as_str()] {
        assert_eq!(scene.who(text, None).await, "invalid", "{text}");
    }
    assert!(scene.keystone.take_requests().is_empty());
    scene.keystone.stop().await;
}

#[actix_web::test]
async fn the_cache_is_bounded_and_bad_tokens_do_not_push_out_good_ones() {
    let scene = Scene::with(|config| config.token_cache_limit = 3).await;
    scene.who("user-token", None).await;
    for number in 0..20 {
        scene.who(&format!("bad-{number}"), None).await;
    }
    scene.keystone.take_log();
    scene.who("user-token", None).await;
    assert!(scene.keystone.take_requests().is_empty(), "still cached");
    for name in ["domain-token", "system-token", "unscoped-token", "user-token"] {
        scene.who(name, None).await;
    }
    assert_eq!(scene.keystone.count(ASK), 4, "the oldest made room");
    scene.keystone.stop().await;
}

#[actix_web::test]
async fn expiry_is_checked_by_the_clock_and_a_service_may_overrule_it() {
    let scene = Scene::set().await;
    let mut token = scene.keystone.project_token();
    token["expires_at"] = json!(iso(60));
    scene.keystone.add_token("short", token);
    assert_eq!(scene.who("short", None).await, "alice");
    scene.clock.forward(61);
    scene.keystone.take_log();
    assert_eq!(scene.who("short", None).await, "invalid");
    assert!(scene.keystone.take_requests().is_empty(), "the clock decides, not Keystone");
    assert_eq!(scene.who("short", Some("service-token")).await, "alice", "from the cache, though expired");
    assert_eq!(scene.keystone.take_requests(), [ASK], "only the service token was new");
    assert_eq!(scene.who("short", Some("user-token")).await, "invalid", "no service role");
    assert_eq!(scene.who("expired-token", None).await, "invalid");
    assert_eq!(
        scene.who("expired-token", Some("service-token")).await,
        "alice",
        "the no was for another question"
    );
    assert_eq!(scene.keystone.count(ASK_EXPIRED), 1);
    assert_eq!(
        scene.who("expired-token", None).await,
        "invalid",
        "cached for the service is not good for the user"
    );
    scene.keystone.stop().await;
}

#[actix_web::test]
async fn concurrent_questions_about_one_token_are_one() {
    let scene = Scene::set().await;
    scene.validator.session().token().await.unwrap();
    scene.keystone.take_log();
    scene.keystone.close_gate();
    let tasks =
        join_all((0..100).map(|n| scene.who(if n % 2 == 0 { "user-token" } else { "system-token" }, None)));
    let opener = async {
        scene.keystone.wait_for(ASK, 2).await;
        scene.keystone.open_gate();
    };
    let (names, ()) = tokio::join!(tasks, opener);
    assert!(names.iter().all(|name| name == "alice"));
    assert_eq!(scene.keystone.count(ASK), 2, "one for each token");
    scene.keystone.stop().await;
}

#[actix_web::test]
async fn a_client_that_hangs_up_does_not_stop_the_question() {
    let scene = Scene::set().await;
    scene.keystone.close_gate();
    let validator = scene.validator.clone();
    let task = tokio::spawn(async move { validator.validate(&Secret::from("user-token"), false).await });
    scene.keystone.wait_for("GET /", 1).await;
    task.abort();
    let _ = task.await;
    scene.keystone.open_gate();
    assert_eq!(scene.who("user-token", None).await, "alice");
    assert_eq!(scene.keystone.count(ASK), 1);
    scene.keystone.stop().await;
}

#[actix_web::test]
async fn the_own_token_refused_or_ended() {
    let scene = Scene::set().await;
    scene.keystone.logins(TimeDelta::hours(1));
    assert_eq!(scene.who("user-token", None).await, "alice");
    scene.keystone.fail(ASK, [fault(401)]);
    assert_eq!(scene.who("system-token", None).await, "alice");
    let used: Vec<_> = scene.keystone.take_log().into_iter().filter(|asked| asked.request == ASK).collect();
    let used: Vec<_> = used.iter().map(|asked| asked.headers["x-auth-token"].as_str()).collect();
    assert_eq!(used, ["own-1", "own-1", "own-2"]);
    scene.clock.forward(3590);
    scene.keystone.logins(TimeDelta::hours(2));
    scene.keystone.add_token("late", json!({"expires_at": iso(9000), "user": {"id": "u-9", "name": "late"}}));
    assert_eq!(scene.who("late", None).await, "late");
    assert_eq!(scene.keystone.count(LOGIN), 1, "renewed before its end");
    scene.keystone.stop().await;
}

#[actix_web::test]
async fn keystone_in_trouble_lets_nobody_in_and_is_not_held_against_the_token() {
    let scene = Scene::set().await;
    for (request, status) in [(ASK, 500), (ASK, 503), (ASK, 429), (ASK, 403), (LOGIN, 503)] {
        if request == LOGIN {
            scene.clock.forward(4000);
        }
        scene.keystone.fail(request, [fault(status)]);
        assert_eq!(scene.who("user-token", None).await, "unavailable", "{request} {status}");
    }
    scene.keystone.fail(ASK, [Fault { for_ever: true, ..fault(401) }]);
    assert_eq!(scene.who("user-token", None).await, "unavailable");
    scene.keystone.mend();
    assert_eq!(scene.who("domain-token", None).await, "invalid", "its hour is over by this clock");
    scene.keystone.add_token("new", json!({"expires_at": iso(9000), "user": {"id": "u-9", "name": "new"}}));
    assert_eq!(scene.who("new", None).await, "new");
    scene.keystone.stop().await;
    assert_eq!(scene.who("new", None).await, "new", "what is cached is good without Keystone");
    assert_eq!(scene.who("other", None).await, "unavailable");
}

#[actix_web::test]
async fn a_wrong_service_password_is_no_hail_of_logins() {
    let scene = Scene::set().await;
    scene.keystone.fail(LOGIN, [Fault { for_ever: true, ..fault(401) }]);
    for number in 0..20 {
        assert_eq!(scene.who(&format!("token-{number}"), None).await, "unavailable");
    }
    assert_eq!(scene.keystone.count(LOGIN), 1);
    scene.keystone.stop().await;
}

#[actix_web::test]
async fn an_invalid_service_token_opens_no_door() {
    let scene = Scene::with(|config| {
        config.delay_auth_decision = true;
        config.service_type = Some("backup".to_owned());
    })
    .await;
    assert_eq!(scene.who("appcred-token", Some("service-token")).await, "alice", "a service passes it on");
    assert_eq!(scene.who("appcred-token", None).await, "invalid");
    assert_eq!(scene.who("appcred-token", Some("nope")).await, "invalid");
    assert_eq!(scene.who("bound-token", Some("nope")).await, "invalid");
    assert_eq!(scene.who("bound-token", Some("service-token")).await, "alice");
    scene.keystone.stop().await;
}

#[actix_web::test]
async fn a_hanging_keystone_is_given_up() {
    // Enough for the answers that come, on a machine that has other things to do.
    let scene = Scene::with(|config| config.session.keystone_timeout = Duration::from_secs(2)).await;
    scene.keystone.close_gate();
    assert_eq!(scene.who("user-token", None).await, "unavailable");
    scene.keystone.open_gate();
    assert_eq!(scene.who("user-token", None).await, "alice");
    scene.keystone.stop().await;
}
