//! The RabbitMQ driver, over lapin.
//!
//! One connection publishes; every listener (a server, or the reply queue) has a connection of its own, as in
//! oslo.messaging. Each is kept up by a task of its own that connects again and declares everything anew under the same
//! names. lapin's automatic recovery is not used: its waits cannot be set from our options.

mod connector;
mod declare;
mod links;
mod listener;
mod publish;
mod sender;
mod tls;
pub mod topology;

use crate::driver::{Driver, Listen, Outgoing, Route, Subscription};
use crate::{RabbitOptions, Result, TransportUrl};
use async_trait::async_trait;
use connector::Connector;
use links::Links;
use sender::Sender;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub(crate) struct RabbitDriver {
    connector: Arc<Connector>,
    links: Links,
    sender: Sender,
}

impl RabbitDriver {
    pub fn new(url: &TransportUrl, options: RabbitOptions) -> Result<Self> {
        let connector = Arc::new(Connector::new(url, options)?);
        let links = Links::default();
        let sender = Sender::new(Arc::clone(&connector), links.clone());
        Ok(Self { connector, links, sender })
    }
}

#[async_trait]
impl Driver for RabbitDriver {
    async fn publish(&self, route: &Route, message: &Outgoing) -> Result<()> {
        self.sender.publish(route, message).await
    }

    async fn subscribe(&self, listen: Listen) -> Result<Subscription> {
        listener::start(Arc::clone(&self.connector), self.links.clone(), listen).await
    }

    fn watch(&self) -> watch::Receiver<bool> {
        self.links.watch()
    }

    fn wake(&self) {
        self.sender.wake();
    }

    fn missing_reply_queue_timeout(&self) -> Duration {
        self.connector.options.kombu_missing_consumer_retry_timeout
    }

    fn prefetch(&self) -> u16 {
        self.connector.options.rabbit_qos_prefetch_count
    }

    async fn close(&self) {
        self.sender.close().await;
    }
}
