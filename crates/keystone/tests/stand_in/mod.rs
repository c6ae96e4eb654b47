//! A Keystone that can be told to misbehave: slow, ill, refusing, gone. What it was asked is written down.
//!
//! Beside the real Keystone (see `real_keystone.rs`), which does none of this on demand. Its tokens are those of
//! the captured vectors.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use keystone::{Auth, Clock, Domain, Named, Scope, SessionOptions};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

pub struct StandIn {
    pub base: String,
    pub shared: Arc<Shared>,
    handle: ServerHandle,
}

pub struct Shared {
    base: Mutex<String>,
    log: Mutex<Vec<Asked>>,
    tokens: Mutex<HashMap<String, Value>>,
    /// Answers to give instead of the right ones, by "METHOD path", first come first served.
    faults: Mutex<HashMap<String, VecDeque<Fault>>>,
    gate: watch::Sender<bool>,
    logins: Mutex<Logins>,
}

struct Logins {
    count: u64,
    life: TimeDelta,
    number_tokens: bool,
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub request: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

#[derive(Clone)]
pub struct Fault {
    pub status: u16,
    pub retry_after: Option<&'static str>,
    /// Stays for all requests to come.
    pub for_ever: bool,
}

pub fn fault(status: u16) -> Fault {
    Fault { status, retry_after: None, for_ever: false }
}

pub fn iso(delta_secs: i64) -> String {
    iso_at(Utc::now() + TimeDelta::seconds(delta_secs))
}

pub fn iso_at(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

impl StandIn {
    pub async fn start() -> Self {
        let (gate, _) = watch::channel(true);
        let shared = Arc::new(Shared {
            base: Mutex::default(),
            log: Mutex::default(),
            tokens: Mutex::default(),
            faults: Mutex::default(),
            gate,
            logins: Mutex::new(Logins { count: 0, life: TimeDelta::hours(1), number_tokens: false }),
        });
        let state = web::Data::from(Arc::clone(&shared));
        let server =
            HttpServer::new(move || App::new().app_data(state.clone()).default_service(web::to(answer)))
                .workers(1)
                .disable_signals()
                .bind(("127.0.0.1", 0))
                .unwrap();
        let base = format!("http://{}", server.addrs()[0]);
        *shared.base.lock().unwrap() = base.clone();
        *shared.tokens.lock().unwrap() = vector_tokens(&base);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { base, shared, handle }
    }

    /// From here on nobody answers at this address.
    pub async fn stop(&self) {
        self.handle.stop(false).await;
    }

    pub fn take_log(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.shared.log.lock().unwrap())
    }

    /// What was asked since the last look, as "METHOD path?query".
    pub fn take_requests(&self) -> Vec<String> {
        self.take_log().into_iter().map(|asked| asked.request).collect()
    }

    pub fn count(&self, request: &str) -> usize {
        self.shared.log.lock().unwrap().iter().filter(|asked| asked.request == request).count()
    }

    pub fn add_token(&self, name: &str, document: Value) {
        self.shared.tokens.lock().unwrap().insert(name.to_owned(), json!({"token": document}));
    }

    pub fn revoke(&self, name: &str) {
        self.shared.tokens.lock().unwrap().remove(name);
    }

    pub fn project_token(&self) -> Value {
        project_token(&self.base)
    }

    /// The next requests of this kind get these answers.
    pub fn fail(&self, request: &str, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.lock().unwrap().insert(request.to_owned(), faults.into_iter().collect());
    }

    pub fn mend(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// While closed, requests are noted but not answered.
    pub fn close_gate(&self) {
        self.shared.gate.send_replace(false);
    }

    pub fn open_gate(&self) {
        self.shared.gate.send_replace(true);
    }

    /// How long the tokens of its logins live, and that each login brings another token (`own-1`, `own-2`, …).
    pub fn logins(&self, life: TimeDelta) {
        let mut logins = self.shared.logins.lock().unwrap();
        logins.life = life;
        logins.number_tokens = true;
    }

    pub async fn wait_for(&self, request: &str, count: usize) {
        wait_until(&format!("{count} times {request}"), || self.count(request) >= count).await;
    }

    pub fn options(&self) -> SessionOptions {
        options(&self.base)
    }
}

pub fn options(auth_url: &str) -> SessionOptions {
    let domain = || Domain::Id("default".to_owned());
    let user = Named::Name { name: "backup".to_owned(), domain: domain() };
    let scope = Scope::Project(Named::Name { name: "service".to_owned(), domain: domain() });
    let mut options = SessionOptions::new(auth_url, Auth::Password { user, password: "x".into(), scope });
    options.retries.first_pause = Duration::from_millis(1);
    options.retries.longest_pause = Duration::from_millis(20);
    options
}

pub async fn wait_until(what: &str, mut met: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    while !met() {
        assert!(tokio::time::Instant::now() < end, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A clock turned by hand. Starts at the present.
pub struct HandClock(AtomicI64);

impl HandClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(Utc::now().timestamp())))
    }

    pub fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0.load(Ordering::SeqCst), 0).unwrap()
    }
}

async fn answer(request: HttpRequest, body: web::Bytes, shared: web::Data<Shared>) -> HttpResponse {
    let query = request.query_string();
    let path = request.path().to_owned();
    let shown = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
    let headers = request.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let asked = Asked {
        request: format!("{} {shown}", request.method()),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    shared.log.lock().unwrap().push(asked.clone());
    let mut gate = shared.gate.subscribe();
    gate.wait_for(|open| *open).await.unwrap();
    if let Some(fault) = next_fault(&shared, &format!("{} {path}", request.method())) {
        let mut response = HttpResponse::build(StatusCode::from_u16(fault.status).unwrap());
        if let Some(when) = fault.retry_after {
            response.insert_header(("Retry-After", when));
        }
        return response.json(json!({"error": {"code": fault.status, "message": "as told"}}));
    }
    match (request.method().as_str(), path.trim_end_matches('/')) {
        ("GET", "") => {
            HttpResponse::MultipleChoices().json(json!({"versions": {"values": [version(&shared)]}}))
        }
        ("GET", "/v3") => HttpResponse::Ok().json(json!({"version": version(&shared)})),
        ("POST", "/v3/auth/tokens") => log_in(&shared),
        ("GET", "/v3/auth/tokens") => validate(&shared, &asked, query),
        (_, service) if service.starts_with("/service") => HttpResponse::Ok().body(body),
        _ => not_found(),
    }
}

fn next_fault(shared: &Shared, request: &str) -> Option<Fault> {
    let mut faults = shared.faults.lock().unwrap();
    let list = faults.get_mut(request)?;
    let fault = list.front()?.clone();
    if !fault.for_ever {
        list.pop_front();
    }
    Some(fault)
}

fn version(shared: &Shared) -> Value {
    let base = shared.base.lock().unwrap().clone();
    json!({"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": format!("{base}/v3/")}]})
}

fn not_found() -> HttpResponse {
    HttpResponse::NotFound().json(json!({"error": {"code": 404, "message": "Failed to validate token"}}))
}

fn log_in(shared: &Shared) -> HttpResponse {
    let mut logins = shared.logins.lock().unwrap();
    logins.count += 1;
    let token = if logins.number_tokens { format!("own-{}", logins.count) } else { "own-token".to_owned() };
    let mut document = project_token(&shared.base.lock().unwrap());
    document["user"]["id"] = json!("u-svc");
    document["expires_at"] = json!(iso_at(Utc::now() + logins.life));
    document["roles"] = json!([{"id": "r-3", "name": "service"}]);
    HttpResponse::Created().insert_header(("X-Subject-Token", token)).json(json!({"token": document}))
}

fn validate(shared: &Shared, asked: &Asked, query: &str) -> HttpResponse {
    let subject = asked.headers.get("x-subject-token").map_or("", String::as_str);
    let Some(mut found) = shared.tokens.lock().unwrap().get(subject).cloned() else { return not_found() };
    let ends: DateTime<Utc> = found["token"]["expires_at"].as_str().unwrap().parse().unwrap();
    if ends < Utc::now() && !query.contains("allow_expired=1") {
        return not_found();
    }
    let has_rules = found.pointer("/token/application_credential/access_rules").is_some();
    if has_rules && !asked.headers.contains_key("openstack-identity-access-rules") {
        return not_found();
    }
    if query.contains("nocatalog") {
        found["token"].as_object_mut().unwrap().remove("catalog");
    }
    HttpResponse::Ok().json(found)
}

fn catalog(base: &str) -> Value {
    let endpoint = |interface: &str, region: &str, url: &str| json!({"id": "e", "interface": interface, "region": region, "region_id": region, "url": url});
    let identity = format!("{base}/v3");
    json!([
        {"type": "identity", "name": "keystone", "id": "svc-id", "endpoints": [
            endpoint("public", "RegionOne", &identity),
            endpoint("internal", "RegionOne", &identity),
            endpoint("admin", "RegionOne", &identity)]},
        {"type": "backup", "name": "backup", "id": "svc-b", "endpoints": [
            endpoint("public", "RegionOne", "http://backup.example.com/v1"),
            endpoint("internal", "RegionTwo", "http://backup2.internal/v1")]},
        {"type": "object-store", "name": "swift", "id": "svc-o", "endpoints": [
            endpoint("public", "RegionOne", &format!("{base}/service"))]}])
}

fn project_token(base: &str) -> Value {
    let default = json!({"id": "default", "name": "Default"});
    json!({
        "methods": ["password"], "expires_at": iso(3600), "issued_at": iso(-10), "audit_ids": ["aud-1"],
        "user": {"id": "u-1", "name": "alice", "domain": default, "password_expires_at": null},
        "roles": [{"id": "r-1", "name": "member"}, {"id": "r-2", "name": "reader"}],
        "project": {"id": "p-1", "name": "demo", "domain": default}, "is_domain": false,
        "catalog": catalog(base),
    })
}

/// The tokens the captured scenarios speak of.
fn vector_tokens(base: &str) -> HashMap<String, Value> {
    let with = |changes: Value, without: &[&str]| {
        let mut token = project_token(base);
        let fields = token.as_object_mut().unwrap();
        for (key, value) in changes.as_object().unwrap() {
            fields.insert(key.clone(), value.clone());
        }
        for key in without {
            fields.remove(*key);
        }
        json!({"token": token})
    };
    let default = json!({"id": "default", "name": "Default"});
    let rules = json!([
        {"id": "ar-1", "service": "backup", "method": "GET", "path": "/v1/backups/*"},
        {"id": "ar-2", "service": "backup", "method": "POST", "path": "/v1/{project}/jobs/**"}]);
    let credential = |rules: Value| {
        json!({"methods": ["application_credential"], "application_credential":
            {"id": "ac-1", "name": "cred", "restricted": true, "access_rules": rules}})
    };
    let free = json!({"methods": ["application_credential"],
        "application_credential": {"id": "ac-2", "name": "free", "restricted": false}});
    let service = json!({"user": {"id": "u-svc", "name": "nova", "domain": default},
        "project": {"id": "p-svc", "name": "service", "domain": default},
        "roles": [{"id": "r-3", "name": "service"}]});
    let unscoped = ["project", "is_domain"];
    [
        ("user-token", with(json!({}), &[])),
        ("padded", with(json!({}), &[])),
        ("domain-token", with(json!({"domain": {"id": "d-1", "name": "Dom"}}), &unscoped)),
        (
            "system-token",
            with(json!({"system": {"all": true}, "roles": [{"id": "r-9", "name": "admin"}]}), &unscoped),
        ),
        ("unscoped-token", with(json!({"catalog": [], "roles": []}), &unscoped)),
        ("admin-project-token", with(json!({"is_admin_project": false}), &[])),
        ("expired-token", with(json!({"expires_at": iso(-60)}), &[])),
        ("service-token", with(service, &[])),
        ("appcred-token", with(credential(rules), &[])),
        ("appcred-norules-token", with(credential(json!([])), &[])),
        ("appcred-unrestricted-token", with(free, &[])),
        ("bound-token", with(json!({"bind": {"kerberos": "alice@EXAMPLE.COM"}}), &[])),
        ("unicode-token", with(json!({"user": {"id": "u-2", "name": "Žofie", "domain": default}}), &[])),
    ]
    .into_iter()
    .map(|(name, token)| (name.to_owned(), token))
    .collect()
}
