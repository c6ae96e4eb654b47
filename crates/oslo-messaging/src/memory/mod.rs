//! The in-process driver, `fake://`: the same semantics without a broker.
//!
//! Transports with the same host and vhost in one process meet on one bus; it is gone with the last of them. Routes
//! without a queue drop their messages or, when mandatory, return them, and queues of servers that have stopped
//! keep theirs, as on a broker. One thing differs: notifications are dropped, because nothing here can take them.

mod bus;
mod queue;

use crate::driver::{
    Control, Driver, Incoming, Listen, ListenerControl, Outgoing, Receipt, Route, Subscription,
};
use crate::envelope::CONTENT_TYPE;
use crate::{Error, RabbitOptions, Result, TransportUrl};
use async_trait::async_trait;
use bus::Bus;
use queue::{Consumer, Queue};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

pub(crate) struct MemoryDriver {
    bus: Arc<Bus>,
    options: RabbitOptions,
    connected: watch::Sender<bool>,
    closed: AtomicBool,
}

impl MemoryDriver {
    pub fn new(url: &TransportUrl, options: RabbitOptions) -> Self {
        let host = url.hosts.first().and_then(|host| host.hostname.as_deref()).unwrap_or_default();
        let bus = Bus::named(&format!("{host}/{}", url.vhost()));
        Self { bus, options, connected: watch::Sender::new(true), closed: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Driver for MemoryDriver {
    async fn publish(&self, route: &Route, message: &Outgoing) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        let routed = match route {
            Route::Topic { exchange, key } => self.bus.send_topic(exchange, key, message),
            Route::Fanout { topic } => self.bus.send_fanout(topic, message),
            Route::Reply { queue } => self.bus.send_queue(queue, message),
            Route::Notification { .. } => true,
        };
        if message.mandatory && !routed {
            return Err(Error::Undeliverable { destination: route.to_string() });
        }
        Ok(())
    }

    async fn subscribe(&self, listen: Listen) -> Result<Subscription> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        let (sender, deliveries) = mpsc::unbounded_channel();
        let (orders, control) = mpsc::channel(4);
        let mut attached =
            Attached { bus: Arc::clone(&self.bus), consumers: Vec::new(), private: Vec::new() };
        match listen {
            Listen::Server { exchange, topic, server, fanout_queue, prefetch, drop_own_queue, .. } => {
                let own = format!("{topic}.{server}");
                for name in [&topic, &own] {
                    let queue = self.bus.topic_queue(&exchange, name, self.options.amqp_auto_delete);
                    attached.consume(queue, &sender, prefetch);
                }
                let queue = self.bus.fanout_queue(&topic, &fanout_queue);
                attached.consume(queue, &sender, prefetch);
                attached.private.push((fanout_queue, false));
                if drop_own_queue {
                    attached.private.push((own, true));
                }
            }
            Listen::Replies { queue: name } => {
                let queue = self.bus.plain_queue(&name);
                attached.consume(queue, &sender, self.options.rabbit_qos_prefetch_count);
                attached.private.push((name, false));
            }
        }
        tokio::spawn(attached.run(control));
        Ok(Subscription { deliveries, control: ListenerControl(orders) })
    }

    fn watch(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    fn wake(&self) {}

    fn missing_reply_queue_timeout(&self) -> Duration {
        self.options.kombu_missing_consumer_retry_timeout
    }

    fn prefetch(&self) -> u16 {
        self.options.rabbit_qos_prefetch_count
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.connected.send_replace(false);
    }
}

/// A listener's consumers and the queues that go with it.
struct Attached {
    bus: Arc<Bus>,
    consumers: Vec<(Arc<Queue>, Arc<Consumer>)>,
    /// Deleted at the end; true: only when empty and unused.
    private: Vec<(String, bool)>,
}

impl Attached {
    fn consume(&mut self, queue: Arc<Queue>, sender: &mpsc::UnboundedSender<Incoming>, prefetch: u16) {
        let consumer = queue.add_consumer(sender.clone(), prefetch);
        self.consumers.push((queue, consumer));
    }

    async fn run(mut self, mut control: mpsc::Receiver<Control>) {
        loop {
            match control.recv().await {
                Some(Control::Quiesce(done)) => {
                    for (queue, consumer) in &self.consumers {
                        queue.cancel(consumer);
                    }
                    let _ = done.send(()); // nobody waits any more
                }
                Some(Control::Close(done)) => {
                    self.detach();
                    self.private.iter().for_each(|(name, careful)| self.bus.delete_queue(name, *careful));
                    let _ = done.send(());
                    return;
                }
                // Dropped without a word, as by a crash: nothing expires here, so the unshared queues go at once.
                None => {
                    self.detach();
                    let own = self.private.iter().filter(|(_, careful)| !careful);
                    own.for_each(|(name, _)| self.bus.delete_queue(name, false));
                    return;
                }
            }
        }
    }

    fn detach(&mut self) {
        for (queue, consumer) in self.consumers.drain(..) {
            queue.remove_consumer(&consumer);
            self.bus.collect(&queue);
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.detach(); // the runtime is ending: the queue's messages are for others
    }
}

/// Settles one message taken from a queue.
struct MemoryReceipt {
    queue: Arc<Queue>,
    consumer: Arc<Consumer>,
    tag: u64,
}

#[async_trait]
impl Receipt for MemoryReceipt {
    async fn accept(&self) -> bool {
        self.queue.settle(&self.consumer, self.tag)
    }

    async fn reject(&self) {
        self.queue.settle(&self.consumer, self.tag);
    }
}

fn incoming(queue: &Arc<Queue>, consumer: &Arc<Consumer>, tag: u64, body: Vec<u8>) -> Incoming {
    let receipt = MemoryReceipt { queue: Arc::clone(queue), consumer: Arc::clone(consumer), tag };
    Incoming {
        body,
        content_type: Some(CONTENT_TYPE.to_owned()),
        compression: None,
        receipt: Box::new(receipt),
    }
}
