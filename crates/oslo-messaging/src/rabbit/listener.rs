//! A listener: a connection of its own, its declarations, its consumers, and a task that brings all of it back.
//!
//! Names never change over reconnects. Messages that were delivered and not settled when a connection went away come
//! again; the layers above tell repeats by their `_unique_id`.

use super::connector::{Connector, Rotation, describe};
use super::declare::{self, Refused, short};
use super::links::{Link, Links};
use super::topology::{self, Argument, Step};
use crate::driver::{Control, Incoming, Listen, ListenerControl, Receipt, Subscription};
use crate::{Error, Result};
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, SelectAll};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicRejectOptions, QueueDeleteOptions};
use lapin::{Acker, Channel, Connection};
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

/// Declares, consumes, and returns when messages can arrive; waits for a broker as long as it takes.
pub(super) async fn start(connector: Arc<Connector>, links: Links, listen: Listen) -> Result<Subscription> {
    let (deliveries, received) = mpsc::unbounded_channel();
    let (orders, control) = mpsc::channel(4);
    let (ready, started) = oneshot::channel();
    let steps = steps(&connector, &listen);
    let rotation = connector.rotation();
    let task = Listener {
        connector,
        link: links.add(),
        private: private_queues(&listen),
        steps,
        rotation,
        deliveries,
        control,
        quiet: false,
        stream_offset: None,
    };
    tokio::spawn(task.run(ready));
    // If this future is dropped here, `orders` goes with it and the task ends.
    match started.await {
        Ok(Ok(())) => Ok(Subscription { deliveries: received, control: ListenerControl(orders) }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::Closed),
    }
}

fn steps(connector: &Connector, listen: &Listen) -> Vec<Step> {
    let options = &connector.options;
    match listen {
        Listen::Server { exchange, topic, server, fanout_queue, prefetch, own_queue_expires, .. } => {
            let steps = topology::server(options, exchange, topic, server, fanout_queue, *prefetch);
            match own_queue_expires {
                Some(life) => topology::expiring(steps, &format!("{topic}.{server}"), *life),
                None => steps,
            }
        }
        Listen::Replies { queue } => topology::replies(options, queue),
    }
}

/// Queues to delete at the end, and whether only when they are empty and unused.
fn private_queues(listen: &Listen) -> Vec<(String, bool)> {
    match listen {
        Listen::Server { topic, server, fanout_queue, drop_own_queue, .. } => {
            let own = drop_own_queue.then(|| (format!("{topic}.{server}"), true));
            std::iter::once((fanout_queue.clone(), false)).chain(own).collect()
        }
        Listen::Replies { queue } => vec![(queue.clone(), false)],
    }
}

struct Listener {
    connector: Arc<Connector>,
    link: Link,
    private: Vec<(String, bool)>,
    steps: Vec<Step>,
    rotation: Rotation,
    deliveries: mpsc::UnboundedSender<Incoming>,
    control: mpsc::Receiver<Control>,
    /// Told to take no more messages.
    quiet: bool,
    /// The last position seen in a stream.
    stream_offset: Option<i64>,
}

/// `None` marks the end of a consumer, which nobody asked for.
type Deliveries = SelectAll<BoxStream<'static, Option<lapin::Result<Delivery>>>>;

struct Open {
    wire: Wire,
    deliveries: Deliveries,
}

struct Wire {
    connection: Connection,
    channel: Channel,
    tags: Vec<String>,
}

impl Listener {
    async fn run(mut self, ready: oneshot::Sender<Result<()>>) {
        let mut ready = Some(ready);
        loop {
            let open = match self.open(&mut ready).await {
                ControlFlow::Continue(open) => open,
                ControlFlow::Break(()) => return,
            };
            self.link.set(true);
            if let Some(ready) = ready.take() {
                let _ = ready.send(Ok(())); // the starter gave up: the closed control channel ends us
            }
            let ControlFlow::Continue(cause) = self.consume(open).await else { return };
            self.link.set(false);
            tracing::warn!(hosts = %self.connector.names, %cause, "a listener lost its connection to the broker");
            let pause = self.connector.pause_after_loss(&mut self.rotation);
            if self.pause(pause).await.is_break() {
                return;
            }
        }
    }

    /// Connects and declares until it works.
    async fn open(&mut self, ready: &mut Option<oneshot::Sender<Result<()>>>) -> ControlFlow<(), Open> {
        loop {
            let attempt = Self::attempt(&self.connector, &mut self.rotation, &self.steps, self.stream_offset);
            let outcome = tokio::select! {
                outcome = attempt => outcome,
                order = self.control.recv() => {
                    Self::obey_offline(&mut self.quiet, order)?;
                    continue;
                }
            };
            match outcome {
                Ok(open) if !self.quiet => return ControlFlow::Continue(open),
                Ok(_) => {} // nothing more is to be consumed: wait for the end
                Err(Refused::Never(error)) => {
                    tracing::error!(%error, "a listener cannot be set up");
                    if let Some(ready) = ready.take() {
                        let _ = ready.send(Err(error)); // the starter is gone too
                        return ControlFlow::Break(());
                    }
                }
                Err(Refused::Lost(cause)) => tracing::warn!(%cause, "a listener cannot be set up yet"),
            }
            let pause = self.connector.pause(&self.rotation);
            self.pause(pause).await?;
        }
    }

    async fn attempt(
        connector: &Connector,
        rotation: &mut Rotation,
        steps: &[Step],
        stream_offset: Option<i64>,
    ) -> Result<Open, Refused> {
        let connection = match connector.connect(rotation).await {
            Ok(connection) => connection,
            Err(error @ (Error::AccessRefused { .. } | Error::TlsFile { .. })) => {
                return Err(Refused::Never(error));
            }
            Err(error) => return Err(Refused::Lost(error.to_string())),
        };
        let steps = resume_stream(steps, stream_offset);
        let (channel, consumers) = declare::declare(&connection, &steps).await?;
        let tags = consumers.iter().map(|consumer| consumer.tag().to_string()).collect();
        let ending = |consumer: lapin::Consumer| consumer.map(Some).chain(stream::iter([None])).boxed();
        let deliveries = stream::select_all(consumers.into_iter().map(ending));
        Ok(Open { wire: Wire { connection, channel, tags }, deliveries })
    }

    /// Hands on what arrives until the connection is lost (continue, with the cause) or the end (break).
    async fn consume(&mut self, open: Open) -> ControlFlow<(), String> {
        let Open { wire, mut deliveries } = open;
        loop {
            tokio::select! {
                order = self.control.recv() => self.obey(&wire, order).await?,
                delivery = deliveries.next(), if !self.quiet => match delivery {
                    Some(Some(Ok(delivery))) => self.pass_on(delivery),
                    Some(Some(Err(error))) => return ControlFlow::Continue(describe(&error)),
                    Some(None) | None => {
                        return ControlFlow::Continue("the broker ended a consumer; was its queue deleted?".to_owned());
                    }
                },
            }
        }
    }

    fn pass_on(&mut self, delivery: Delivery) {
        let headers = delivery.properties.headers().as_ref();
        let header = |name: &str| headers.and_then(|headers| headers.inner().get(name));
        if let Some(offset) = header("x-stream-offset").and_then(lapin::types::AMQPValue::as_long_long_int) {
            self.stream_offset = Some(offset);
        }
        let compression =
            header("compression").and_then(|value| value.as_long_string()).map(ToString::to_string);
        let content_type = delivery.properties.content_type().as_ref().map(ToString::to_string);
        let receipt = Box::new(RabbitReceipt(delivery.acker));
        let incoming = Incoming { body: delivery.data, content_type, compression, receipt };
        // An error means that the reader is gone; the message is not settled and goes back to its queue.
        let _ = self.deliveries.send(incoming);
    }

    async fn obey(&mut self, wire: &Wire, order: Option<Control>) -> ControlFlow<()> {
        match order {
            Some(Control::Quiesce(done)) => {
                self.quiet = true;
                for tag in &wire.tags {
                    let Ok(tag) = short(tag) else { continue };
                    // on a lost connection nothing arrives either
                    let _ = wire.channel.basic_cancel(tag, BasicCancelOptions::default()).await;
                }
                let _ = done.send(()); // nobody waits any more
                ControlFlow::Continue(())
            }
            Some(Control::Close(done)) => {
                self.remove_private_queues(wire).await;
                let _ = wire.connection.close(200, "".into()).await; // it ends in any case
                let _ = done.send(());
                ControlFlow::Break(())
            }
            None => {
                let _ = wire.connection.close(200, "".into()).await;
                ControlFlow::Break(())
            }
        }
    }

    async fn remove_private_queues(&self, wire: &Wire) {
        for (name, careful) in &self.private {
            let Ok(queue) = short(name) else { continue };
            let options = QueueDeleteOptions { if_unused: *careful, if_empty: *careful, nowait: false };
            // A channel for each: a refusal closes it.
            let Ok(channel) = wire.connection.create_channel().await else { return };
            if let Err(error) = channel.queue_delete(queue, options).await {
                tracing::debug!(queue = %name, cause = %describe(&error), "the queue stays on the broker");
            }
        }
    }

    async fn pause(&mut self, time: std::time::Duration) -> ControlFlow<()> {
        let end = tokio::time::Instant::now() + time;
        loop {
            tokio::select! {
                () = sleep(end.saturating_duration_since(tokio::time::Instant::now())) => {
                    if !self.quiet {
                        return ControlFlow::Continue(());
                    }
                    let order = self.control.recv().await;
                    Self::obey_offline(&mut self.quiet, order)?;
                }
                order = self.control.recv() => Self::obey_offline(&mut self.quiet, order)?,
            }
        }
    }

    /// Without a connection there is nothing to cancel; private queues expire by themselves.
    fn obey_offline(quiet: &mut bool, order: Option<Control>) -> ControlFlow<()> {
        match order {
            Some(Control::Quiesce(done)) => {
                *quiet = true;
                let _ = done.send(());
                ControlFlow::Continue(())
            }
            Some(Control::Close(done)) => {
                let _ = done.send(());
                ControlFlow::Break(())
            }
            None => ControlFlow::Break(()),
        }
    }
}

/// A stream is read on behind the last position seen instead of from its last chunk.
fn resume_stream(steps: &[Step], seen: Option<i64>) -> Vec<Step> {
    let mut steps = steps.to_vec();
    let Some(seen) = seen else { return steps };
    for step in &mut steps {
        let Step::Consume { arguments, .. } = step else { continue };
        for (_, value) in arguments.iter_mut().filter(|(name, _)| *name == "x-stream-offset") {
            *value = Argument::Offset(seen.saturating_add(1));
        }
    }
    steps
}

struct RabbitReceipt(Acker);

#[async_trait]
impl Receipt for RabbitReceipt {
    async fn accept(&self) -> bool {
        self.0.ack(BasicAckOptions::default()).await.unwrap_or(false)
    }

    async fn reject(&self) {
        // on a lost connection it comes again and is rejected then
        let _ = self.0.reject(BasicRejectOptions { requeue: false }).await;
    }
}
