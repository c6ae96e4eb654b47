//! What can go wrong with Keystone, told so that an operator knows the next step.
//!
//! Errors are `Clone` because one login or validation is shared by all tasks that wait for it.
//! No error holds a token, a password or a request body.

use thiserror::Error;

#[derive(Clone, Debug, Error)]
pub enum KeystoneError {
    /// Credentials cannot be made of what was configured. Every problem is listed, not only the first.
    #[error("{place}: {}", problems.join("; "))]
    Options { place: String, problems: Vec<String> },

    /// A certificate, key or CA file cannot be used.
    #[error("TLS file {file} cannot be used: {cause}; check that it exists, is readable and is PEM")]
    TlsFile { file: String, cause: String },

    /// The HTTP client could not be built.
    #[error("HTTP client cannot be built: {cause}")]
    Client { cause: String },

    /// No answer: refused connection, lost connection, timeout, TLS failure.
    #[error("no answer from {url}: {cause}; check that the service runs and that the address is right")]
    Unreachable { url: String, cause: String },

    /// Keystone refused the credentials.
    #[error("Keystone at {url} refused the login of {who}: {detail}; check name, domain, secret and scope")]
    Refused { url: String, who: String, detail: String },

    /// Keystone did not do what was asked about a trust.
    #[error(
        "Keystone refused {what} (status {status}): {detail}; check that the trustor holds these roles in this project and \
         that roles and trustee exist"
    )]
    TrustRefused { what: String, status: u16, detail: String },

    /// Keystone answered something else than was asked for.
    #[error("{method} {url} was answered with status {status}: {detail}")]
    Answer { method: String, url: String, status: u16, detail: String },

    /// The answer is no document of the Identity API v3.
    #[error("{url} answered something that is no Identity API v3 document: {cause}; check auth_url")]
    BadDocument { url: String, cause: String },

    /// The catalogue has no such endpoint.
    #[error(
        "no {interface} endpoint of type {service_type} in region {region} in the service catalogue \
         (it has: {known}); register the endpoint, or set interface and region"
    )]
    NoEndpoint { service_type: String, interface: String, region: String, known: String },

    /// An address or header value cannot be sent.
    #[error("{what} cannot be used in a request: {cause}")]
    Unsendable { what: String, cause: String },

    /// The runtime that was carrying the login or validation stopped.
    #[error("the task that talked to Keystone was stopped; try again")]
    Stopped,
}

impl KeystoneError {
    pub(crate) fn unreachable(url: &str, error: &reqwest::Error) -> Self {
        Self::Unreachable { url: url.to_owned(), cause: causes(error) }
    }

    /// True when trying again later may help: nobody answered, or the server itself is unwell.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Stopped => true,
            Self::Answer { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

/// The innermost causes say what happened ("connection refused"); the outer text only repeats the address.
fn causes(error: &reqwest::Error) -> String {
    let mut texts = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        next = cause.source();
    }
    if error.is_timeout() {
        texts.insert(0, "timed out".to_owned());
    }
    match texts.is_empty() {
        true => "the request failed".to_owned(),
        false => texts.join(": "),
    }
}
