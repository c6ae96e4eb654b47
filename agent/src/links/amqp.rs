//! The AMQP link: calls to the conductors' topic, and the endpoint that takes work.

use super::{ConductorLink, LinkError};
use crate::daemon::{Accepted, Executor};
use async_trait::async_trait;
use freezer_model::rpc::{
    AGENT_TOPIC, AbortRun, AgentHello, CONDUCTOR_TOPIC, EXCHANGE, HelloReply, LimitRun, ReportReply,
    RunAction, StepFinished, StepProgress, StepStarted, VERSION,
};
use oslo_messaging::{
    AckPolicy, Context, Endpoint, EndpointTarget, Error, RemoteFailure, RpcClient, RpcServer, ServerOptions,
    Target, Transport,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A conductor writes to its database before it answers; longer than this it is not working.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

pub struct AmqpLink {
    client: RpcClient,
}

impl AmqpLink {
    pub fn new(transport: &Transport) -> Self {
        let target = Target::topic(CONDUCTOR_TOPIC).exchange(EXCHANGE).version(VERSION);
        Self { client: RpcClient::new(transport, target) }
    }

    async fn call<A: Serialize, R: DeserializeOwned>(
        &self,
        method: &'static str,
        args: &A,
    ) -> Result<R, LinkError> {
        let refused = |cause: String| LinkError::Refused { method, cause };
        let args = serde_json::to_value(args).map_err(|error| refused(error.to_string()))?;
        // Mandatory: without any conductor the failure comes at once, not after the time-out.
        let call = self.client.prepare().timeout(ANSWER_TIMEOUT).mandatory(true);
        let answer = call.call(&Context::new(), method, args).await.map_err(|error| match error {
            Error::Remote(remote) => refused(remote.to_string()),
            other => LinkError::no_answer(method, other),
        })?;
        serde_json::from_value(answer).map_err(|error| refused(format!("unreadable answer: {error}")))
    }
}

#[async_trait]
impl ConductorLink for AmqpLink {
    async fn hello(&self, hello: AgentHello) -> Result<HelloReply, LinkError> {
        self.call("agent_hello", &hello).await
    }
    async fn heartbeat(&self, hello: AgentHello) -> Result<HelloReply, LinkError> {
        self.call("agent_heartbeat", &hello).await
    }
    async fn step_started(&self, report: StepStarted) -> Result<ReportReply, LinkError> {
        self.call("step_started", &report).await
    }
    async fn step_progress(&self, report: StepProgress) -> Result<ReportReply, LinkError> {
        self.call("step_progress", &report).await
    }
    async fn step_finished(&self, report: StepFinished) -> Result<ReportReply, LinkError> {
        self.call("step_finished", &report).await
    }
}

/// Longer than a reconnection takes, and much shorter than a lease.
const QUEUE_OUTLIVES_AGENT: std::time::Duration = std::time::Duration::from_secs(20);

/// Starts to take work: the agent's own queue on the topic of the agents, named by its client id.
pub async fn serve(
    transport: &Transport,
    executor: Arc<Executor>,
    client_id: &str,
) -> oslo_messaging::Result<RpcServer> {
    let target = Target::topic(AGENT_TOPIC).exchange(EXCHANGE).server(client_id).version(VERSION);
    // Orders are journaled before they are acknowledged, and repeats are recognised by their epoch.
    // A dead agent must be seen as such: its queue goes soon after it, and at once when it stops.
    let options = ServerOptions {
        ack: AckPolicy::AfterWork,
        delete_server_queue: true,
        server_queue_expires: Some(QUEUE_OUTLIVES_AGENT),
        ..ServerOptions::default()
    };
    RpcServer::start(transport, target, vec![Arc::new(Orders(executor))], options).await
}

struct Orders(Arc<Executor>);

#[async_trait]
impl Endpoint for Orders {
    fn target(&self) -> EndpointTarget {
        EndpointTarget::version(VERSION)
    }

    fn methods(&self) -> &[&str] {
        &["run_action", "abort_run", "limit_run", "ping"]
    }

    fn idempotent(&self, _method: &str) -> bool {
        true
    }

    async fn call(&self, _ctx: &Context, method: &str, args: Value) -> Result<Value, RemoteFailure> {
        match method {
            "run_action" => {
                let accepted = self.0.run_action(read::<RunAction>(args)?);
                let accepted = accepted
                    .map_err(|error| failure("IOError", format!("cannot journal the step: {error}")))?;
                Ok(json!({"accepted": accepted == Accepted::New}))
            }
            "abort_run" => Ok(json!({"found": self.0.abort(&read::<AbortRun>(args)?)})),
            "limit_run" => Ok(json!({"found": self.0.limit(&read::<LimitRun>(args)?)})),
            _ => Ok(json!("pong")),
        }
    }
}

fn read<T: DeserializeOwned>(args: Value) -> Result<T, RemoteFailure> {
    serde_json::from_value(args).map_err(|error| failure("ValueError", format!("arguments: {error}")))
}

fn failure(class: &str, message: String) -> RemoteFailure {
    RemoteFailure::new("builtins", class, message)
}
