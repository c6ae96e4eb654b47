//! Heartbeats, many at a time: ten thousand agents cost a few transactions a second.
//!
//! A heartbeat that says nothing new about its agent only moves two times on: when the agent was last seen, and until when
//! it has the steps that it names. Such ones are gathered for a moment and noted together. One that says something new,
//! that another agent's name has to be weighed against, or whose login is not the one that the name is bound to, is treated
//! as a hello of its own; so is one that names very many steps, and nobody else waits for those.

use crate::ConductorError;
use crate::desk::Desk;
use crate::hello::{self, Refusal, Speaker};
use crate::leases::renew;
use freezer_database::{DbError, Known, Tx};
use freezer_model::rpc::{AgentHello, HelloReply};
use freezer_model::{Client, ClientId, Link, ProjectId, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Heartbeats noted in one transaction.
const BATCH: usize = 500;
/// Steps that a heartbeat may name to be noted with others, so that a whole batch costs a hundred statements at the most.
const STEPS: usize = 50;
/// How long they are gathered.
const GATHER: Duration = Duration::from_millis(100);

/// What was said, and by which login.
struct Said {
    hello: AgentHello,
    speaker: Speaker,
}

/// A heartbeat that waits to be noted.
pub(crate) struct Beat {
    said: Arc<Said>,
    reply: oneshot::Sender<Result<Option<HelloReply>, String>>,
}

/// Notes a heartbeat and answers it.
pub(crate) async fn heartbeat(
    desk: &Arc<Desk>,
    hello: AgentHello,
    speaker: Speaker,
) -> Result<Result<HelloReply, Refusal>, ConductorError> {
    if hello.held.len() > STEPS {
        return hello::hello(desk, hello, speaker, false).await;
    }
    let said = Arc::new(Said { hello, speaker });
    let (reply, noted) = oneshot::channel();
    let gone = || ConductorError::Worker("the conductor stops".to_owned());
    desk.beats.send(Beat { said: said.clone(), reply }).map_err(|_| gone())?;
    match noted.await.map_err(|_| gone())? {
        Ok(Some(reply)) => Ok(Ok(reply)),
        Ok(None) => hello::hello(desk, said.hello.clone(), said.speaker.clone(), false).await,
        Err(error) => Err(ConductorError::Worker(error)),
    }
}

/// Runs until it is aborted. Who waits for an answer then asks another conductor.
pub(crate) async fn note_beats(desk: Arc<Desk>, mut beats: mpsc::UnboundedReceiver<Beat>) {
    let mut batch = Vec::new();
    while beats.recv_many(&mut batch, BATCH).await > 0 {
        tokio::time::sleep(GATHER).await;
        while batch.len() < BATCH
            && let Ok(beat) = beats.try_recv()
        {
            batch.push(beat);
        }
        let said: Vec<Arc<Said>> = batch.iter().map(|beat| beat.said.clone()).collect();
        let replies = desk.transaction(move |desk, tx| note(desk, tx, &said)).await;
        match replies {
            Ok(replies) => {
                for (beat, reply) in batch.drain(..).zip(replies) {
                    // An error: nobody waits any more.
                    let _ = beat.reply.send(Ok(reply));
                }
            }
            Err(error) => {
                let is_for_all = batch.len() == 1 || is_for_all(&error);
                for beat in batch.drain(..) {
                    // What one of them has said may be the cause: alone, none fails for another's.
                    let _ = beat.reply.send(if is_for_all { Err(error.to_string()) } else { Ok(None) });
                }
            }
        }
    }
}

/// Whether the error is the database's, whatever was said.
fn is_for_all(error: &ConductorError) -> bool {
    match error {
        ConductorError::Database(error) => error.is_transient() || matches!(error, DbError::Connect { .. }),
        _ => true,
    }
}

/// One reply for each, `None` where a hello is needed. A number of statements that is bounded by [`STEPS`].
fn note(desk: &Desk, tx: &mut Tx, all: &[Arc<Said>]) -> Result<Vec<Option<HelloReply>>, DbError> {
    let ids: HashSet<&str> = all.iter().map(|said| said.hello.client_id.as_str()).collect();
    let known = tx.clients().namesakes(&ids)?;
    let are_plain: Vec<bool> = all.iter().map(|said| says_nothing_new(&known, said)).collect();
    let plain = all.iter().zip(&are_plain).filter(|(_, is_plain)| **is_plain).map(|(said, _)| &said.hello);
    let plain: Vec<&AgentHello> = plain.collect();
    let now = desk.clock.now();
    if !plain.is_empty() {
        touch(tx, &known, &plain, now)?;
    }
    let mut replies = renew(desk, tx, &plain, now)?.into_iter();
    Ok(are_plain.into_iter().map(|is_plain| if is_plain { replies.next() } else { None }).collect())
}

/// Notes that they live, whatever names others have: a fixed number of statements, and one for each project that has a client
/// named as another project's.
fn touch(
    tx: &mut Tx,
    known: &HashMap<ClientId, Vec<Result<Known, DbError>>>,
    plain: &[&AgentHello],
    now: Timestamp,
) -> Result<(), DbError> {
    let has_namesake = |hello: &&&AgentHello| known.get(&hello.client_id).is_some_and(|all| all.len() > 1);
    let (named_alike, alone): (Vec<&AgentHello>, Vec<_>) =
        plain.iter().copied().partition(|hello| has_namesake(&hello));
    if !alone.is_empty() {
        let seen: Vec<_> = alone.iter().map(|hello| (&hello.project_id, &hello.client_id)).collect();
        tx.clients().touch_many(&seen, now)?;
    }
    let mut of_projects: BTreeMap<&ProjectId, Vec<&ClientId>> = BTreeMap::new();
    for hello in named_alike {
        of_projects.entry(&hello.project_id).or_default().push(&hello.client_id);
    }
    for (project, clients) in of_projects {
        tx.clients().touch_of(project, &clients, now)?;
    }
    Ok(())
}

/// Whether another project's client of this name matters to an agent on the message bus. Whoever likes may name a client as a
/// host of the cloud; that alone costs the host nothing.
fn is_weighed(hello: &AgentHello, other: &Client) -> bool {
    other.link == Link::Amqp || (hello.is_central && other.is_central)
}

/// Whether the agent is known exactly as it says, its name means nobody else, and its login is the one bound to the name.
fn says_nothing_new(known: &HashMap<ClientId, Vec<Result<Known, DbError>>>, said: &Said) -> bool {
    let Said { hello, speaker } = said;
    let all = known.get(&hello.client_id).map(Vec::as_slice).unwrap_or_default();
    let is_own = |one: &&Known| one.worker.client.project_id == hello.project_id;
    let (own, others): (Vec<&Known>, Vec<&Known>) = all.iter().flatten().partition(is_own);
    let [Known { worker, holder }] = own.as_slice() else { return false };
    if hello.link != Link::Http && others.iter().any(|other| is_weighed(hello, &other.worker.client)) {
        return false;
    }
    let Client { hostname, capabilities, is_central, link, agent_version, .. } = &worker.client;
    let says = if hello.link == Link::Http { Link::Http } else { Link::Amqp };
    let is_its_login = !speaker.is_held_to_it(hello)
        || (holder.bound_to.is_some() && holder.admits(&speaker.user, speaker.credential.as_deref()));
    is_its_login
        && hostname.as_deref() == Some(&hello.hostname)
        && *capabilities == hello.capabilities
        && *is_central == hello.is_central
        && *link == says
        && agent_version.as_deref() == Some(&hello.agent_version)
        && worker.concurrent_steps == hello::steps_at_a_time(hello).map(i64::from)
}
