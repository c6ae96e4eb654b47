//! Hello and heartbeats: the conductor learns that this agent lives and which steps it holds.

use super::executor::{Executor, Order};
use freezer_model::rpc::{AgentHello, HelloReply};
use std::sync::Arc;
use std::time::Duration;

/// Pause after a hello that nobody answered.
const RETRY: Duration = Duration::from_secs(2);

impl Executor {
    fn hello(&self) -> AgentHello {
        AgentHello {
            project_id: self.options.project_id.clone(),
            client_id: self.options.client_id.clone(),
            hostname: self.options.hostname.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: self.options.capabilities.clone(),
            is_central: self.options.is_central,
            concurrent_jobs: u32::try_from(self.options.concurrency.max(1)).ok(),
            held: self.held_steps(),
        }
    }

    fn obey_hello(&self, reply: &HelloReply) {
        for step in &reply.drop {
            self.send(step, Order::Drop);
        }
        for step in &reply.abort {
            self.send(step, Order::Abort);
        }
    }
}

/// Says hello until somebody answers, then beats for ever. `greeted` is told after each answer.
pub async fn heartbeat_forever(agent: Arc<Executor>, greeted: tokio::sync::watch::Sender<bool>) {
    let mut known = false;
    loop {
        let hello = agent.hello();
        let answer = if known { agent.link.heartbeat(hello).await } else { agent.link.hello(hello).await };
        let pause = match answer {
            Ok(reply) => {
                if !known {
                    tracing::info!(
                        "registered as client {} of project {}",
                        agent.options.client_id,
                        agent.options.project_id
                    );
                }
                known = true;
                agent.obey_hello(&reply);
                greeted.send_replace(true);
                Duration::from_secs(reply.heartbeat_secs.max(1))
            }
            Err(error) => {
                // Said once when it begins; a conductor that is away for an hour is one line, not thousands.
                if known || !*greeted.borrow() {
                    tracing::warn!("{error}; trying again");
                }
                known = false;
                greeted.send_replace(false);
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}
