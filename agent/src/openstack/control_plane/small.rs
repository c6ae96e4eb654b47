//! The small parts of a control plane: the broker's definitions, Ceph's keys and the map of its monitors.

use super::conf::{CephConf, RabbitConf};
use keystone::{Auth, Session, SessionOptions};
use std::error::Error;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// One document, or why it is not there.
#[derive(Debug)]
pub struct Small {
    pub name: &'static str,
    pub kind: &'static str,
    pub body: Result<Vec<u8>, String>,
}

const PATIENCE: Duration = Duration::from_secs(120);

pub async fn rabbit(conf: &RabbitConf) -> Small {
    Small { name: "rabbitmq/definitions.json", kind: "rabbitmq", body: definitions(conf).await }
}

async fn definitions(conf: &RabbitConf) -> Result<Vec<u8>, String> {
    let said =
        |error: &dyn Error| format!("RabbitMQ's management interface at {}: {}", conf.url, causes(error));
    // A session without a login, for its client: its certificates, and redirects that carry nothing to other hosts.
    let nobody = Auth::None { user_id: String::new(), project_id: String::new() };
    let options = SessionOptions { cafile: conf.cafile.clone(), ..SessionOptions::new("", nobody) };
    let session = Session::new(options).map_err(|error| said(&error))?;
    let request = session.http().get(format!("{}/api/definitions", conf.url)).timeout(PATIENCE);
    let answer = request.basic_auth(&conf.user, Some(conf.password.as_str())).send().await;
    let answer = answer.map_err(|error| said(&error))?;
    if !answer.status().is_success() {
        return Err(format!("RabbitMQ's management interface at {} answers {}", conf.url, answer.status()));
    }
    answer.bytes().await.map(|body| body.to_vec()).map_err(|error| said(&error))
}

fn causes(error: &dyn Error) -> String {
    let inner = error.source().map(|cause| format!(": {}", causes(cause)));
    format!("{error}{}", inner.unwrap_or_default())
}

pub async fn ceph(conf: &CephConf) -> Vec<Small> {
    vec![
        Small { name: "ceph/keyring", kind: "ceph", body: ask_ceph(conf, &["auth", "export"]).await },
        Small {
            name: "ceph/monmap",
            kind: "ceph",
            body: ask_ceph(conf, &["mon", "getmap", "-o", "/dev/stdout"]).await,
        },
    ]
}

async fn ask_ceph(conf: &CephConf, words: &[&str]) -> Result<Vec<u8>, String> {
    let mut command = Command::new("ceph");
    command.args(["-c", &conf.conf, "--connect-timeout", "30"]);
    if let Some(client) = &conf.client {
        command.args(["--id", client]);
    }
    let child = command.args(words).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, child)
        .await
        .map_err(|_| format!("ceph {} has not ended within {} s", words.join(" "), PATIENCE.as_secs()))?
        .map_err(|error| format!("cannot start ceph: {error}"))?;
    // A cluster without cephx has no keys, and says nothing.
    if output.status.success() && (words.first() == Some(&"auth") || !output.stdout.is_empty()) {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().chars().take(500).collect::<String>();
    Err(format!("ceph {} ended with {}: {said}", words.join(" "), output.status))
}
