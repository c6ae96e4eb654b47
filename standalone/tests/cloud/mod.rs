//! The whole service as an operator runs it: its programs as processes, on real parts.

#![allow(dead_code)] // each test file uses its part

pub mod admin;
pub mod adopted;
pub mod central;
pub mod credential;
pub mod cut;
pub mod detour;
pub mod ec2;
pub mod ground;
pub mod heat;
pub mod left;
pub mod one_shot;
pub mod project;
pub mod restored;
pub mod secrets;
pub mod servers;
pub mod service;
pub mod stage;
pub mod step;
pub mod tls;
pub mod whole;

use freezer_testkit::{Daemon, private, program, random_name, services};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// For machines that have other things to do.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks at something that is waited for.
pub const LOOK: Duration = Duration::from_millis(300);

/// A Keystone login of the test cloud.
pub struct Login {
    pub token: String,
    pub project_id: String,
}

/// Logs in and answers token and project.
pub async fn login(user: &str, project: &str) -> Login {
    let body = json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {"name": user, "domain": {"id": "default"}, "password": services::password()}}},
        "scope": {"project": {"name": project, "domain": {"id": "default"}}}}});
    let url = format!("{}/auth/tokens", services::keystone_url());
    let answer = http()
        .post(&url)
        .json(&body)
        .send()
        .await
        .unwrap_or_else(|error| panic!("Keystone: {error}; make services"));
    assert!(answer.status().is_success(), "login of {user}: {}", answer.status());
    let token = answer.headers()["x-subject-token"].to_str().unwrap().to_owned();
    let document: Value = answer.json().await.unwrap();
    Login { token, project_id: document["token"]["project"]["id"].as_str().unwrap().to_owned() }
}

pub fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

/// A user's hands on the REST API.
pub struct User {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl User {
    pub fn new(api_port: u16, login: &Login) -> Self {
        Self {
            http: http(),
            base: format!("http://127.0.0.1:{api_port}/v2/{}", login.project_id),
            token: login.token.clone(),
        }
    }

    pub async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), reqwest::Error> {
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).header("X-Auth-Token", &self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, document) = self.call(reqwest::Method::GET, path, None).await.unwrap();
        assert_eq!(status, 200, "GET {path}: {document}");
        document
    }

    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, document) = self.call(reqwest::Method::POST, path, Some(body)).await.unwrap();
        assert!((200..300).contains(&status), "POST {path}: {status} {document}");
        document
    }

    /// Waits until the job has a finished run (the `count`th), and answers it whole.
    pub async fn finished_run(&self, job_id: &str, count: usize) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let runs = self.get(&format!("/jobs/{job_id}/runs?limit=100")).await;
            let mut done: Vec<&Value> = runs["runs"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|run| run["finished_at"].as_i64().unwrap() > 0)
                .collect();
            // Listed with the newest first.
            done.reverse();
            if let Some(run) = done.get(count - 1) {
                return self.get(&format!("/runs/{}", run["run_id"].as_str().unwrap())).await;
            }
            assert!(Instant::now() < end, "run {count} of job {job_id} has not ended: {runs:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Removes a container of the login's project with everything in it.
pub async fn remove_container(login: &Login, container: &str) {
    let http = http();
    let base = format!("http://127.0.0.1:8080/v1/AUTH_{}/{container}", login.project_id);
    let list =
        http.get(&base).header("X-Auth-Token", &login.token).send().await.unwrap().text().await.unwrap();
    for name in list.lines() {
        let path: String = name
            .split('/')
            .map(|part| part.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>())
            .collect::<Vec<_>>()
            .join("/");
        http.delete(format!("{base}/{path}")).header("X-Auth-Token", &login.token).send().await.unwrap();
    }
    let gone = http.delete(&base).header("X-Auth-Token", &login.token).send().await.unwrap();
    assert!(gone.status().is_success(), "container {container} stays: {}", gone.status());
}

/// The programs of the service, with their configuration under `folder`.
pub struct Cloud {
    pub api_port: u16,
    pub api: Daemon,
    pub conductor: Daemon,
    pub agent: Daemon,
    pub client_id: String,
}

/// What the configuration is made from.
pub struct Parts<'a> {
    pub database_url: &'a str,
    pub rabbit_url: &'a str,
    pub project_id: &'a str,
    /// Login of the agent (user and project), for Swift.
    pub agent_login: (&'a str, &'a str),
}

impl Cloud {
    /// Writes the configuration, makes the schema, starts everything.
    pub fn start(folder: &Path, parts: &Parts<'_>) -> Self {
        let mut cloud =
            Self::start_services(folder, parts, |client_id, _| agent_conf(folder, client_id, parts));
        cloud.agent.start();
        cloud
    }

    /// The same without starting the agent, whose configuration is made from its client id and the API's port.
    pub fn start_services(folder: &Path, parts: &Parts<'_>, agent: impl FnOnce(&str, u16) -> String) -> Self {
        let api_port = private::free_port();
        let client_id = format!("host-{}", random_name());
        write(folder, "api.conf", &api_conf(api_port, parts));
        write(folder, "conductor.conf", &conductor_conf(parts));
        write(folder, "agent.conf", &agent(&client_id, api_port));
        let conf = |name: &str| folder.join(name).display().to_string();
        let synced = std::process::Command::new(program("freezer-manage"))
            .args(["--config-file", &conf("api.conf"), "db", "sync"])
            .output()
            .unwrap();
        assert!(synced.status.success(), "db sync: {}", String::from_utf8_lossy(&synced.stderr));
        let daemon = |name: &str, arguments: &[&str]| {
            Daemon::new(name, program(name), arguments, folder.join(format!("{name}.log")))
        };
        let mut cloud = Self {
            api_port,
            api: daemon("freezer-api", &["--config-file", &conf("api.conf")]),
            conductor: daemon("freezer-conductor", &["--config-file", &conf("conductor.conf")]),
            agent: daemon("freezer-agent", &["--config-file", &conf("agent.conf"), "serve"]),
            client_id,
        };
        cloud.api.start();
        cloud.conductor.start();
        private::wait_for_port(api_port, "freezer-api");
        cloud
    }

    /// Kills one program without a word and starts it again.
    pub fn crash(&mut self, name: &str) {
        let daemon = match name {
            "api" => &mut self.api,
            "conductor" => &mut self.conductor,
            _ => &mut self.agent,
        };
        daemon.kill();
        daemon.start();
    }

    /// Waits until the agent has said hello.
    pub async fn wait_for_agent(&self, user: &User) {
        self.wait_for_link(user, "amqp").await;
    }

    /// Waits until the agent has said hello on this link.
    pub async fn wait_for_link(&self, user: &User, link: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let (status, document) =
                user.call(reqwest::Method::GET, &format!("/clients/{}", self.client_id), None).await.unwrap();
            if status == 200 && document["client"]["link"] == link {
                return;
            }
            assert!(Instant::now() < end, "the agent is not registered: {status} {document}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

pub fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

pub fn api_conf(port: u16, parts: &Parts<'_>) -> String {
    format!(
        "[DEFAULT]\ndebug = true\nbind_host = 127.0.0.1\nbind_port = {port}\ntransport_url = {}\n[database]\nconnection = {}\n\
         [keystone_authtoken]\nauth_type = password\nauth_url = {}\nusername = freezer\npassword = {}\nproject_name = service\n\
         user_domain_id = default\nproject_domain_id = default\nregion_name = RegionOne\ninterface = public\nservice_type = backup\n",
        parts.rabbit_url,
        parts.database_url,
        services::keystone_url(),
        services::password()
    )
}

pub fn conductor_conf(parts: &Parts<'_>) -> String {
    format!(
        "[DEFAULT]\ndebug = true\ntransport_url = {}\n[database]\nconnection = {}\n[conductor]\npoll_interval = 0.5\nheartbeat_interval = 1\nlease = 5\nmax_losses = 20\n",
        parts.rabbit_url, parts.database_url
    )
}

fn agent_conf(folder: &Path, client_id: &str, parts: &Parts<'_>) -> String {
    format!(
        "[DEFAULT]\ndebug = true\ntransport_url = {}\n[agent]\nclient_id = {client_id}\nproject_id = {}\nstate_dir = {}\nprogress_interval = 0.2\n\
         [service_auth]\nauth_type = password\nauth_url = {}\nusername = {}\npassword = {}\nproject_name = {}\n\
         user_domain_id = default\nproject_domain_id = default\nregion_name = RegionOne\n",
        parts.rabbit_url,
        parts.project_id,
        folder.join("state").display(),
        services::keystone_url(),
        parts.agent_login.0,
        services::password(),
        parts.agent_login.1
    )
}
