//! The executor's link to the desk of its own process.

use super::desk::Desk;
use crate::links::{ConductorLink, LinkError};
use async_trait::async_trait;
use freezer_model::rpc::{
    AgentHello, HelloReply, ReportReply, StepFinished, StepProgress, StepStarted, Verdict,
};
use std::sync::Arc;

pub struct DeskLink(pub Arc<Desk>);

#[async_trait]
impl ConductorLink for DeskLink {
    async fn hello(&self, _hello: AgentHello) -> Result<HelloReply, LinkError> {
        Ok(HelloReply::default())
    }

    async fn heartbeat(&self, _hello: AgentHello) -> Result<HelloReply, LinkError> {
        Ok(HelloReply::default())
    }

    async fn step_started(&self, report: StepStarted) -> Result<ReportReply, LinkError> {
        Ok(self.0.started(&report).into())
    }

    async fn step_progress(&self, _report: StepProgress) -> Result<ReportReply, LinkError> {
        Ok(Verdict::Continue.into())
    }

    async fn step_finished(&self, report: StepFinished) -> Result<ReportReply, LinkError> {
        let answered = self.0.finished(&report).map(ReportReply::from);
        answered.map_err(|error| {
            LinkError::no_answer("step_finished", format!("the job's state cannot be written: {error}"))
        })
    }
}
