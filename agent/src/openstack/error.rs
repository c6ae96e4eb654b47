//! What can go wrong with a service of the cloud, told with the service, the resource, the cause and the next step.

use keystone::KeystoneError;
use thiserror::Error;

#[derive(Clone, Debug, Error)]
pub enum CloudError {
    /// No login, no endpoint, no answer.
    #[error("{service}: {cause}{}", after(.cause))]
    Session { service: &'static str, cause: KeystoneError },

    #[error(
        "{service} has no {what} in this project{request}; check the id, and that the job runs for the right project"
    )]
    NotFound { service: &'static str, what: String, request: String },

    #[error("{service} refuses {what} (status {status}): {message}{request}; {next}")]
    Refused {
        service: &'static str,
        what: String,
        status: u16,
        message: String,
        request: String,
        next: &'static str,
    },

    #[error(
        "the quota of the project does not allow {what}: {service} says: {message}{request}; free something or raise the quota"
    )]
    Quota { service: &'static str, what: String, message: String, request: String },

    #[error("{service}'s answer to {what} is not understood: {cause}{request}")]
    Answer { service: &'static str, what: String, cause: String, request: String },

    #[error("{service} is too old for {what}: it speaks up to {}.{}, needed is {}.{}", .known.0, .known.1, .needed.0, .needed.1)]
    TooOld { service: &'static str, what: String, known: (u32, u32), needed: (u32, u32) },

    /// A resource went where it does not come back from by itself.
    #[error("{resource} is {state} instead of {wanted}{detail}; see the logs of its service")]
    BadState { resource: String, state: String, wanted: String, detail: String },

    #[error(
        "{resource} was not {wanted} within {secs} s (it is {state}); see its service, or raise the option timeout"
    )]
    TooSlow { resource: String, state: String, wanted: String, secs: u64 },

    /// Several have the name, or none.
    #[error("{what}: {cause}")]
    Choice { what: String, cause: String },

    #[error("aborted")]
    Aborted,
}

impl CloudError {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// The cloud has no such service, or it does not do this for the project: an answer for good.
    pub fn is_lack(&self) -> bool {
        let has_none = matches!(self, Self::Session { cause: KeystoneError::NoEndpoint { .. }, .. });
        has_none || self.is_refusal()
    }

    /// The resource is at something else just now.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 409, .. })
    }

    /// The service did nothing of what it was asked for.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { status, .. } => (400..500).contains(status),
            Self::NotFound { .. } | Self::Quota { .. } | Self::TooOld { .. } => true,
            _ => false,
        }
    }

    /// From an answer with a status that is none of success. `request` is the service's id of the request.
    pub fn refused(
        service: &'static str,
        what: String,
        status: u16,
        text: &str,
        request: Option<&str>,
    ) -> Self {
        let message = message(text).unwrap_or_else(|| "no reason given".to_owned());
        let request = request.map(|id| format!(" (request {id})")).unwrap_or_default();
        let is_quota = status == 413
            || (matches!(status, 400 | 403 | 409)
                && ["uota", "LimitExceeded"].iter().any(|word| message.contains(word)));
        match status {
            404 => Self::NotFound { service, what, request },
            _ if is_quota => Self::Quota { service, what, message, request },
            _ => Self::Refused { service, what, status, message, request, next: next_step(status) },
        }
    }
}

/// A login that was good when the action began and is refused now.
fn after(cause: &KeystoneError) -> String {
    match cause {
        KeystoneError::Refused { .. } => format!("; {}", next_step(401)),
        _ => String::new(),
    }
}

fn next_step(status: u16) -> &'static str {
    match status {
        401 => "the login or its trust was ended: check the user, and set the job's client again",
        403 => "the user needs a role that may do this",
        409 | 400 => "check the state of the resource and the options of the action",
        500.. => "see the logs of the service",
        _ => "check the options of the action",
    }
}

/// `{"badRequest": {"message": "…"}}`, `{"NeutronError": {"message": …}}`, Barbican's `{"description": …}` or Glance's `<title>` page:
/// what of it is for people.
fn message(text: &str) -> Option<String> {
    let plain = |text: &str| {
        let text = text.replace("<br />", " ").replace(['\n', '\r'], " ");
        let text = text.split("</h1>").last().unwrap_or_default();
        let text = text.split("</body>").next().unwrap_or_default().trim().to_owned();
        (!text.is_empty()).then(|| text.chars().take(300).collect::<String>())
    };
    let Ok(document) = serde_json::from_str::<serde_json::Value>(text) else { return plain(text) };
    let object = document.as_object()?;
    let inner = object.values().find_map(|value| value.get("message")).or_else(|| object.get("message"));
    let inner = inner.or_else(|| object.get("description"))?;
    inner.as_str().and_then(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_service_resource_cause_and_next_step() {
        let text = r#"{"badRequest": {"code": 400, "message": "Invalid volume: it is attached"}}"#;
        let error = CloudError::refused("Cinder", "to delete volume v".into(), 400, text, Some("req-1"));
        let said = error.to_string();
        for word in ["Cinder", "to delete volume v", "it is attached", "req-1", "check the state"] {
            assert!(said.contains(word), "{word}: {said}");
        }
        assert!(error.is_busy());
    }

    #[test]
    fn quota_is_told_from_a_refusal() {
        let cinder = r#"{"overLimit": {"code": 413, "message": "SnapshotLimitExceeded: Maximum number"}}"#;
        assert!(matches!(
            CloudError::refused("Cinder", "x".into(), 413, cinder, None),
            CloudError::Quota { .. }
        ));
        let nova = r#"{"forbidden": {"code": 403, "message": "Quota exceeded for instances"}}"#;
        assert!(matches!(CloudError::refused("Nova", "x".into(), 403, nova, None), CloudError::Quota { .. }));
        let role = r#"{"forbidden": {"code": 403, "message": "Policy doesn't allow it"}}"#;
        assert!(matches!(
            CloudError::refused("Nova", "x".into(), 403, role, None),
            CloudError::Refused { .. }
        ));
        let page = "<html><head><title>403 Forbidden</title></head><body><h1>403 Forbidden</h1>No access.<br /><br /></body></html>";
        assert!(
            CloudError::refused("Glance", "x".into(), 403, page, None).to_string().contains("No access.")
        );
    }
}
