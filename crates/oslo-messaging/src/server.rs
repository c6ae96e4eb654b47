//! The server's side: listens to a topic, its own name and the fanout, and dispatches to endpoints.

use crate::driver::{Listen, ListenerControl, Subscription};
use crate::message::new_id;
use crate::serving::Serving;
use crate::{Endpoint, Error, Result, Target, Transport};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// When a request is taken off its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckPolicy {
    /// Before the method runs, as oslo.messaging: at most once.
    OnReceipt,
    /// After the method ran and its answer was sent: at least once.
    AfterWork,
    /// After the work for methods that [`Endpoint::idempotent`] names, on receipt for the others.
    #[default]
    PerMethod,
}

/// How a server works. The defaults do.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub ack: AckPolicy,
    /// Requests worked on at a time (`executor_thread_pool_size`). No request is taken before there is room for it.
    pub max_concurrency: usize,
    /// Messages held unacknowledged per queue; `None`: `rabbit_qos_prefetch_count`, or else `max_concurrency`.
    pub prefetch: Option<u16>,
    /// Answer `oslo_rpc_server_ping` (`rpc_ping_enabled`).
    pub ping_enabled: bool,
    /// How many ids of past requests are remembered to tell repeats.
    pub remember_ids: usize,
    /// How long [`RpcServer::stop`] waits for running methods before it drops them.
    pub stop_timeout: Duration,
    /// Delete the server's own queue (`topic.server`) at [`RpcServer::stop`] when it is empty, so that `mandatory`
    /// messages to this server fail from then on. oslo.messaging leaves it for ever.
    pub delete_server_queue: bool,
    /// How long the server's own queue outlives its last connection. A server that died without [`RpcServer::stop`] can
    /// be told from one that is there only when its queue is gone; one that comes back in time finds what was sent to it.
    /// oslo.messaging leaves it for ever.
    pub server_queue_expires: Option<Duration>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            ack: AckPolicy::default(),
            max_concurrency: 64,
            prefetch: None,
            ping_enabled: false,
            remember_ids: 1000,
            stop_timeout: Duration::from_secs(60),
            delete_server_queue: false,
            server_queue_expires: None,
        }
    }
}

/// A running server. Dropping it stops it too, in the background.
#[derive(Debug)]
#[must_use = "dropping the server stops it"]
pub struct RpcServer {
    stop: watch::Sender<bool>,
    /// Its sender is dropped when all has ended.
    ended: watch::Receiver<()>,
}

impl RpcServer {
    /// Listens to a target (topic and server are needed) and returns when messages can arrive. Waits for a broker as long
    /// as it takes; put a timeout around it to wait shorter.
    ///
    /// # Errors
    /// [`Error::InvalidTarget`], [`Error::AccessRefused`], [`Error::Declaration`].
    pub async fn start(
        transport: &Transport,
        target: Target,
        endpoints: Vec<Arc<dyn Endpoint>>,
        options: ServerOptions,
    ) -> Result<Self> {
        let refuse = |reason: &str| Error::InvalidTarget { operation: "a server", reason: reason.to_owned() };
        let exchange = transport.exchange(&target);
        let topic =
            target.topic.filter(|topic| !topic.is_empty()).ok_or_else(|| refuse("it names no topic"))?;
        let server =
            target.server.filter(|name| !name.is_empty()).ok_or_else(|| refuse("it names no server"))?;
        let driver = transport.driver();
        let configured = options.prefetch.filter(|count| *count > 0).unwrap_or_else(|| driver.prefetch());
        let room = u16::try_from(options.max_concurrency.max(1)).unwrap_or(u16::MAX);
        let listen = Listen::Server {
            exchange,
            fanout_queue: format!("{topic}_fanout_{}", new_id()),
            topic,
            server,
            prefetch: if configured == 0 { room } else { configured },
            drop_own_queue: options.delete_server_queue,
            own_queue_expires: options.server_queue_expires,
        };
        let subscription = driver.subscribe(listen).await?;
        let (stop, stopping) = watch::channel(false);
        let (alive, ended) = watch::channel(());
        let serving = Serving::new(Arc::clone(driver), endpoints, &options, stopping.clone());
        tokio::spawn(run(Arc::new(serving), subscription, options, stopping, alive));
        Ok(Self { stop, ended })
    }

    /// Takes no more messages, lets running methods finish and answer, deletes the fanout queue and disconnects.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

async fn run(
    serving: Arc<Serving>,
    subscription: Subscription,
    options: ServerOptions,
    mut stopping: watch::Receiver<bool>,
    alive: watch::Sender<()>,
) {
    let Subscription { mut deliveries, control } = subscription;
    let room = Arc::new(Semaphore::new(options.max_concurrency.max(1)));
    let mut tasks = JoinSet::new();
    loop {
        // Room first: what is not taken stays on the broker, for servers that are idle.
        let permit = tokio::select! {
            biased;
            () = asked_to_stop(&mut stopping) => break,
            permit = Arc::clone(&room).acquire_owned() => match permit {
                Ok(permit) => permit,
                Err(_) => break,
            },
        };
        let incoming = tokio::select! {
            biased;
            () = asked_to_stop(&mut stopping) => break,
            incoming = deliveries.recv() => match incoming {
                Some(incoming) => incoming,
                None => break,
            },
        };
        while tasks.try_join_next().is_some() {}
        if let Some(work) = serving.take(incoming).await {
            tasks.spawn(Arc::clone(&serving).work(work, permit));
        }
    }
    finish(&mut tasks, &control, options.stop_timeout).await;
    drop(alive);
}

async fn finish(tasks: &mut JoinSet<()>, control: &ListenerControl, patience: Duration) {
    control.quiesce().await;
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(patience, all).await.is_err() {
        tracing::warn!(
            running = tasks.len(),
            "methods still run at the end of the time to stop; they are dropped"
        );
        tasks.shutdown().await;
    }
    control.close().await;
}

/// Returns when told to stop, or when the server's handle is gone.
pub(crate) async fn asked_to_stop(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}
