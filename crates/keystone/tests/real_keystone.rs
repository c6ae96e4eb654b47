//! Sessions and validation against a real Keystone. Each test makes its own project and users, and removes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use actix_web::{App, HttpResponse, test, web};
use futures_util::FutureExt;
use keystone::{
    ApplicationCredential, Auth, AuthFailure, AuthToken, AuthTokenConfig, Credentials, Domain, Identity,
    Interface, KeystoneError, Named, NewTrust, Scope, Secret, Session, SessionOptions, TokenValidator,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;

fn keystone_url() -> String {
    std::env::var("FREEZER_TEST_KEYSTONE").unwrap_or_else(|_| "http://127.0.0.1:5000/v3".to_owned())
}

fn account_password() -> String {
    std::env::var("FREEZER_TEST_PASSWORD").unwrap_or_else(|_| "minicloud".to_owned())
}

fn in_default(name: &str) -> Named {
    Named::Name { name: name.to_owned(), domain: Domain::Name("Default".to_owned()) }
}

fn options(user: Named, password: &str, scope: Scope) -> SessionOptions {
    SessionOptions::new(keystone_url(), Auth::Password { user, password: password.into(), scope })
}

fn account(user: &str, project: &str) -> SessionOptions {
    options(in_default(user), &account_password(), Scope::Project(in_default(project)))
}

/// A project with two users, made by the administrator.
struct Tenant {
    admin: Session,
    project_id: String,
    user_id: String,
    other_user_id: String,
    name: String,
}

const PASSWORD: &str = "correct horse";

impl Tenant {
    async fn make() -> Self {
        let admin = Session::new(account("admin", "admin")).unwrap();
        if let Err(error) = admin.token().await {
            panic!("{error}: start the services: make services");
        }
        let name = format!("keystone-test-{}", uuid::Uuid::new_v4());
        let project =
            post(&admin, "/projects", json!({"project": {"name": name, "domain_id": "default"}})).await;
        let project_id = text(&project["project"]["id"]);
        let mut users = Vec::new();
        for suffix in ["one", "two"] {
            let user = json!({"user": {"name": format!("{name}-{suffix}"), "password": PASSWORD,
                "domain_id": "default"}});
            users.push(text(&post(&admin, "/users", user).await["user"]["id"]));
        }
        let roles: Value = get(&admin, "/roles?name=member").await;
        let role = text(&roles["roles"][0]["id"]);
        let grant = format!("/projects/{project_id}/users/{}/roles/{role}", users[0]);
        assert_eq!(send(&admin, Method::PUT, &grant).await, 204);
        let other_user_id = users.pop().unwrap();
        Self { admin, project_id, user_id: users.pop().unwrap(), other_user_id, name }
    }

    /// Runs the test, and removes the tenant whatever comes of it.
    async fn with(test: impl AsyncFnOnce(&Tenant)) {
        let tenant = Self::make().await;
        let outcome = AssertUnwindSafe(test(&tenant)).catch_unwind().await;
        for path in [
            format!("/users/{}", tenant.user_id),
            format!("/users/{}", tenant.other_user_id),
            format!("/projects/{}", tenant.project_id),
        ] {
            let status = send(&tenant.admin, Method::DELETE, &path).await;
            assert!(status == 204 || status == 404, "{path}: {status}");
        }
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }

    fn scope(&self) -> Scope {
        Scope::Project(Named::Id(self.project_id.clone()))
    }

    fn user_options(&self) -> SessionOptions {
        options(Named::Id(self.user_id.clone()), PASSWORD, self.scope())
    }

    fn session(&self) -> Session {
        Session::new(self.user_options()).unwrap()
    }

    /// The user without a role in the project.
    fn other_session(&self) -> Session {
        Session::new(options(Named::Id(self.other_user_id.clone()), PASSWORD, Scope::Unscoped)).unwrap()
    }

    fn new_trust(&self, role: &str) -> NewTrust {
        NewTrust {
            trustor_user_id: self.user_id.clone(),
            trustee_user_id: self.other_user_id.clone(),
            project_id: self.project_id.clone(),
            roles: vec![role.to_owned()],
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn post(session: &Session, path: &str, body: Value) -> Value {
    let answer = session.request(Method::POST, "identity", path).json(&body).send().await.unwrap();
    let status = answer.status();
    let body = answer.text().await.unwrap();
    let roles = session.roles().await.unwrap();
    assert_eq!(status, 201, "{path} with a token of the roles {roles:?}: {body}");
    serde_json::from_str(&body).unwrap()
}

async fn get(session: &Session, path: &str) -> Value {
    session.request(Method::GET, "identity", path).send().await.unwrap().json().await.unwrap()
}

async fn send(session: &Session, method: Method, path: &str) -> u16 {
    session.request(method, "identity", path).send().await.unwrap().status().as_u16()
}

/// Tells Keystone that a token is no longer good.
async fn revoke(admin: &Session, token: &Secret) {
    let request =
        admin.request(Method::DELETE, "identity", "/auth/tokens").header("X-Subject-Token", token.expose());
    assert_eq!(request.send().await.unwrap().status(), 204);
}

fn validator(change: impl FnOnce(&mut AuthTokenConfig)) -> TokenValidator {
    let mut config = AuthTokenConfig::new(account("freezer", "service"));
    change(&mut config);
    TokenValidator::new(config).unwrap()
}

#[actix_web::test]
async fn logins_of_every_kind() {
    Tenant::with(async |tenant| {
        let by_id = tenant.session();
        assert_eq!(by_id.project_id().await.unwrap().as_deref(), Some(tenant.project_id.as_str()));
        assert!(by_id.roles().await.unwrap().contains(&"member".to_owned()));
        assert!(by_id.expires_at().await.unwrap() > chrono::Utc::now());

        // By names, and with discovery.
        let scope = Scope::Project(in_default(&tenant.name));
        let mut options = options(in_default(&format!("{}-one", tenant.name)), PASSWORD, scope);
        options.auth_url = keystone_url().trim_end_matches('/').trim_end_matches("/v3").to_owned();
        let by_name = Session::new(options).unwrap();
        assert_eq!(by_name.user_id().await.unwrap(), tenant.user_id);
        let base = keystone_url();
        assert_eq!(by_name.login().await.unwrap().identity_url, base.trim_end_matches('/'));

        let mut unscoped = tenant.user_options();
        let Auth::Password { scope, .. } = &mut unscoped.auth else { unreachable!() };
        *scope = Scope::Unscoped;
        let unscoped = Session::new(unscoped).unwrap();
        assert_eq!(unscoped.project_id().await.unwrap(), None);

        let mut rescoped = tenant.user_options();
        rescoped.auth = Auth::Token { token: unscoped.token().await.unwrap(), scope: tenant.scope() };
        let rescoped = Session::new(rescoped).unwrap();
        assert_eq!(rescoped.project_id().await.unwrap().as_deref(), Some(tenant.project_id.as_str()));

        let system =
            Session::new(self::options(in_default("admin"), &account_password(), Scope::System)).unwrap();
        assert!(system.login().await.unwrap().document.system.as_ref().unwrap().all);
        let domain = Scope::Domain(Domain::Id("default".to_owned()));
        let refused = Session::new(self::options(in_default("demo"), &account_password(), domain)).unwrap();
        assert!(matches!(refused.token().await, Err(KeystoneError::Refused { .. })));
    })
    .await;
}

#[actix_web::test]
async fn a_wrong_password_is_refused_and_not_told() {
    Tenant::with(async |tenant| {
        let session =
            Session::new(options(Named::Id(tenant.user_id.clone()), "wrong battery", tenant.scope()))
                .unwrap();
        let error = session.token().await.unwrap_err();
        assert!(matches!(error, KeystoneError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(&tenant.user_id));
        assert!(!format!("{error} {error:?} {session:?}").contains("battery"));
    })
    .await;
}

#[actix_web::test]
async fn a_trust_lets_the_trustee_act_for_the_trustor() {
    Tenant::with(async |tenant| {
        let trustor = tenant.session();
        let made = trustor.create_trust(&tenant.new_trust("member")).await.unwrap();
        assert_eq!(
            (made.impersonation, made.expires_at, made.deleted_at, made.remaining_uses),
            (false, None, None, None)
        );
        assert_eq!(made.project_id.as_deref(), Some(tenant.project_id.as_str()));
        let trustee = Named::Id(tenant.other_user_id.clone());
        let trustee = Session::new(options(trustee, PASSWORD, Scope::Unscoped)).unwrap();
        let session = trustee.in_trust(&made.id).unwrap();
        assert_eq!(session.project_id().await.unwrap().as_deref(), Some(tenant.project_id.as_str()));
        assert_eq!(session.user_id().await.unwrap(), tenant.other_user_id);
        let used = session.login().await.unwrap().document.trust.clone().unwrap();
        assert_eq!((used.id.as_str(), used.impersonation), (made.id.as_str(), false));
        assert!(!format!("{session:?}").contains(PASSWORD));

        let validator = validator(|_| {});
        let token = session.token().await.unwrap();
        let request = Credentials { user_token: Some(&token), service_token: None, method: "GET", path: "/" };
        let identity = validator.authenticate(request).await.unwrap();
        assert_eq!(identity.trust_id, Some(made.id.clone()));
        // What was delegated is not delegated on.
        let acting = validator.session().on_behalf_of(&identity, &tenant.project_id).await.unwrap();
        let onward = NewTrust { trustor_user_id: tenant.other_user_id.clone(), ..tenant.new_trust("member") };
        assert!(matches!(acting.create_trust(&onward).await, Err(KeystoneError::TrustRefused { .. })));

        trustor.delete_trust(&made.id).await.unwrap();
        trustor.delete_trust(&made.id).await.unwrap();
        let ended = trustee.in_trust(&made.id).unwrap().token().await.unwrap_err();
        assert!(matches!(ended, KeystoneError::Refused { .. }), "{ended}");
        let told = ended.to_string();
        assert!(told.contains("under a trust") && !told.contains(&made.id), "{told}");
    })
    .await;
}

#[actix_web::test]
async fn trusts_are_listed_shown_and_ended_by_their_trustor() {
    Tenant::with(async |tenant| {
        let validator = validator(|_| {});
        let token = tenant.session().token().await.unwrap();
        let request = Credentials { user_token: Some(&token), service_token: None, method: "GET", path: "/" };
        let identity = validator.authenticate(request).await.unwrap();
        // With the token of a request, as a service that makes trusts for its callers.
        let trustor = validator.session().on_behalf_of(&identity, &tenant.project_id).await.unwrap();
        assert_eq!(trustor.token().await.unwrap(), token, "its own project: the token as it came");
        let list = async || trustor.list_trusts(&tenant.user_id, &tenant.other_user_id).await.unwrap();
        assert_eq!(list().await, []);
        let made = trustor.create_trust(&tenant.new_trust("member")).await.unwrap();
        let listed = list().await;
        assert_eq!((listed.len(), &listed[0].id, &listed[0].roles), (1, &made.id, &None));
        let shown = trustor.show_trust(&made.id).await.unwrap().unwrap();
        assert_eq!(shown.roles, Some(vec!["member".to_owned()]));
        assert_eq!(trustor.show_trust("0123456789abcdef").await.unwrap(), None);

        // Nobody else ends it, or makes one in another's name.
        let other = tenant.other_session();
        assert!(matches!(other.delete_trust(&made.id).await, Err(KeystoneError::TrustRefused { .. })));
        let stolen = other.create_trust(&tenant.new_trust("member")).await.unwrap_err();
        assert!(matches!(stolen, KeystoneError::TrustRefused { status: 403, .. }), "{stolen}");
        for role in ["admin", "no-such-role"] {
            let told = trustor.create_trust(&tenant.new_trust(role)).await.unwrap_err().to_string();
            assert!(told.contains(role) && told.contains(&tenant.project_id), "{told}");
            assert!(!told.contains(token.expose()), "{told}");
        }
        trustor.delete_trust(&made.id).await.unwrap();
        assert_eq!((list().await, trustor.show_trust(&made.id).await.unwrap()), (vec![], None));
    })
    .await;
}

#[actix_web::test]
async fn application_credentials_and_their_rules() {
    Tenant::with(async |tenant| {
        let path = format!("/users/{}/application_credentials", tenant.user_id);
        let make = async |name: &str, rules: Option<Value>| {
            let mut credential = json!({"name": name, "secret": "s3cret"});
            if let Some(rules) = rules {
                credential["access_rules"] = rules;
            }
            let made = post(&tenant.session(), &path, json!({"application_credential": credential})).await;
            text(&made["application_credential"]["id"])
        };
        let log_in = |credential| {
            let auth = Auth::ApplicationCredential { credential, secret: "s3cret".into() };
            Session::new(SessionOptions::new(keystone_url(), auth)).unwrap()
        };
        make("free", None).await;
        let user = Named::Id(tenant.user_id.clone());
        let by_name = log_in(ApplicationCredential::Name { name: "free".to_owned(), user });
        assert_eq!(by_name.project_id().await.unwrap().as_deref(), Some(tenant.project_id.as_str()));

        let rules = json!([{"service": "backup", "method": "GET", "path": "/v2/{project_id}/jobs/*"}]);
        let narrow =
            log_in(ApplicationCredential::Id(make("narrow", Some(rules)).await)).token().await.unwrap();
        let free = by_name.token().await.unwrap();
        let may = async |validator: &TokenValidator, token: &Secret, method: &str, path: &str| {
            let request = Credentials { user_token: Some(token), service_token: None, method, path };
            match validator.authenticate(request).await {
                Ok(identity) => {
                    assert_eq!(identity.user_id, tenant.user_id);
                    true
                }
                Err(AuthFailure::Invalid(_)) => false,
                Err(failure) => panic!("{failure}"),
            }
        };
        for include_catalog in [true, false] {
            let ours = validator(|config| {
                config.service_type = Some("backup".to_owned());
                config.include_service_catalog = include_catalog;
            });
            assert!(may(&ours, &narrow, "GET", "/v2/p/jobs/1").await);
            assert!(!may(&ours, &narrow, "DELETE", "/v2/p/jobs/1").await);
            assert!(!may(&ours, &narrow, "GET", "/v2/p/clients").await);
            assert!(may(&ours, &free, "DELETE", "/v2/p/clients").await);
        }
        let nameless = validator(|_| {});
        assert!(!may(&nameless, &narrow, "GET", "/v2/p/jobs/1").await);
        assert!(may(&nameless, &free, "GET", "/v2/p/jobs/1").await);
    })
    .await;
}

#[actix_web::test]
async fn a_revoked_token_of_a_session_is_replaced() {
    Tenant::with(async |tenant| {
        let session = tenant.session();
        let old = session.token().await.unwrap();
        revoke(&tenant.admin, &old).await;
        assert_eq!(send(&session, Method::GET, "/auth/projects").await, 200);
        assert_ne!(session.token().await.unwrap(), old);

        // The validator's own token, too.
        let validator = validator(|_| {});
        let own = validator.session().token().await.unwrap();
        revoke(&tenant.admin, &own).await;
        let token = session.token().await.unwrap();
        let known = validator.validate(&token, false).await.unwrap();
        assert_eq!(known.user.id, tenant.user_id);
        assert_ne!(validator.session().token().await.unwrap(), own);
    })
    .await;
}

#[actix_web::test]
async fn the_middleware_lets_in_whom_keystone_knows() {
    Tenant::with(async |tenant| {
        let validator = validator(|config| {
            config.token_cache_time = None;
            config.www_authenticate_uri = "http://public:5000".to_owned();
        });
        let service = validator.session().token().await.unwrap();
        let handler = async |identity: Identity| HttpResponse::Ok().json(shown(&identity));
        let app = App::new().wrap(AuthToken::new(validator)).default_service(web::to(handler));
        let app = test::init_service(app).await;
        let call = async |headers: &[(&'static str, &str)]| {
            let mut request = test::TestRequest::get();
            for (name, value) in headers {
                request = request.insert_header((*name, *value));
            }
            let answer = test::call_service(&app, request.to_request()).await;
            let challenge = answer.headers().get("WWW-Authenticate").map(|v| v.to_str().unwrap().to_owned());
            let status = answer.status().as_u16();
            let body: Value = test::read_body_json(answer).await;
            (status, challenge, body)
        };
        let session = tenant.session();
        let token = session.token().await.unwrap();
        let (status, _, body) = call(&[("X-Auth-Token", token.expose()), ("X-Roles", "admin")]).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(
            (body["project"].as_str(), body["service"].is_null()),
            (Some(tenant.project_id.as_str()), true)
        );
        assert!(!body["roles"].as_array().unwrap().contains(&json!("admin")), "{body}");
        assert_eq!(body["backup"], json!(true), "the catalogue is there");

        let both = [("X-Auth-Token", token.expose()), ("X-Service-Token", service.expose())];
        let (status, _, body) = call(&both).await;
        assert_eq!((status, body["service"].as_str()), (200, Some("freezer")), "{body}");

        let not_a_service = [("X-Auth-Token", token.expose()), ("X-Service-Token", token.expose())];
        revoke(&tenant.admin, &token).await;
        for headers in [&both[..], &not_a_service[..], &[("X-Auth-Token", token.expose())], &[]] {
            let (status, challenge, body) = call(headers).await;
            assert_eq!((status, challenge.as_deref()), (401, Some("Keystone uri=\"http://public:5000\"")));
            assert_eq!(body["error"]["code"], 401);
        }
    })
    .await;
}

fn shown(identity: &Identity) -> Value {
    let service = identity.service.as_ref().and_then(|service| service.user_name.clone());
    let catalog = identity.catalog();
    let backup = catalog.and_then(|catalog| catalog.endpoint("backup", Interface::Public, None));
    json!({"project": identity.project_id, "roles": identity.roles, "service": service, "backup": backup.is_some()})
}

#[actix_web::test]
async fn other_services_take_the_tokens() {
    let session = SessionOptions::from_env(&|name| {
        let value = match name {
            "OS_AUTH_URL" => keystone_url(),
            "OS_PASSWORD" => account_password(),
            "OS_USERNAME" | "OS_PROJECT_NAME" => "demo".to_owned(),
            "OS_USER_DOMAIN_NAME" | "OS_PROJECT_DOMAIN_NAME" => "Default".to_owned(),
            "OS_REGION_NAME" => "RegionOne".to_owned(),
            _ => return None,
        };
        Some(value)
    });
    let session = Session::new(session.unwrap()).unwrap();
    let answer = session.request(Method::GET, "object-store", "").query("limit", "1").send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}
