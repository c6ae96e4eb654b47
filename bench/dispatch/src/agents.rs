//! Agents that take every order and do nothing.

use async_trait::async_trait;
use freezer_model::rpc::{AGENT_TOPIC, EXCHANGE, RunAction, VERSION};
use freezer_model::{Clock, Epoch, RunId, SystemClock};
use oslo_messaging::{
    AckPolicy, Context, Endpoint, EndpointTarget, RemoteFailure, RpcServer, ServerOptions, Target, Transport,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// An order that arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub run: RunId,
    pub epoch: Epoch,
    pub job: String,
    pub at: Instant,
    pub at_ms: i64,
}

struct Ears(mpsc::UnboundedSender<Received>);

#[async_trait]
impl Endpoint for Ears {
    fn target(&self) -> EndpointTarget {
        EndpointTarget::version(VERSION)
    }
    fn methods(&self) -> &[&str] {
        &["run_action"]
    }
    fn idempotent(&self, _method: &str) -> bool {
        true
    }
    async fn call(&self, _ctx: &Context, _method: &str, args: Value) -> Result<Value, RemoteFailure> {
        let order: RunAction = serde_json::from_value(args).map_err(RemoteFailure::bad_arguments)?;
        let received = Received {
            run: order.run_id,
            epoch: order.epoch,
            job: order.job_id.into_string(),
            at: Instant::now(),
            at_ms: SystemClock.now().0,
        };
        // Nobody collects any more: the measurement is over.
        let _ = self.0.send(received);
        Ok(json!({"accepted": true}))
    }
}

pub async fn start(
    transport: &Transport,
    client_id: &str,
    orders: mpsc::UnboundedSender<Received>,
) -> oslo_messaging::Result<RpcServer> {
    let target = Target::topic(AGENT_TOPIC).exchange(EXCHANGE).version(VERSION).server(client_id);
    let options =
        ServerOptions { ack: AckPolicy::AfterWork, delete_server_queue: true, ..ServerOptions::default() };
    RpcServer::start(transport, target, vec![Arc::new(Ears(orders))], options).await
}
