//! Hello of agents: who they are, that they live, and which steps they hold. Heartbeats that say nothing new are in
//! [`crate::heartbeats`].
//!
//! A client id is also the name of the agent's queue on the message bus, whatever its project. Two live agents of one name
//! would get each other's work, so the second one is refused; a row whose agent fell silent long ago loses its link.
//! Agents on the HTTPS link have no queue: they are known by project and name, and touch nobody else's.

use crate::ConductorError;
use crate::claim_runs::lose;
use crate::desk::Desk;
use crate::dispatch::OFFLINE;
use crate::leases::renew;
use crate::reporter::may_report;
use crate::reports::held;
use freezer_database::{DbError, Tx};
use freezer_model::rpc::{AgentHello, HelloReply, Reporter, STEPS_MAX};
use freezer_model::{Client, Epoch, Holder, Link, RunId, RunState, Timestamp, UserId};
use std::collections::HashSet;
use std::sync::Arc;

/// Why a hello is refused, in words for the agent's log.
#[derive(Debug)]
pub(crate) struct Refusal(pub String);

/// Silence (in leases) after which another project's agent of the same name counts as gone.
const GONE_AFTER_LEASES: u32 = 3;

/// Steps that one hello takes back because it does not name them. Of more the leases end by themselves, a little later.
const LOST_AT_ONCE: usize = 100;

/// Steps that are looked at for one hello. The REST service takes far fewer; agents on the message bus are the operator's.
const HELD_MOST: usize = 50_000;

pub(crate) async fn hello(
    desk: &Arc<Desk>,
    hello: AgentHello,
    speaker: Speaker,
    is_first: bool,
) -> Result<Result<HelloReply, Refusal>, ConductorError> {
    if hello.held.len() > HELD_MOST {
        return Ok(Err(Refusal(format!(
            "agent {} names {} steps that it works on, at most {HELD_MOST} are taken; start it anew",
            hello.client_id,
            hello.held.len()
        ))));
    }
    let reply = desk
        .transaction(move |desk, tx| {
            let now = desk.clock.now();
            // Two that come at once would not see each other.
            tx.clients().lock_name(&hello.client_id)?;
            if let Some(refusal) = settle_name(desk, tx, &hello, now)? {
                return Ok(Err(refusal));
            }
            if let Some(refusal) = check_holder(tx, &hello, &speaker)? {
                return Ok(Err(refusal));
            }
            let is_new = register(tx, &hello, &speaker.user, now)?;
            if speaker.is_held_to_it(&hello) {
                let login = Holder::binding(speaker.credential.as_deref());
                tx.clients().bind(&hello.project_id, &hello.client_id, login)?;
            }
            let reply = renew(desk, tx, &[&hello], now)?.pop().unwrap_or_default();
            if is_first || is_new {
                welcome(desk, tx, &hello, is_first, now)?;
            }
            Ok(Ok(reply))
        })
        .await?;
    desk.wake.notify_one();
    Ok(reply)
}

/// The login behind a hello. Over HTTP the REST service has authenticated it; agents on the message bus are the operator's.
#[derive(Clone)]
pub(crate) struct Speaker {
    pub user: UserId,
    pub credential: Option<String>,
}

impl Speaker {
    pub(crate) fn is_held_to_it(&self, hello: &AgentHello) -> bool {
        hello.link == Link::Http && !self.user.as_str().is_empty()
    }
}

/// Within a project a name is its first login's.
fn check_holder(tx: &mut Tx, hello: &AgentHello, speaker: &Speaker) -> Result<Option<Refusal>, DbError> {
    if !speaker.is_held_to_it(hello) {
        return Ok(None);
    }
    let holder = tx.clients().holder(&hello.project_id, &hello.client_id)?;
    let is_other = holder.is_some_and(|holder| !holder.admits(&speaker.user, speaker.credential.as_deref()));
    Ok(is_other.then(|| Refusal(Holder::refusal(&hello.client_id))))
}

/// Sees to it that the client id means one agent.
fn settle_name(
    desk: &Desk,
    tx: &mut Tx,
    hello: &AgentHello,
    now: Timestamp,
) -> Result<Option<Refusal>, DbError> {
    let all = tx.clients().of_any_project(&hello.client_id)?;
    let (own, mut others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|client| client.project_id == hello.project_id);
    if hello.link == Link::Http {
        // As for any registration by a user: a central client's name is taken for all who come after it.
        let is_taken = own.is_empty() && others.iter().any(|other| other.is_central);
        return Ok(is_taken.then(|| in_use(hello)));
    }
    if hello.is_central && others.iter().any(|other| other.is_central && other.link != Link::Amqp) {
        return Ok(Some(Refusal(format!(
            "client id {} is a central client of another project; delete that one, or give this agent another client_id",
            hello.client_id
        ))));
    }
    others.retain(|other| other.link == Link::Amqp);
    for mut other in others {
        let silence = other.last_seen_at.map_or(std::time::Duration::MAX, |seen| now.since(seen));
        if silence < desk.options.lease * GONE_AFTER_LEASES {
            return Ok(Some(in_use(hello)));
        }
        other.link = Link::Poll;
        // For all projects the name means this agent now.
        other.is_central &= !hello.is_central;
        tx.clients().save(&other)?;
    }
    Ok(None)
}

fn in_use(hello: &AgentHello) -> Refusal {
    Refusal(format!(
        "client id {} is in use by an agent of another project; give this agent another client_id",
        hello.client_id
    ))
}

/// Writes what the agent says about itself; keeps what users wrote. Returns whether it came to our link only now.
fn register(tx: &mut Tx, hello: &AgentHello, user: &UserId, now: Timestamp) -> Result<bool, DbError> {
    let known = tx.clients().of_any_project(&hello.client_id)?;
    let known = known.into_iter().find(|client| client.project_id == hello.project_id);
    let link = if hello.link == Link::Http { Link::Http } else { Link::Amqp };
    let is_new = known.as_ref().is_none_or(|client| client.link != link);
    let mut client = known.unwrap_or_else(|| Client {
        project_id: hello.project_id.clone(),
        client_id: hello.client_id.clone(),
        uuid: uuid::Uuid::new_v4().simple().to_string(),
        user_id: user.clone(),
        hostname: None,
        description: None,
        capabilities: hello.capabilities.clone(),
        is_central: hello.is_central,
        link,
        agent_version: None,
        created_at: now,
        last_seen_at: None,
    });
    client.hostname = Some(hello.hostname.clone());
    client.capabilities = hello.capabilities.clone();
    client.is_central = hello.is_central;
    client.agent_version = Some(hello.agent_version.clone());
    client.link = link;
    client.last_seen_at = Some(now);
    tx.clients().upsert(&client)?;
    tx.clients().set_concurrent_steps(&client.project_id, &client.client_id, steps_at_a_time(hello))?;
    Ok(is_new)
}

/// So many steps it is given at a time, if that is limited. Over HTTPS it has no more than its messages may name.
pub(crate) fn steps_at_a_time(hello: &AgentHello) -> Option<u32> {
    match hello.link {
        Link::Http => Some(hello.concurrent_jobs.unwrap_or(STEPS_MAX).min(STEPS_MAX)),
        _ => hello.concurrent_jobs,
    }
}

fn sender(hello: &AgentHello) -> Reporter {
    Reporter { project_id: hello.project_id.clone(), client_id: hello.client_id.clone() }
}

/// An agent has come (back): what waited for it goes on, and what it should hold and does not is lost.
fn welcome(
    desk: &Desk,
    tx: &mut Tx,
    hello: &AgentHello,
    is_first: bool,
    now: Timestamp,
) -> Result<(), DbError> {
    let project = (!hello.is_central).then_some(&hello.project_id);
    tx.jobs().request_attention_for_client(project, &hello.client_id, now)?;
    tx.runs().go_on(project, &hello.client_id, OFFLINE)?;
    if !is_first {
        return Ok(());
    }
    let named: HashSet<(&RunId, Epoch)> = hello.held.iter().map(|step| (&step.run_id, step.epoch)).collect();
    let running = tx.runs().running_at(project, &hello.client_id)?;
    let missing = running.iter().filter(|(run, epoch)| !named.contains(&(run, *epoch)));
    for (run, epoch) in missing.take(LOST_AT_ONCE) {
        let found = match held(tx, run, *epoch) {
            // It is set aside when its lease ends; what else the agent has to do must not wait for that.
            Err(error @ DbError::Corrupt { .. }) => {
                tracing::error!("a run is passed over: {error}");
                None
            }
            found => found?,
        };
        let Some(mut run) = found else { continue };
        // A dispatched one may still be on its way to the agent, and one that has just begun may have begun after
        // the agent wrote this hello.
        if run.state != RunState::Running || began_within(&run, desk.options.heartbeat, now) {
            continue;
        }
        if may_report(tx, &run, Some(&sender(hello)))? {
            lose(desk, tx, &mut run, now)?;
        }
    }
    Ok(())
}

fn began_within(run: &freezer_model::Run, span: std::time::Duration, now: Timestamp) -> bool {
    let began = run.steps.last().and_then(|step| step.started_at);
    began.is_some_and(|began| now.since(began) < span)
}
