//! Heartbeats, many at a time: ten thousand agents cost a few transactions a second.
//!
//! A heartbeat that says nothing new about its agent only moves two times on: when the agent was last seen, and until when
//! it has the steps that it names. Such ones are gathered for a moment and noted together. One that says something new,
//! that another agent's name has to be weighed against, or whose login is not the one that the name is bound to, is treated
//! as a hello of its own.

use crate::ConductorError;
use crate::desk::Desk;
use crate::hello::{self, Refusal, Speaker};
use freezer_database::{DbError, Known, Tx, Workers};
use freezer_model::rpc::{AgentHello, HelloReply};
use freezer_model::{Client, ClientId, Link, ProjectId, RunId, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Heartbeats noted in one transaction.
const BATCH: usize = 500;
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
                for beat in batch.drain(..) {
                    let _ = beat.reply.send(Err(error.to_string()));
                }
            }
        }
    }
}

/// One reply for each, `None` where a hello is needed. A fixed number of statements.
fn note(desk: &Desk, tx: &mut Tx, all: &[Arc<Said>]) -> Result<Vec<Option<HelloReply>>, DbError> {
    let ids: HashSet<&str> = all.iter().map(|said| said.hello.client_id.as_str()).collect();
    let known = tx.clients().namesakes(&ids)?;
    let plain: Vec<&AgentHello> =
        all.iter().filter(|said| says_nothing_new(&known, said)).map(|said| &said.hello).collect();
    let now = desk.clock.now();
    if !plain.is_empty() {
        touch(tx, &known, &plain, now)?;
    }
    let runs: HashSet<&RunId> = plain.iter().flat_map(|hello| &hello.held).map(|step| &step.run_id).collect();
    let holdings = tx.runs().holdings(&runs)?;
    let foreign = plain.iter().flat_map(|hello| {
        let runs = hello.held.iter().filter_map(|step| holdings.get(&step.run_id));
        let of_others = runs.filter(|run| run.project_id != hello.project_id);
        of_others.map(|run| (run.project_id.clone(), run.client_id.clone()))
    });
    let workers = tx.clients().workers(&foreign.collect())?;
    let mut renewed = Vec::new();
    let mut replies = Vec::new();
    for said in all {
        let hello = &said.hello;
        if !says_nothing_new(&known, said) {
            replies.push(None);
            continue;
        }
        let mut reply = HelloReply { heartbeat_secs: desk.heartbeat_secs(hello), ..HelloReply::default() };
        for step in &hello.held {
            let run = holdings.get(&step.run_id).filter(|run| {
                run.is_held && run.epoch == step.epoch && run.client_id == hello.client_id && {
                    run.project_id == hello.project_id
                        || is_its_central(&workers, &run.project_id, &run.client_id, hello)
                }
            });
            match run {
                None => reply.drop.push(step.clone()),
                Some(run) => {
                    renewed.push(&step.run_id);
                    if run.abort_requested {
                        reply.abort.push(step.clone());
                    }
                }
            }
        }
        replies.push(Some(reply));
    }
    tx.runs().renew(&renewed, now.plus(desk.options.lease))?;
    Ok(replies)
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

/// Whether the project means this agent by the client id: it works there as a central client.
fn is_its_central(workers: &Workers, project: &ProjectId, client: &ClientId, hello: &AgentHello) -> bool {
    let worker = workers.get(&(project.clone(), client.clone())).and_then(|worker| worker.as_ref().ok());
    worker.is_some_and(|worker| worker.client.is_central && worker.client.project_id == hello.project_id)
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
        && worker.concurrent_steps == hello.concurrent_jobs.map(i64::from)
}
