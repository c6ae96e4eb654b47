//! The reply queue of a transport and the calls that wait for it.
//!
//! One queue and one consumer serve all calls. Replies are acknowledged on receipt; one that nobody waits for (its
//! call has timed out, or it is a repeat) is dropped.

use crate::driver::{Driver, Incoming, Listen, ListenerControl, Subscription};
use crate::envelope::{Malformed, decode_body};
use crate::message::{Reply, new_id};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OnceCell, mpsc};
use tokio::time::{Instant, timeout_at};

type Waiting = Arc<Mutex<HashMap<String, mpsc::UnboundedSender<Reply>>>>;

pub(crate) struct Replies {
    driver: Arc<dyn Driver>,
    queue: String,
    waiting: Waiting,
    listener: OnceCell<ListenerControl>,
}

impl Replies {
    pub fn new(driver: Arc<dyn Driver>) -> Self {
        let queue = format!("reply_{}", new_id());
        Self { driver, queue, waiting: Waiting::default(), listener: OnceCell::new() }
    }

    /// The queue's name, once it can be answered to.
    pub async fn queue(&self, deadline: Instant) -> Result<&str> {
        let start = self.listener.get_or_try_init(|| self.listen());
        match timeout_at(deadline, start).await {
            Ok(started) => started.map(|_| self.queue.as_str()),
            Err(_) => Err(Error::Unreachable {
                hosts: "transport_url".to_owned(),
                cause: format!("reply queue {} could not be set up in time; nothing was sent", self.queue),
            }),
        }
    }

    /// A place for the replies to this message id.
    pub fn expect(&self, msg_id: &str) -> Expected {
        let (sender, replies) = mpsc::unbounded_channel();
        lock(&self.waiting).insert(msg_id.to_owned(), sender);
        Expected { waiting: Arc::clone(&self.waiting), msg_id: msg_id.to_owned(), replies }
    }

    pub async fn close(&self) {
        if let Some(listener) = self.listener.get() {
            listener.close().await;
        }
        lock(&self.waiting).clear();
    }

    async fn listen(&self) -> Result<ListenerControl> {
        let Subscription { mut deliveries, control } =
            self.driver.subscribe(Listen::Replies { queue: self.queue.clone() }).await?;
        let waiting = Arc::downgrade(&self.waiting);
        tokio::spawn(async move {
            while let Some(incoming) = deliveries.recv().await {
                let Some(waiting) = waiting.upgrade() else { return };
                receive(&waiting, incoming).await;
            }
        });
        Ok(control)
    }
}

async fn receive(waiting: &Waiting, incoming: Incoming) {
    match read(&incoming) {
        Ok(reply) => {
            incoming.receipt.accept().await;
            let caller = lock(waiting).get(&reply.msg_id).cloned();
            match caller {
                Some(caller) => drop(caller.send(reply)), // an error: the call ended this very moment
                None => tracing::debug!(msg_id = %reply.msg_id, "nobody waits for this reply"),
            }
        }
        Err(Malformed(cause)) => {
            tracing::warn!(%cause, "a message in the reply queue is rejected");
            incoming.receipt.reject().await;
        }
    }
}

fn read(incoming: &Incoming) -> Result<Reply, Malformed> {
    let map = decode_body(&incoming.body, incoming.content_type.as_deref(), incoming.compression.as_deref())?;
    Reply::from_map(map)
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<String, mpsc::UnboundedSender<Reply>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The replies to one call; dropping it means that nobody waits any more.
pub(crate) struct Expected {
    waiting: Waiting,
    msg_id: String,
    pub replies: mpsc::UnboundedReceiver<Reply>,
}

impl Drop for Expected {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.msg_id);
    }
}
