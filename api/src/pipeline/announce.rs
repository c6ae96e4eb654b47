//! oslo notifications about what users changed, and CADF audit events of every call, as keystonemiddleware writes them.
//!
//! Both are off unless configured. They are sent after the answer is made and never waited for; a bus that is away for long
//! costs events, with a warning, and no request. Bodies, query strings and tokens are never told.

use crate::call::{ChangedJob, RequestId};
use crate::state::ApiState;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::USER_AGENT;
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, web};
use keystone::Identity;
use oslo_messaging::{Context, Notifier, Priority};
use prometheus_client::metrics::counter::Counter;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Events under way at a time; more are dropped.
const UNDER_WAY: usize = 256;

/// Where events go.
#[derive(Clone)]
pub struct Announcer {
    notifier: Notifier,
    /// Audit events, too.
    audits: bool,
    room: Arc<Semaphore>,
    lost: Counter,
}

impl Announcer {
    pub fn new(notifier: Notifier, audits: bool) -> Self {
        Self { notifier, audits, room: Arc::new(Semaphore::new(UNDER_WAY)), lost: Counter::default() }
    }

    /// Counts the events that were not sent.
    pub fn lost(&self) -> Counter {
        self.lost.clone()
    }

    fn send(&self, context: Context, event_type: String, payload: Value) {
        self.send_as(Priority::Info, context, event_type, payload);
    }

    fn send_as(&self, priority: Priority, context: Context, event_type: String, payload: Value) {
        let Ok(permit) = self.room.clone().try_acquire_owned() else {
            self.lost.inc();
            tracing::warn!("event {event_type} is dropped: too many wait for the bus");
            return;
        };
        let (notifier, lost) = (self.notifier.clone(), self.lost.clone());
        actix_web::rt::spawn(async move {
            let _permit = permit;
            if let Err(error) = notifier.notify(&context, priority, &event_type, payload).await {
                lost.inc();
                tracing::warn!("event {event_type} was not sent: {error}");
            }
        });
    }
}

/// Middleware behind authentication.
pub async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let state = request.app_data::<web::Data<ApiState>>().cloned();
    let announcer = state.and_then(|state| state.notices.announcer().cloned());
    let asked = announcer.as_ref().map(|_| Asked::of(request.request()));
    if let (Some(announcer), Some(asked)) = (&announcer, &asked)
        && announcer.audits
    {
        announcer.send(asked.context(), "audit.http.request".to_owned(), asked.audit(None));
    }
    let response = next.call(request).await?;
    if let (Some(announcer), Some(asked)) = (&announcer, &asked) {
        if announcer.audits {
            let event = asked.audit(Some(response.status()));
            announcer.send(asked.context(), "audit.http.response".to_owned(), event);
        }
        if response.status().is_success() {
            for (event_type, payload) in asked.changes(response.request()) {
                announcer.send(asked.context(), event_type.to_owned(), payload);
            }
        }
        for (priority, event_type, payload) in asked.failures(response.request(), response.status()) {
            announcer.send_as(priority, asked.context(), event_type.to_owned(), payload);
        }
    }
    Ok(response)
}

/// What the events say about a request.
struct Asked {
    id: String,
    method: Method,
    path: String,
    /// The route: `/v2/{project_id}/jobs/{job_id}`.
    pattern: String,
    identity: Option<Identity>,
    address: String,
    agent: String,
    correlation: String,
}

impl Asked {
    fn of(request: &HttpRequest) -> Self {
        let id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
        let identity = request.extensions().get::<Identity>().cloned();
        let agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
        Self {
            id: id.unwrap_or_default(),
            method: request.method().clone(),
            path: request.path().chars().take(512).collect(),
            pattern: request.match_pattern().unwrap_or_default(),
            identity,
            address: request.peer_addr().map_or_else(String::new, |address| address.ip().to_string()),
            agent: agent.unwrap_or_default().chars().take(255).collect(),
            correlation: uuid::Uuid::new_v4().to_string(),
        }
    }

    fn context(&self) -> Context {
        let roles = self.identity.as_ref().map(|identity| identity.roles.clone()).unwrap_or_default();
        Context::new()
            .with("request_id", self.id.as_str())
            .with("user", self.user_id())
            .with("user_id", self.user_id())
            .with("project_id", json!(self.project_of_token()))
            .with("roles", roles)
    }

    fn user_id(&self) -> &str {
        self.identity.as_ref().map_or("", |identity| identity.user_id.as_str())
    }

    fn project_of_token(&self) -> Option<&str> {
        self.identity.as_ref().and_then(|identity| identity.project_id.as_deref())
    }

    /// The parts of the route behind the project: `["jobs", "{job_id}", "event"]`.
    fn parts(&self) -> Vec<&str> {
        self.pattern.split('/').filter(|part| !part.is_empty()).skip(2).collect()
    }

    fn action(&self) -> String {
        let parts = self.parts();
        let is_item = parts.last().is_some_and(|last| last.starts_with('{'));
        match (self.method.as_str(), parts.as_slice()) {
            ("GET" | "HEAD", _) if is_item => "read".to_owned(),
            ("GET" | "HEAD", _) => "read/list".to_owned(),
            ("POST", [_, _, verb]) => format!("update/{verb}"),
            ("POST", _) if !is_item => "create".to_owned(),
            ("DELETE", _) => "delete".to_owned(),
            ("POST" | "PUT" | "PATCH", _) => "update".to_owned(),
            _ => "unknown".to_owned(),
        }
    }

    /// A CADF event; without a status the call has only been asked for.
    fn audit(&self, status: Option<StatusCode>) -> Value {
        let parts = self.parts();
        let collection = parts.first().copied().unwrap_or("versions");
        let target = match parts.get(1) {
            Some(_) => format!("service/backup/{collection}/{}", collection.trim_end_matches('s')),
            None => format!("service/backup/{collection}"),
        };
        let outcome = match status {
            None => "pending",
            Some(status) if status.as_u16() < 400 => "success",
            Some(_) => "failure",
        };
        let mut event = json!({
            "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
            "eventType": "activity",
            "id": uuid::Uuid::new_v4().to_string(),
            "eventTime": chrono::Utc::now().format("%Y-%m-%dT%H:%M:%S%.6f+0000").to_string(),
            "action": self.action(),
            "outcome": outcome,
            "observer": {"id": "target"},
            "initiator": {
                "id": self.user_id(),
                "typeURI": "service/security/account/user",
                "name": self.identity.as_ref().and_then(|identity| identity.user_name.as_deref()),
                "credential": {"token": "***", "identity_status": "Confirmed"},
                "host": {"address": self.address, "agent": self.agent},
                "project_id": self.project_of_token(),
                "request_id": self.id,
            },
            "target": {"id": "backup", "typeURI": target, "name": "freezer", "addresses": []},
            "requestPath": self.path,
            "tags": [format!("correlation_id?value={}", self.correlation)],
        });
        if let (Some(status), Value::Object(map)) = (status, &mut event) {
            let code = status.as_u16().to_string();
            map.insert("reason".to_owned(), json!({"reasonType": "HTTP", "reasonCode": code}));
            let reporter = json!({"role": "modifier", "reporter": {"id": "target"}, "reporterTime": map.get("eventTime")});
            map.insert("reporterchain".to_owned(), json!([reporter]));
        }
        event
    }

    fn backup(&self, request: &HttpRequest) -> Value {
        let part = |name: &str| request.match_info().get(name);
        json!({"backup_id": part("backup_id"), "project_id": part("project_id"), "user_id": self.user_id()})
    }

    /// Events about what should have been done and was not. A call that was refused has not begun anything.
    fn failures(&self, request: &HttpRequest, status: StatusCode) -> Vec<(Priority, &'static str, Value)> {
        let is_deletion = self.method == Method::DELETE && matches!(self.parts().as_slice(), ["backups", _]);
        if !is_deletion || !status.is_server_error() {
            return Vec::new();
        }
        let backup = self.backup(request);
        let mut failed = backup.clone();
        if let Value::Object(map) = &mut failed {
            map.insert("error".to_owned(), json!(format!("the service answered {status}")));
        }
        vec![
            (Priority::Info, "backup.delete.start", backup),
            (Priority::Error, "backup.delete.error", failed),
        ]
    }

    /// Events about what a successful call has changed. `request` is the answer's: only routing has filled in its path.
    fn changes(&self, request: &HttpRequest) -> Vec<(&'static str, Value)> {
        let named = |name: &str| request.match_info().get(name).map(str::to_owned);
        let job = || {
            let changed = request.extensions().get::<ChangedJob>().map(|job| job.0.to_string());
            json!({"job_id": changed.or_else(|| named("job_id")), "project_id": named("project_id"), "user_id": self.user_id()})
        };
        match (self.method.as_str(), self.parts().as_slice()) {
            ("POST", ["jobs"]) => vec![("job.create", job())],
            ("POST" | "PATCH", ["jobs", _]) => vec![("job.update", job())],
            ("DELETE", ["jobs", _]) => vec![("job.delete", job())],
            ("POST", ["jobs", _, "event"]) => vec![("job.event", job())],
            ("DELETE", ["backups", _]) => {
                let backup = self.backup(request);
                vec![("backup.delete.start", backup.clone()), ("backup.delete.end", backup)]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn asked(method: &str, pattern: &str) -> Asked {
        Asked {
            id: "req-1".into(),
            method: method.parse().unwrap(),
            path: "/v2/p/backups/b".into(),
            pattern: format!("/v2/{{project_id}}{pattern}"),
            identity: None,
            address: "192.0.2.7".into(),
            agent: "test/1.0".into(),
            correlation: "c".into(),
        }
    }

    #[test]
    fn actions_are_named_as_keystonemiddleware_names_them() {
        for (method, pattern, expected) in [
            ("GET", "/backups", "read/list"),
            ("GET", "/backups/{backup_id}", "read"),
            ("DELETE", "/backups/{backup_id}", "delete"),
            ("POST", "/jobs", "create"),
            ("POST", "/jobs/{job_id}", "update"),
            ("PATCH", "/jobs/{job_id}", "update"),
            ("POST", "/jobs/{job_id}/event", "update/event"),
        ] {
            assert_eq!(asked(method, pattern).action(), expected, "{method} {pattern}");
        }
    }

    #[test]
    fn an_audit_event_has_the_shape_of_cadf() {
        let call = asked("DELETE", "/backups/{backup_id}");
        let (request, answer) = (call.audit(None), call.audit(Some(StatusCode::NO_CONTENT)));
        assert_eq!((&request["outcome"], &answer["outcome"]), (&json!("pending"), &json!("success")));
        assert_eq!(answer["target"]["typeURI"], "service/backup/backups/backup");
        assert_eq!(answer["reason"], json!({"reasonType": "HTTP", "reasonCode": "204"}));
        assert_eq!(answer["initiator"]["credential"]["token"], "***");
        assert_eq!(request["tags"], answer["tags"]);
        assert_eq!(call.audit(Some(StatusCode::FORBIDDEN))["outcome"], "failure");
    }

    #[test]
    fn a_deletion_that_fails_is_told_and_one_that_is_refused_is_not() {
        let request = actix_web::test::TestRequest::default()
            .param("project_id", "p")
            .param("backup_id", "b")
            .to_http_request();
        let deletion = asked("DELETE", "/backups/{backup_id}");
        let told = deletion.failures(&request, StatusCode::SERVICE_UNAVAILABLE);
        let names: Vec<_> = told.iter().map(|(priority, name, _)| (*priority, *name)).collect();
        assert_eq!(
            names,
            [(Priority::Info, "backup.delete.start"), (Priority::Error, "backup.delete.error")]
        );
        assert_eq!((&told[1].2["backup_id"], &told[1].2["project_id"]), (&json!("b"), &json!("p")));
        assert!(deletion.failures(&request, StatusCode::FORBIDDEN).is_empty());
        assert!(
            asked("DELETE", "/jobs/{job_id}").failures(&request, StatusCode::SERVICE_UNAVAILABLE).is_empty()
        );
    }
}
