//! A server for one test, and people to call it.

use freezer_api::notices::Notices;
use freezer_api::policy::Policy;
use freezer_api::serve::project_of_path;
use freezer_api::{ApiOptions, ApiParts};
use freezer_database::{Database, DatabaseOptions};
use freezer_model::{ManualClock, Timestamp};
use keystone::AuthToken;
use oslo_config::LoadArgs;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A MariaDB of one test, whose rows can be thrown away.
#[cfg(feature = "mysql")]
pub struct OnMariaDb {
    pub db: Database,
    place: freezer_testkit::TestDatabase,
    /// The tables with the rows that their migrations have put there.
    unwritten: Vec<(String, i64)>,
}

#[cfg(feature = "mysql")]
impl OnMariaDb {
    pub fn create() -> Self {
        let place = freezer_testkit::TestDatabase::create();
        let db = Database::connect(&DatabaseOptions::new(place.url())).unwrap();
        db.sync().unwrap();
        let unwritten = db.removal_plan().unwrap();
        Self { db, place, unwritten }
    }

    /// Removes what a test has written.
    pub fn empty(&self) {
        // In the order in which they would be dropped: no row is left that refers to one that is gone.
        let tables = self.db.removal_plan().unwrap();
        let written = tables.iter().filter(|table| !self.unwritten.contains(table));
        let statements: Vec<String> = written.map(|(name, _)| format!("DELETE FROM {name}")).collect();
        self.place.run(&statements.join("; "));
        assert_eq!(self.db.removal_plan().unwrap(), self.unwritten);
    }
}

/// What the clock of every test server says at first, in seconds.
pub const NOW: i64 = 1_767_225_600;

pub struct Api {
    pub base: String,
    pub db: Database,
    pub clock: Arc<ManualClock>,
    http: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    _folder: tempfile::TempDir,
}

/// Who calls.
#[derive(Clone, Copy)]
pub struct Who {
    pub user: &'static str,
    pub project: &'static str,
    pub roles: &'static str,
}

pub const ALICE: Who = Who { user: "alice", project: "p1", roles: "member,reader" };
pub const ANN: Who = Who { user: "ann", project: "p1", roles: "member,reader" };
pub const READER: Who = Who { user: "rita", project: "p1", roles: "reader" };
pub const MANAGER: Who = Who { user: "mona", project: "p1", roles: "manager" };
pub const NOBODY: Who = Who { user: "nora", project: "p1", roles: "auditor" };
pub const OTTO: Who = Who { user: "otto", project: "p2", roles: "member,reader" };
pub const SERVICE: Who = Who { user: "freezer", project: "service", roles: "service" };
pub const ADMIN: Who = Who { user: "root", project: "admin", roles: "admin,manager,member,reader" };

pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text))
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
    pub fn description(&self) -> String {
        self.json()["description"].as_str().unwrap_or_default().to_owned()
    }
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
    #[track_caller]
    pub fn expect_error(self, status: u16, title: &str, description: &str) {
        let expected = json!({"title": title, "description": description});
        assert_eq!((self.status, self.json()), (status, expected));
        assert_eq!((self.header("content-type"), self.header("vary")), ("application/json", "Accept"));
    }
    /// Refused as badly formed, with these words in the description.
    #[track_caller]
    pub fn expect_refusal(self, words: &str) {
        assert_eq!(self.status, 400, "{}", self.text);
        assert_eq!(self.json()["title"], "Bad request format");
        assert_eq!(self.header("vary"), "Accept");
        assert!(self.description().contains(words), "{words}: {}", self.text);
    }
}

impl Api {
    pub async fn start() -> Self {
        Self::start_with(|_| {}, Notices::default()).await
    }

    pub async fn start_with(change: impl FnOnce(&mut ApiOptions), notices: Notices) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}/freezer.sqlite", folder.path().display());
        let db = Database::connect(&DatabaseOptions { counts_statements: true, ..DatabaseOptions::new(url) })
            .unwrap();
        db.sync().unwrap();
        Self::over(db, folder, change, notices).await
    }

    pub async fn over(
        db: Database,
        folder: tempfile::TempDir,
        change: impl FnOnce(&mut ApiOptions),
        notices: Notices,
    ) -> Self {
        Self::under(Policy::defaults().unwrap(), db, folder, change, notices).await
    }

    /// Over a database that others use, too, under an operator's policy file.
    pub async fn governed(db: &Database, rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (rule_file, conf) = (folder.path().join("policy.yaml"), folder.path().join("freezer.conf"));
        std::fs::write(&rule_file, rules).unwrap();
        let text = format!(
            "[oslo_policy]\npolicy_file = {}\n[database]\nconnection = sqlite:///unused\n",
            rule_file.display()
        );
        std::fs::write(&conf, text).unwrap();
        let config =
            freezer_api::options::registry("freezer-api").load(LoadArgs::default().file(conf)).unwrap();
        let policy = Policy::from_config(&config).unwrap();
        Self::under(policy, db.clone(), folder, |_| {}, Notices::default()).await
    }

    async fn under(
        policy: Policy,
        db: Database,
        folder: tempfile::TempDir,
        change: impl FnOnce(&mut ApiOptions),
        notices: Notices,
    ) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(NOW)));
        let mut options = ApiOptions {
            bind_host: "127.0.0.1".to_owned(),
            bind_port: 0,
            workers: Some(1),
            shutdown_timeout: std::time::Duration::from_secs(1),
            ..ApiOptions::default()
        };
        change(&mut options);
        let parts = ApiParts {
            db: db.clone(),
            policy,
            notices,
            clock: clock.clone(),
            auth: AuthToken::noauth(project_of_path),
            trusts: None,
            options,
        };
        let listening = freezer_api::listen(parts).unwrap();
        let base = format!("http://{}", listening.addresses[0]);
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(listening.run(async move {
            let _ = stopped.await;
        }));
        Self { base, db, clock, http: reqwest::Client::new(), stop: Some(stop), _folder: folder }
    }

    pub fn request(&self, who: Who, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", self.base))
            .header("X-User-Id", who.user)
            .header("X-Project-Id", who.project)
            .header("X-Roles", who.roles)
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    /// A call below `/v2/<the caller's project>`.
    pub async fn call(&self, who: Who, method: &str, path: &str, body: Value) -> Answer {
        self.call_in(who, who.project, method, path, body).await
    }

    /// A call below `/v2/<project>`; a null body is none.
    pub async fn call_in(&self, who: Who, project: &str, method: &str, path: &str, body: Value) -> Answer {
        let mut request = self.request(who, method, &format!("/v2/{project}{path}"));
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        self.send(request).await
    }

    pub async fn get(&self, who: Who, path: &str) -> Answer {
        self.call(who, "GET", path, Value::Null).await
    }

    /// Registers a client and gives back its id.
    pub async fn client(&self, who: Who, id: &str) {
        self.call(who, "POST", "/clients", json!({ "client_id": id })).await.expect(201);
    }

    /// Creates a job on `node1` and gives back its id.
    pub async fn job(&self, who: Who, more: Value) -> String {
        let mut body = job_body();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.call(who, "POST", "/jobs", body).await.expect(201);
        answer.json()["job_id"].as_str().unwrap().to_owned()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

/// The smallest useful job.
pub fn job_body() -> Value {
    json!({
        "client_id": "node1",
        "job_actions": [{"freezer_action": {"action": "backup", "mode": "fs", "path_to_backup": "/etc", "backup_name": "etc", "container": "vault"}}],
    })
}
