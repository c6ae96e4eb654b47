//! How an agent reaches its conductor. One link exists: AMQP, for hosts of the cloud.

pub mod amqp;

use async_trait::async_trait;
use freezer_model::rpc::{AgentHello, HelloReply, ReportReply, StepFinished, StepProgress, StepStarted};

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
    NoAnswer { method: &'static str, cause: String },
    #[error("a conductor refused {method}: {cause}")]
    Refused { method: &'static str, cause: String },
}
