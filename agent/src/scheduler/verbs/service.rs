//! The REST API as the verbs call it.

use super::super::exit::Failure;
use super::super::{config, serve};
use crate::links::http::{SERVICE_TYPE, described, encoded, project_url};
use keystone::Session;
use oslo_config::Config;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Items of one request of a list.
const PAGE: usize = 100;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

pub struct Service {
    session: Session,
    /// `…/v2/<project id>`
    base: String,
    /// This client.
    pub client_id: String,
}

impl Service {
    pub async fn connect(config: &Config) -> Result<Self, Failure> {
        let session = serve::session(config)?;
        let setup = |error: keystone::KeystoneError| Failure::setup(error.to_string());
        let project = session.project_id().await.map_err(setup)?;
        let project = project
            .ok_or_else(|| Failure::setup("the login has no project; set project_id or project_name"))?;
        let endpoint = session.endpoint(SERVICE_TYPE, None, None).await.map_err(setup)?;
        let base = project_url(&endpoint, &project);
        Ok(Self { session, base, client_id: config::client_id(config, &project) })
    }

    /// Status and document of an answer; a document that is none is null.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value, String), Failure> {
        let url = format!("{}{path}", self.base);
        let failed = |error: &dyn std::fmt::Display| Failure::command(format!("{method} {url}: {error}"));
        let mut request = self.session.request_address(method.clone(), &url).timeout(ANSWER_TIMEOUT);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| failed(&error))?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(|error| failed(&error.without_url()))?;
        let document = serde_json::from_str(&text).unwrap_or_default();
        Ok((status, document, text))
    }

    /// A call that must be answered with success.
    pub async fn must(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let (status, document, text) = self.call(method.clone(), path, body).await?;
        match status {
            200..=299 => Ok(document),
            _ => Err(Failure::command(format!(
                "{method} {path} was answered with {status}: {}",
                described(&text)
            ))),
        }
    }

    /// An item that must be there.
    pub async fn item(&self, noun: &str, id: &str) -> Result<Value, Failure> {
        let (status, document, text) = self.call(Method::GET, &item_path(noun, id), None).await?;
        match status {
            200 => Ok(document),
            404 => Err(Failure::command(format!("there is no {} {id}", noun.trim_end_matches('s')))),
            _ => Err(Failure::command(format!("{noun} {id}: answered with {status}: {}", described(&text)))),
        }
    }

    /// All items of a list that match a search.
    pub async fn all(&self, noun: &str, search: &Value) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        loop {
            let path = format!("/{noun}?limit={PAGE}&offset={}", items.len());
            let mut document = self.must(Method::GET, &path, Some(search)).await?;
            let Some(Value::Array(page)) = document.get_mut(noun).map(Value::take) else {
                return Err(Failure::command(format!("the answer to {path} has no {noun}")));
            };
            let is_last = page.len() < PAGE;
            items.extend(page);
            if is_last {
                return Ok(items);
            }
        }
    }

    /// A search for what is this client's, or for everything.
    pub fn own_or(&self, is_all: bool) -> Value {
        if is_all { json!({}) } else { json!({"match": [{"client_id": self.client_id}]}) }
    }

    /// Creates an item, or replaces the one whose id the document names.
    pub async fn create(&self, noun: &str, key: &str, document: &Value) -> Result<String, Failure> {
        let path = match document.get(key).and_then(Value::as_str).filter(|id| !id.is_empty()) {
            Some(id) => item_path(noun, id),
            None => format!("/{noun}"),
        };
        let made = self.must(Method::POST, &path, Some(document)).await?;
        let id = made.get(key).and_then(Value::as_str);
        id.map(str::to_owned)
            .ok_or_else(|| Failure::command(format!("the answer to POST {path} has no {key}")))
    }
}

pub fn item_path(noun: &str, id: &str) -> String {
    format!("/{noun}/{}", encoded(id))
}

/// The text of a value in a table; nothing for what is not there.
pub fn shown(document: &Value, pointer: &str) -> String {
    match document.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Reads a JSON document.
pub fn read(path: &Path) -> Result<Value, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::command(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let document: Value = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    if document.is_object() { Ok(document) } else { Err(failed(&"it is no JSON object")) }
}

/// Writes one for its owner only: jobs may hold passwords.
pub fn save(path: &Path, document: &Value) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let opened = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    let written = opened.and_then(|mut file| writeln!(file, "{document:#}"));
    written.map_err(|error| Failure::command(format!("{}: {error}", path.display())))
}

/// Prints it, or saves it where `--file` says.
pub fn show(document: &Value, file: Option<&str>) -> Result<(), Failure> {
    match file {
        Some(file) => save(Path::new(file), document),
        None => {
            println!("{document:#}");
            Ok(())
        }
    }
}
