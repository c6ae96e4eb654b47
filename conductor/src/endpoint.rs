//! The RPC methods of the topic `freezer-conductor`.

use crate::desk::Desk;
use crate::heartbeats::heartbeat;
use crate::limit_run::limit_run;
use crate::{ConductorError, hello, reports};
use async_trait::async_trait;
use freezer_model::UserId;
use freezer_model::rpc::{APPLICATION_CREDENTIAL_KEY, JobChanged, VERSION};
use oslo_messaging::{Context, Endpoint, EndpointTarget, RemoteFailure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// Module name of our failures, as Python's tracebacks show one.
const MODULE: &str = "freezer.conductor";

pub(crate) struct ConductorEndpoint {
    pub desk: Arc<Desk>,
}

const METHODS: [&str; 7] = [
    "job_changed",
    "run_changed",
    "agent_hello",
    "agent_heartbeat",
    "step_started",
    "step_progress",
    "step_finished",
];

#[async_trait]
impl Endpoint for ConductorEndpoint {
    fn target(&self) -> EndpointTarget {
        EndpointTarget::version(VERSION)
    }

    fn methods(&self) -> &[&str] {
        &METHODS
    }

    /// All of them: reports are fenced by their epoch and known when they come again.
    fn idempotent(&self, _method: &str) -> bool {
        true
    }

    async fn call(&self, ctx: &Context, method: &str, args: Value) -> Result<Value, RemoteFailure> {
        match method {
            "job_changed" => {
                let _notice: JobChanged = read(args)?;
                self.desk.wake.notify_one();
                Ok(Value::Null)
            }
            "run_changed" => answer(limit_run(self.desk.clone(), read(args)?).await),
            "agent_hello" => self.hello(ctx, args, true).await,
            "agent_heartbeat" => self.hello(ctx, args, false).await,
            "step_started" => answer(reports::step_started(&self.desk, read(args)?).await),
            "step_progress" => answer(reports::step_progress(&self.desk, read(args)?).await),
            "step_finished" => answer(reports::step_finished(&self.desk, read(args)?).await),
            other => Err(RemoteFailure::no_such_method(other)),
        }
    }
}

impl ConductorEndpoint {
    async fn hello(&self, ctx: &Context, args: Value, is_first: bool) -> Result<Value, RemoteFailure> {
        // Agents on the message bus are the operator's; over HTTP somebody was authenticated.
        let speaker = hello::Speaker {
            user: UserId::from(ctx.text("user_id").unwrap_or_default()),
            credential: ctx.text(APPLICATION_CREDENTIAL_KEY).map(str::to_owned),
        };
        let noted = match is_first {
            true => hello::hello(&self.desk, read(args)?, speaker, true).await,
            false => heartbeat(&self.desk, read(args)?, speaker).await,
        };
        match noted {
            Ok(Ok(reply)) => to_value(&reply),
            Ok(Err(refusal)) => Err(RemoteFailure::new(MODULE, "ClientRefused", refusal.0)),
            Err(error) => Err(failure(&error)),
        }
    }
}

fn read<T: DeserializeOwned>(args: Value) -> Result<T, RemoteFailure> {
    serde_json::from_value(args).map_err(RemoteFailure::bad_arguments)
}

fn to_value<T: Serialize>(value: &T) -> Result<Value, RemoteFailure> {
    serde_json::to_value(value)
        .map_err(|error| RemoteFailure::new(MODULE, "Unserializable", error.to_string()))
}

fn answer<T: Serialize>(outcome: Result<T, ConductorError>) -> Result<Value, RemoteFailure> {
    match outcome {
        Ok(value) => to_value(&value),
        Err(error) => Err(failure(&error)),
    }
}

fn failure(error: &ConductorError) -> RemoteFailure {
    tracing::error!("a report could not be noted: {error}");
    RemoteFailure::new(MODULE, "ConductorError", error.to_string())
}
