//! Sending to agents, after the commit that made it necessary.
//!
//! Messages are `mandatory`: one that no queue takes means that the agent is not there. The run then waits for it with growing
//! pauses (its hello ends the wait) and fails after `offline_timeout`.
//!
//! A run that was handed out stands as unsent until the broker's confirm is noted ([`crate::note_sent`]), and other
//! conductors take it over when that takes too long: this process may have died. An order is therefore never sent after
//! that time; what became of one that was not confirmed in time is left to the epochs.
//!
//! An agent on the HTTPS link has no queue. Its orders are the rows of its runs: the REST services read them there, and the
//! message only wakes the requests that wait for them. Such an agent is away when its heartbeats have stopped.

use crate::desk::Desk;
use crate::finish_run::finish_as;
use crate::note_sent::Sent;
use crate::slots;
use freezer_database::{DbError, Tx};
use freezer_model::outcome::take_back;
use freezer_model::rpc::{AGENT_TOPIC, API_TOPIC, AbortRun, EXCHANGE, RunAction, VERSION, WorkReady};
use freezer_model::{Client, ClientId, Link, Run, RunState, Timestamp};
use oslo_messaging::{Context, Error, RpcClient, Target};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// A message to an agent.
#[derive(Clone, Debug)]
pub(crate) enum Errand {
    Run {
        order: Box<RunAction>,
        /// It must not be sent later.
        until: Instant,
    },
    Abort {
        client_id: ClientId,
        order: AbortRun,
    },
    /// To the REST services: this agent has orders.
    Wake(WorkReady),
}

impl Errand {
    /// Hands a step to the client's agent.
    pub(crate) fn run(order: RunAction, client: &Client, until: Instant) -> Self {
        match client.link {
            Link::Http => Self::wake(client),
            Link::Amqp | Link::Poll => Self::Run { order: Box::new(order), until },
        }
    }

    /// Asks the client's agent to end a step.
    pub(crate) fn abort(run: &Run, client: &Client) -> Self {
        let order = AbortRun { run_id: run.run_id.clone(), epoch: run.epoch };
        match client.link {
            Link::Http => Self::wake(client),
            Link::Amqp | Link::Poll => Self::Abort { client_id: run.client_id.clone(), order },
        }
    }

    fn wake(client: &Client) -> Self {
        let (project_id, client_id) = (client.project_id.clone(), client.client_id.clone());
        Self::Wake(WorkReady { project_id, client_id })
    }
}

/// Whether nothing can be handed to the client's agent now. On the message bus only sending tells.
pub(crate) fn is_away(desk: &Desk, client: &Client, now: Timestamp) -> bool {
    let is_silent = || client.last_seen_at.is_none_or(|seen| now.since(seen) > desk.options.lease);
    client.link == Link::Http && is_silent()
}

/// How a run that waits for its agent is told from one that waits for its next attempt.
pub(crate) const OFFLINE: &str = "the agent is offline";
pub(crate) const SEND_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Sends one message and notes when nobody could receive it.
pub(crate) async fn send(desk: Arc<Desk>, errand: Errand, sent: UnboundedSender<Sent>) {
    match errand {
        Errand::Run { order, until } => {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::warn!(run = %order.run_id, "the step was not sent in time; it will be handed out again");
                return;
            }
            let context = order.request_id.as_deref().map(Context::request).unwrap_or_default();
            match cast(&desk, &order.client_id, "run_action", &context, &*order, left).await {
                // The receiver ends after all senders.
                Ok(()) => drop(sent.send((order.run_id, order.epoch))),
                Err(Error::Undeliverable { .. }) => undeliverable(&desk, *order).await,
                Err(error) => tracing::warn!(run = %order.run_id, "the step was perhaps not sent: {error}"),
            }
        }
        Errand::Abort { client_id, order } => {
            // The agent hears it again with its next report or heartbeat; when it is gone, the lease ends.
            if let Err(error) =
                cast(&desk, &client_id, "abort_run", &Context::new(), &order, SEND_TIMEOUT).await
            {
                tracing::info!(run = %order.run_id, client = %client_id, "the abort was not sent: {error}");
            }
        }
        Errand::Wake(ready) => {
            if let Err(error) = wake(&desk, &ready).await {
                tracing::info!(client = %ready.client_id, "its orders wait until it is asked again: {error}");
            }
        }
    }
}

pub(crate) async fn cast<T: Serialize>(
    desk: &Desk,
    client: &ClientId,
    method: &str,
    context: &Context,
    args: &T,
    patience: Duration,
) -> Result<(), Error> {
    let args =
        serde_json::to_value(args).map_err(|error| Error::Unserializable { cause: error.to_string() })?;
    let target = Target::topic(AGENT_TOPIC).exchange(EXCHANGE).version(VERSION).server(client.as_str());
    RpcClient::new(&desk.transport, target)
        .mandatory(true)
        .send_timeout(patience)
        .cast(context, method, args)
        .await
}

async fn wake(desk: &Desk, ready: &WorkReady) -> Result<(), Error> {
    let args =
        serde_json::to_value(ready).map_err(|error| Error::Unserializable { cause: error.to_string() })?;
    let target = Target::topic(API_TOPIC).exchange(EXCHANGE).version(VERSION).fanout(true);
    RpcClient::new(&desk.transport, target)
        .send_timeout(SEND_TIMEOUT)
        .cast(&Context::new(), "work_ready", args)
        .await
}

async fn undeliverable(desk: &Arc<Desk>, order: RunAction) {
    let outcome = desk
        .transaction(move |desk, tx| {
            let now = desk.clock.now();
            let Some(mut run) = tx.runs().get_for_update(&order.run_id)? else { return Ok(()) };
            if run.epoch != order.epoch || run.state != RunState::Dispatched {
                return Ok(());
            }
            wait_for_agent(desk, tx, &mut run, now)
        })
        .await;
    if let Err(error) = outcome {
        tracing::warn!("could not note that an agent is offline: {error}");
    }
    desk.wake.notify_one();
}

/// Takes a step back that no agent has begun: to be tried again later, or given up.
pub(crate) fn wait_for_agent(desk: &Desk, tx: &mut Tx, run: &mut Run, now: Timestamp) -> Result<(), DbError> {
    let freed = slots::of(run);
    take_back(run);
    tx.runs().wake_waiting(&freed)?;
    let since = run.steps.last().and_then(|step| step.finished_at).unwrap_or(run.created_at);
    let waited = now.since(since);
    if run.abort_requested {
        return finish_as(
            desk,
            tx,
            run,
            RunState::Aborted,
            Some("aborted before the agent began".to_owned()),
            now,
        );
    }
    if waited >= desk.options.offline_timeout {
        let error = format!(
            "agent {} could not be reached for {} s; see that it runs and is connected",
            run.client_id,
            waited.as_secs()
        );
        return finish_as(desk, tx, run, RunState::Fail, Some(error), now);
    }
    let pause = (waited / 2).clamp(FIRST_PAUSE, LONGEST_PAUSE).min(desk.options.offline_timeout - waited);
    run.error = Some(OFFLINE.to_owned());
    run.attention_at = Some(now.plus(pause));
    tracing::info!(run = %run.run_id, client = %run.client_id, "the agent is offline; trying again in {pause:?}");
    tx.runs().save(run)
}
