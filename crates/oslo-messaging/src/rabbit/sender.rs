//! The sending connection: a task keeps it up, publishers wait for it until their deadline.
//!
//! A message counts as sent only when the broker confirmed it. One whose confirm was lost with the connection is sent
//! again under the same `_unique_id`, so that the receiver can tell.

use super::connector::Connector;
use super::links::Links;
use super::publish::{Attempt, Live};
use crate::driver::{Outgoing, Route};
use crate::{Error, Result};
use futures_util::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};

/// How often the connection is looked at although nothing was heard of it.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone)]
enum State {
    Connecting(String),
    Up(Arc<Live>),
    /// The broker refuses us; attempts go on, but nobody should wait for them.
    Refused(Error),
    Closed,
}

pub(super) struct Sender {
    connector: Arc<Connector>,
    links: Links,
    started: AtomicBool,
    state: Arc<watch::Sender<State>>,
    /// A publisher saw the connection fail.
    suspect: Arc<Notify>,
}

impl Sender {
    pub fn new(connector: Arc<Connector>, links: Links) -> Self {
        let state = Arc::new(watch::Sender::new(State::Connecting("not tried yet".to_owned())));
        Self { connector, links, started: AtomicBool::new(false), state, suspect: Arc::default() }
    }

    /// Starts the task that connects, once, if a runtime is there.
    pub fn wake(&self) {
        if tokio::runtime::Handle::try_current().is_err() || self.started.swap(true, Ordering::SeqCst) {
            return;
        }
        let keeper = Keeper {
            connector: Arc::clone(&self.connector),
            links: self.links.clone(),
            state: Arc::downgrade(&self.state),
            suspect: Arc::clone(&self.suspect),
        };
        tokio::spawn(keeper.run(self.state.subscribe()));
    }

    pub async fn publish(&self, route: &Route, message: &Outgoing) -> Result<()> {
        self.wake();
        let started = Instant::now();
        let mut cause = String::new();
        let mut sent = false;
        let mut pause = Duration::from_millis(20);
        loop {
            let live = match timeout_at(message.deadline, self.live()).await {
                Ok(live) => live?,
                Err(_) => {
                    if let State::Connecting(reason) = &*self.state.borrow() {
                        cause.clone_from(reason);
                    }
                    if !sent {
                        return Err(Error::Unreachable { hosts: self.connector.names.clone(), cause });
                    }
                    return Err(self.not_confirmed(route, started, cause));
                }
            };
            sent = true;
            let attempt = live.publish(&self.connector.options, route, message);
            match timeout_at(message.deadline, attempt).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Attempt::Returned)) => {
                    return Err(Error::Undeliverable { destination: route.to_string() });
                }
                Ok(Err(Attempt::Never(error))) => return Err(error),
                Ok(Err(Attempt::Failed(reason))) => {
                    tracing::debug!(destination = %route, cause = %reason, "publishing failed; trying again");
                    self.suspect.notify_one();
                    cause = reason;
                }
                Err(_) => {
                    let waiting = "the broker took the message and sent no confirm";
                    let cause = if cause.is_empty() { waiting.to_owned() } else { cause };
                    return Err(self.not_confirmed(route, started, cause));
                }
            }
            sleep(pause.min(message.deadline.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// The connection, when there is one.
    async fn live(&self) -> Result<Arc<Live>> {
        let mut state = self.state.subscribe();
        loop {
            match &*state.borrow_and_update() {
                State::Up(live) if live.connection.status().connected() => return Ok(Arc::clone(live)),
                State::Up(_) => self.suspect.notify_one(),
                State::Refused(error) => return Err(error.clone()),
                State::Closed => return Err(Error::Closed),
                State::Connecting(_) => {}
            }
            if state.changed().await.is_err() {
                return Err(Error::Closed);
            }
        }
    }

    fn not_confirmed(&self, route: &Route, started: Instant, cause: String) -> Error {
        let hosts = self.connector.names.clone();
        Error::NotConfirmed { destination: route.to_string(), hosts, after: started.elapsed(), cause }
    }

    pub async fn close(&self) {
        let old = self.state.send_replace(State::Closed);
        if let State::Up(live) = old {
            let _ = live.connection.close(200, "".into()).await; // it is going away in any case
        }
    }
}

struct Keeper {
    connector: Arc<Connector>,
    links: Links,
    /// Gone when the transport is.
    state: std::sync::Weak<watch::Sender<State>>,
    suspect: Arc<Notify>,
}

impl Keeper {
    async fn run(self, mut state: watch::Receiver<State>) {
        let work = self.keep_up();
        let closed = async {
            while state.changed().await.is_ok() {
                if matches!(&*state.borrow_and_update(), State::Closed) {
                    return;
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = closed => {}
        }
    }

    async fn keep_up(&self) {
        let link = self.links.add();
        let mut rotation = self.connector.rotation();
        loop {
            let connection = match self.connector.connect(&mut rotation).await {
                Ok(connection) => connection,
                Err(error) => {
                    let refused = matches!(error, Error::AccessRefused { .. } | Error::TlsFile { .. });
                    let cause = error.to_string();
                    self.say(if refused { State::Refused(error) } else { State::Connecting(cause) });
                    sleep(self.connector.pause(&rotation)).await;
                    continue;
                }
            };
            let mut events = std::pin::pin!(connection.events_listener());
            let live = Arc::new(Live::new(connection));
            link.set(true);
            self.say(State::Up(Arc::clone(&live)));
            while live.connection.status().connected() {
                tokio::select! {
                    _ = events.next() => {}
                    () = self.suspect.notified() => {}
                    () = sleep(LOOK) => {}
                }
            }
            link.set(false);
            tracing::warn!(hosts = %self.connector.names, "the connection to the broker for sending is lost");
            self.say(State::Connecting("the connection was lost".to_owned()));
            sleep(self.connector.pause_after_loss(&mut rotation)).await;
        }
    }

    fn say(&self, new: State) {
        if let Some(state) = self.state.upgrade() {
            state.send_if_modified(|state| {
                let open = !matches!(state, State::Closed);
                if open {
                    *state = new;
                }
                open
            });
        }
    }
}
