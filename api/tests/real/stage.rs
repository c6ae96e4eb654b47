//! `freezer-api` as a process on real services, and people with Keystone tokens.

use freezer_conductor::{Conductor, ConductorOptions, ConductorParts};
use freezer_database::{Database, DatabaseOptions};
use freezer_model::SystemClock;
use freezer_testkit::private::{free_port, wait_for_port};
use freezer_testkit::{Daemon, TestDatabase, TestVhost, services};
use oslo_messaging::{RabbitOptions, Transport};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

pub struct Stage {
    pub base: String,
    pub vhost: TestVhost,
    pub folder: tempfile::TempDir,
    pub daemon: Daemon,
    http: reqwest::Client,
    database: Option<TestDatabase>,
}

/// An account of the test cloud with its token.
#[derive(Clone)]
pub struct Person {
    pub token: String,
    pub project_id: String,
    pub user_id: String,
}

pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A configuration file for all programs. Where the service listens is said on its command line, which has the last word.
pub fn configuration(folder: &Path, database: &str, transport: &str, keystone: &str) -> PathBuf {
    let path = folder.join("freezer.conf");
    let password = services::password();
    let text = format!(
        "[DEFAULT]\nbind_host = 192.0.2.1\nbind_port = 1\ntransport_url = {transport}\nmetrics = true\n\
         [database]\nconnection = {database}\npool_timeout = 1\nmax_retries = 1\nretry_interval = 1\n\
         [keystone_authtoken]\nwww_authenticate_uri = {keystone}\nauth_url = {keystone}\nauth_type = password\nusername = freezer\n\
         password = {password}\nuser_domain_name = Default\nproject_name = service\nproject_domain_name = Default\n\
         interface = public\nregion_name = RegionOne\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Runs `freezer-manage` and gives back what it printed.
pub fn manage(configuration: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_freezer-manage"))
        .arg("--config-file")
        .arg(configuration)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Stage {
    pub fn start() -> Self {
        let database = TestDatabase::create();
        let url = database.url();
        Self::on(&url, Some(database), &services::keystone_url())
    }

    pub fn on(database_url: &str, database: Option<TestDatabase>, keystone: &str) -> Self {
        Self::with(database_url, database, keystone, "")
    }

    /// `settings` are lines of `[keystone_authtoken]`, and whole sections behind them.
    pub fn set(settings: &str) -> Self {
        let database = TestDatabase::create();
        let url = database.url();
        Self::with(&url, Some(database), &services::keystone_url(), settings)
    }

    pub fn with(database_url: &str, database: Option<TestDatabase>, keystone: &str, settings: &str) -> Self {
        let vhost = TestVhost::create();
        let transport = vhost.url();
        Self::between(database_url, database, (transport.as_str(), vhost), keystone, settings)
    }

    /// With its own ways to a database and to a virtual host.
    pub fn between(
        database_url: &str,
        database: Option<TestDatabase>,
        (transport, vhost): (&str, TestVhost),
        keystone: &str,
        settings: &str,
    ) -> Self {
        let port = free_port();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let configuration = configuration(folder.path(), database_url, transport, keystone);
        let text = std::fs::read_to_string(&configuration).unwrap();
        std::fs::write(&configuration, text + settings).unwrap();
        assert!(manage(&configuration, &["db", "sync"]).contains("done: "));
        assert_eq!(manage(&configuration, &["db", "sync"]), "The schema is up to date.\n");
        let at = port.to_string();
        let file = configuration.to_str().unwrap();
        let arguments = ["--config-file", file, "--bind-host", "127.0.0.1", "--bind-port", at.as_str()];
        let program = PathBuf::from(env!("CARGO_BIN_EXE_freezer-api"));
        let mut daemon = Daemon::new("freezer-api", program, &arguments, folder.path().join("api.log"));
        daemon.start();
        wait_for_port(port, "freezer-api");
        let base = format!("http://127.0.0.1:{port}");
        // Before a server that was told to close idle connections early does.
        let http = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(1)).build().unwrap();
        Self { base, vhost, folder, daemon, http, database }
    }

    pub async fn person(&self, user: &str, project: &str) -> Person {
        let domain = json!({"name": "Default"});
        let body = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": user, "domain": domain,
            "password": services::password()}}}, "scope": {"project": {"name": project, "domain": domain}}}});
        let answer =
            self.http.post(format!("{}/auth/tokens", services::keystone_url())).body(body.to_string());
        let answer = answer
            .header("Content-Type", "application/json")
            .send()
            .await
            .expect("Keystone answers: make services");
        assert_eq!(answer.status(), 201, "{user} logs in");
        let token = answer.headers()["X-Subject-Token"].to_str().unwrap().to_owned();
        let document: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        Person { token, project_id: text("/token/project/id"), user_id: text("/token/user/id") }
    }

    /// A conductor on the stage's database, in this process.
    pub async fn conductor(&self, transport: &str) -> Conductor {
        let parts = ConductorParts {
            db: Database::connect(&DatabaseOptions::new(self.database_url())).unwrap(),
            transport: Transport::connect(transport, RabbitOptions::default()).unwrap(),
            clock: Arc::new(SystemClock),
            options: ConductorOptions::default(),
        };
        freezer_conductor::start(parts).await.unwrap()
    }

    pub fn database_url(&self) -> String {
        self.database.as_ref().unwrap().url()
    }

    /// Runs a statement in the stage's own database.
    pub fn sql(&self, statement: &str) {
        self.database.as_ref().unwrap().run(statement);
    }

    /// A call with any token (or none) to any path.
    pub async fn ask(&self, token: Option<&str>, method: &str, path: &str, body: Value) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).header("Accept", "application/json");
        if let Some(token) = token {
            request = request.header("X-Auth-Token", token);
        }
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.expect("freezer-api answers");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { status, headers, text: answer.text().await.unwrap() }
    }

    /// A call below the person's own project.
    pub async fn call(&self, who: &Person, method: &str, path: &str, body: Value) -> Answer {
        self.ask(Some(&who.token), method, &format!("/v2/{}{path}", who.project_id), body).await
    }
}
