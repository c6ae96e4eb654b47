//! Hello and heartbeats: the conductor learns that this agent lives and which steps it holds.

use super::central;
use super::executor::{Executor, Order};
use crate::links::Backoff;
use freezer_model::rpc::{AgentHello, HelloReply};
use std::sync::Arc;
use std::time::Duration;

/// Pauses after a hello that nobody answered.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Executor {
    fn hello(&self) -> AgentHello {
        let options = self.options();
        AgentHello {
            project_id: options.project_id.clone(),
            client_id: options.client_id.clone(),
            hostname: options.hostname.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: central::announced(&options),
            is_central: options.is_central,
            concurrent_jobs: u32::try_from(options.concurrency.max(1)).ok(),
            held: self.held_steps(),
            link: options.link,
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
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let hello = agent.hello();
        let answer = if known { agent.link.heartbeat(hello).await } else { agent.link.hello(hello).await };
        let pause = match answer {
            Ok(reply) => {
                if !known {
                    tracing::info!(
                        "registered as client {} of project {}",
                        agent.options().client_id,
                        agent.options().project_id
                    );
                }
                known = true;
                backoff.reset();
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
                backoff.pause(error.retry_after())
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = agent.introduce.notified() => {}
        }
    }
}
