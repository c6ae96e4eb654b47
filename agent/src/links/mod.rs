//! How an agent reaches its conductor: AMQP for hosts of the cloud, HTTPS through freezer-api for tenants' machines.

pub mod amqp;
mod backoff;
pub mod http;
pub mod pull;

pub use backoff::Backoff;

use async_trait::async_trait;
use freezer_model::rpc::{AgentHello, HelloReply, ReportReply, StepFinished, StepProgress, StepStarted};
use std::time::Duration;

/// The agent's side of the messages in [`freezer_model::rpc`]. Every call is answered by a conductor or
/// fails; the caller repeats what must not be lost.
#[async_trait]
pub trait ConductorLink: Send + Sync {
    async fn hello(&self, hello: AgentHello) -> Result<HelloReply, LinkError>;
    async fn heartbeat(&self, hello: AgentHello) -> Result<HelloReply, LinkError>;
    async fn step_started(&self, report: StepStarted) -> Result<ReportReply, LinkError>;
    async fn step_progress(&self, report: StepProgress) -> Result<ReportReply, LinkError>;
    async fn step_finished(&self, report: StepFinished) -> Result<ReportReply, LinkError>;
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("no conductor answered {method}: {cause}")]
    NoAnswer { method: &'static str, cause: String, retry_after: Option<Duration> },
    #[error("a conductor refused {method}: {cause}")]
    Refused { method: &'static str, cause: String },
}

impl LinkError {
    pub(crate) fn no_answer(method: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::NoAnswer { method, cause: cause.to_string(), retry_after: None }
    }

    /// When the other side wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoAnswer { retry_after, .. } => *retry_after,
            Self::Refused { .. } => None,
        }
    }
}
