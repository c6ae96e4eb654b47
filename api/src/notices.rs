//! Notices to the conductors. Sent after the commit and never waited for: a conductor finds every written job by its
//! attention time a little later anyway, so a broker that is away costs time and nothing else. And the questions of agents
//! on the HTTPS link, which are handed on and answered by a conductor or not at all.

use crate::caller::Caller;
use crate::error::ApiError;
use crate::pipeline::announce::Announcer;
use freezer_model::rpc::{
    APPLICATION_CREDENTIAL_KEY, CONDUCTOR_TOPIC, EXCHANGE, JobChanged, RunChanged, VERSION,
};
use freezer_model::{JobId, ProjectId, RunId};
use oslo_messaging::{Context, Error, RpcClient, Target, Transport};
use serde_json::{Value, json};
use std::time::Duration;

/// Longer than any healthy broker needs; after that the notice is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// A conductor writes to its database before it answers; longer than this it is not working.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The bus, or nothing where conductors only poll.
#[derive(Clone, Default)]
pub struct Notices {
    bus: Option<Bus>,
    announcer: Option<Announcer>,
}

#[derive(Clone)]
struct Bus {
    transport: Transport,
    conductors: RpcClient,
}

impl Notices {
    /// A client for the conductors' topic.
    pub fn on(transport: &Transport) -> Self {
        let target = Target::topic(CONDUCTOR_TOPIC).exchange(EXCHANGE).version(VERSION);
        let conductors = RpcClient::new(transport, target);
        Self { bus: Some(Bus { transport: transport.clone(), conductors }), announcer: None }
    }

    pub fn transport(&self) -> Option<&Transport> {
        self.bus.as_ref().map(|bus| &bus.transport)
    }

    /// Also tells others, over the bus, what users change and ask for.
    pub fn announcing(self, announcer: Announcer) -> Self {
        Self { announcer: Some(announcer), ..self }
    }

    pub fn announcer(&self) -> Option<&Announcer> {
        self.announcer.as_ref()
    }

    /// Calls a method of the conductors for an agent and waits for the answer.
    pub async fn ask(&self, caller: &Caller, method: &str, args: Value) -> Result<Value, ApiError> {
        let Some(bus) = &self.bus else {
            return Err(ApiError::no_conductor(
                "[DEFAULT] transport_url is not set: agents need it on this link",
            ));
        };
        // Mandatory: without any conductor the failure comes at once, not after the time-out.
        let call = bus.conductors.prepare().timeout(ANSWER_TIMEOUT).mandatory(true);
        call.call(&agent_context(caller), method, args).await.map_err(|error| match error {
            Error::Remote(failure) if failure.class == "ClientRefused" => ApiError::conflict(failure.message),
            Error::Remote(failure) if failure.class == "TypeError" => {
                ApiError::bad_request(format!("A conductor refused the message: {}", failure.message))
            }
            other => ApiError::no_conductor(other.to_string()),
        })
    }

    /// Says that a job was written or deleted.
    pub fn job_changed(&self, caller: &Caller, project: &ProjectId, job: &JobId) {
        let notice = JobChanged { project_id: project.clone(), job_id: job.clone() };
        self.cast(caller, "job_changed", json!(notice), format!("job {job}: conductors will poll"));
    }

    /// Says that a run has other limits.
    pub fn run_changed(&self, caller: &Caller, project: &ProjectId, run: &RunId) {
        let notice = RunChanged { project_id: project.clone(), run_id: run.clone() };
        self.cast(
            caller,
            "run_changed",
            json!(notice),
            format!("run {run}: its agent hears at its next report"),
        );
    }

    /// `without` says what becomes of it when the bus is away.
    fn cast(&self, caller: &Caller, method: &'static str, notice: Value, without: String) {
        let Some(client) = self.bus.as_ref().map(|bus| bus.conductors.clone()) else { return };
        let context = context(caller);
        let span = tracing::Span::current();
        let send = async move {
            match tokio::time::timeout(PATIENCE, client.cast(&context, method, notice)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!("conductors were not told; {without}: {error}"),
                Err(_) => tracing::warn!("conductors were not told; {without}: the bus is slow"),
            }
        };
        actix_web::rt::spawn(tracing::Instrument::instrument(send, span));
    }
}

/// The same for an agent: with the login it speaks by.
fn agent_context(caller: &Caller) -> Context {
    let credential = caller.identity.application_credential_id.as_deref();
    context(caller).with(APPLICATION_CREDENTIAL_KEY, credential.map_or(Value::Null, Value::from))
}

/// The keys of oslo.context that tell who asked. The token stays here.
fn context(caller: &Caller) -> Context {
    let text = |value: Option<&str>| value.map_or(Value::Null, Value::from);
    Context::new()
        .with("request_id", text(caller.request_id.as_deref()))
        .with("user", caller.user_id.as_str())
        .with("user_id", caller.user_id.as_str())
        .with("project_id", text(caller.project_id.as_ref().map(ProjectId::as_str)))
        .with("roles", caller.identity.roles.clone())
}
