//! The HTTPS link, for agents in tenants' machines: the same messages as bodies of requests to freezer-api. The agent's
//! Keystone login is all it has; there is no broker and nothing listens.

use super::{ConductorLink, LinkError};
use async_trait::async_trait;
use freezer_model::rpc::{
    AgentHello, HelloReply, ReportReply, StepFinished, StepProgress, StepStarted, WorkReply, WorkRequest,
};
use keystone::{KeystoneError, Session, SessionOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Type of the service in Keystone's catalogue.
pub const SERVICE_TYPE: &str = "backup";
/// Longer than the service itself waits for a conductor.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one request for work waits at the service.
const WAIT: Duration = Duration::from_secs(25);

pub struct HttpLink {
    session: Session,
    project_id: String,
    client_id: String,
}

/// A session of the agent's own login (`OS_…` variables), which knows where the backup service is.
pub fn session(auth: &BTreeMap<String, String>) -> Result<Session, KeystoneError> {
    let mut options = SessionOptions::from_env(&|name| auth.get(name).cloned())?;
    // The callers repeat by themselves, with their own pauses.
    options.retries.max_retries = 0;
    options.user_agent = concat!("freezer-agent/", env!("CARGO_PKG_VERSION")).to_owned();
    if let Some(url) = auth.get("OS_BACKUP_URL").filter(|url| !url.trim().is_empty()) {
        options.endpoint_overrides.insert(SERVICE_TYPE.to_owned(), url.trim().to_owned());
    }
    Session::new(options)
}

/// Where a project's resources are below the service's address, which may name the version or the project already.
pub fn project_url(endpoint: &str, project_id: &str) -> String {
    let base = endpoint.trim_end_matches('/');
    let base = base.strip_suffix(&format!("/{project_id}")).unwrap_or(base);
    let base = base.strip_suffix("/v2").unwrap_or(base);
    format!("{base}/v2/{}", encoded(project_id))
}

/// A part of a path, percent-encoded.
pub fn encoded(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

impl HttpLink {
    pub fn new(session: Session, project_id: &str, client_id: &str) -> Self {
        Self { session, project_id: project_id.to_owned(), client_id: client_id.to_owned() }
    }

    /// Waits for orders beyond those the agent knows; empty when there were none in time.
    pub async fn work(&self, known: &WorkRequest) -> Result<WorkReply, LinkError> {
        let verb = format!("work?wait={}", WAIT.as_secs());
        self.post("work", &verb, known, WAIT + ANSWER_TIMEOUT).await
    }

    async fn call<A: Serialize, R: DeserializeOwned>(
        &self,
        verb: &'static str,
        message: &A,
    ) -> Result<R, LinkError> {
        self.post(verb, verb, message, ANSWER_TIMEOUT).await
    }

    async fn post<A: Serialize, R: DeserializeOwned>(
        &self,
        method: &'static str,
        verb: &str,
        message: &A,
        limit: Duration,
    ) -> Result<R, LinkError> {
        let no_answer = |error: KeystoneError| LinkError::no_answer(method, error);
        let endpoint = self.session.endpoint(SERVICE_TYPE, None, None).await.map_err(no_answer)?;
        let base = project_url(&endpoint, &self.project_id);
        let url = format!("{base}/agents/{}/{verb}", encoded(&self.client_id));
        let request = self.session.request_address(reqwest::Method::POST, &url).json(message).timeout(limit);
        let answer = request.send().await.map_err(no_answer)?;
        let status = answer.status().as_u16();
        let asked =
            answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let text = answer.text().await.map_err(|error| LinkError::no_answer(method, error.without_url()))?;
        if status == 200 {
            return serde_json::from_str(&text).map_err(|error| LinkError::Refused {
                method,
                cause: format!(
                    "{url} answered something else: {error}; check the address of the backup service"
                ),
            });
        }
        let cause = format!("{url} answered {status}: {}", described(&text));
        // A refused login may be mended by whoever owns the credential, and an ill service recovers.
        if status >= 500 || status == 429 || status == 401 || status == 408 {
            return Err(LinkError::NoAnswer { method, cause, retry_after: asked.map(Duration::from_secs) });
        }
        Err(LinkError::Refused { method, cause })
    }
}

/// What the service says about an error.
pub fn described(text: &str) -> String {
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    let said =
        document.get("description").or_else(|| document.pointer("/error/message")).or(document.get("title"));
    let said = said.and_then(Value::as_str).map_or_else(|| text.trim().to_owned(), str::to_owned);
    said.chars().take(500).collect()
}

#[async_trait]
impl ConductorLink for HttpLink {
    async fn hello(&self, hello: AgentHello) -> Result<HelloReply, LinkError> {
        self.call("hello", &hello).await
    }
    async fn heartbeat(&self, hello: AgentHello) -> Result<HelloReply, LinkError> {
        self.call("heartbeat", &hello).await
    }
    async fn step_started(&self, report: StepStarted) -> Result<ReportReply, LinkError> {
        self.call("started", &report).await
    }
    async fn step_progress(&self, report: StepProgress) -> Result<ReportReply, LinkError> {
        self.call("progress", &report).await
    }
    async fn step_finished(&self, report: StepFinished) -> Result<ReportReply, LinkError> {
        self.call("finished", &report).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_form_in_use() {
        for endpoint in [
            "http://h:9090",
            "http://h:9090/",
            "http://h:9090/v2",
            "http://h:9090/v2/",
            "http://h:9090/v2/p1",
        ] {
            assert_eq!(project_url(endpoint, "p1"), "http://h:9090/v2/p1", "{endpoint}");
        }
        assert_eq!(project_url("https://h/backup", "p1"), "https://h/backup/v2/p1");
        assert_eq!(encoded("a_b-c.d é/"), "a_b-c.d%20%C3%A9%2F");
    }

    #[test]
    fn errors_are_told_in_the_services_words() {
        assert_eq!(described(r#"{"title": "t", "description": "d"}"#), "d");
        assert_eq!(described(r#"{"error": {"code": 401, "message": "m"}}"#), "m");
        assert_eq!(described(" <html> "), "<html>");
    }
}
