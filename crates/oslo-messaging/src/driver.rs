//! What a driver does for the layers above: publish with a confirm, subscribe, say whether it is connected.
//!
//! Drivers move bytes. They know routes and queues, never methods, replies or failures.

use crate::Result;
use async_trait::async_trait;
use std::fmt;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A topic or one of its servers; `key` is `T` or `T.S`.
    Topic { exchange: String, key: String },
    /// All servers of a topic.
    Fanout { topic: String },
    /// A caller's reply queue.
    Reply { queue: String },
    /// A notification topic; `key` is `T.<priority>`. The queue is declared first, so that events wait for a listener.
    Notification { exchange: String, key: String },
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Route::Topic { exchange, key } => write!(f, "{key} on exchange {exchange}"),
            Route::Fanout { topic } => write!(f, "all servers of {topic}"),
            Route::Reply { queue } => write!(f, "reply queue {queue}"),
            Route::Notification { exchange, key } => {
                write!(f, "notification queue {key} on exchange {exchange}")
            }
        }
    }
}

/// A message to publish.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub body: Vec<u8>,
    /// The broker drops it when nobody took it by then.
    pub ttl: Option<Duration>,
    /// Fail when there is no queue for it.
    pub mandatory: bool,
    /// Until when to try.
    pub deadline: Instant,
}

/// What to listen to.
#[derive(Clone, Debug)]
pub(crate) enum Listen {
    Server {
        exchange: String,
        topic: String,
        server: String,
        fanout_queue: String,
        prefetch: u16,
        drop_own_queue: bool,
        /// Life of the server's own queue without a consumer.
        own_queue_expires: Option<Duration>,
    },
    Replies {
        queue: String,
    },
}

/// A message taken from a queue.
pub(crate) struct Incoming {
    pub body: Vec<u8>,
    pub content_type: Option<String>,
    pub compression: Option<String>,
    pub receipt: Box<dyn Receipt>,
}

/// The right to settle one delivery, once.
#[async_trait]
pub(crate) trait Receipt: Send + Sync {
    /// Takes it off the queue. False: it was too late, the message comes again.
    async fn accept(&self) -> bool;
    /// Drops it for good.
    async fn reject(&self);
}

/// Orders to a listener's task.
pub(crate) enum Control {
    /// Take no more messages; those not settled yet stay ours.
    Quiesce(oneshot::Sender<()>),
    /// Remove private queues and disconnect; what is not settled goes back to its queue.
    Close(oneshot::Sender<()>),
}

/// A running listener. Dropping it disconnects without cleaning up.
pub(crate) struct Subscription {
    pub deliveries: mpsc::UnboundedReceiver<Incoming>,
    pub control: ListenerControl,
}

#[derive(Clone)]
pub(crate) struct ListenerControl(pub mpsc::Sender<Control>);

impl ListenerControl {
    pub async fn quiesce(&self) {
        self.order(Control::Quiesce).await;
    }

    pub async fn close(&self) {
        self.order(Control::Close).await;
    }

    async fn order(&self, make: fn(oneshot::Sender<()>) -> Control) {
        let (done, wait) = oneshot::channel();
        if self.0.send(make(done)).await.is_ok() {
            let _ = wait.await; // an error means that the task has ended, which is what was asked for
        }
    }
}

#[async_trait]
pub(crate) trait Driver: Send + Sync + 'static {
    /// Publishes and waits for the broker's confirm; tries again until the deadline.
    async fn publish(&self, route: &Route, message: &Outgoing) -> Result<()>;
    /// Declares and consumes; returns when messages can arrive.
    async fn subscribe(&self, listen: Listen) -> Result<Subscription>;
    /// True while everything that should be connected is.
    fn watch(&self) -> watch::Receiver<bool>;
    /// Makes the sending side connect if it has not begun to.
    fn wake(&self);
    /// How long to look for a missing reply queue.
    fn missing_reply_queue_timeout(&self) -> Duration;
    /// Messages to hold unacknowledged, from the options; 0 if not said.
    fn prefetch(&self) -> u16;
    async fn close(&self);
}
