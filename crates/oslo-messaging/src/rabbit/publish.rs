//! One publish on one connection: declare the way, send, wait for the confirm.
//!
//! A channel carries one unconfirmed message at a time. lapin hands a returned message to whichever confirm comes next,
//! so with several under way a return could be taken for another message's.

use super::connector::{code, describe};
use super::declare::{Refused, short};
use super::{declare, topology};
use crate::driver::{Outgoing, Route};
use crate::envelope::CONTENT_TYPE;
use crate::{Error, RabbitOptions};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use std::collections::HashSet;
use std::sync::{Mutex as StdMutex, PoisonError};
use tokio::sync::{Mutex, MutexGuard};

/// Channels that publish side by side.
const LANES: usize = 8;

/// Why a message was not confirmed.
pub(super) enum Attempt {
    /// Try again; the connection may be gone.
    Failed(String),
    /// The broker returned it: there is no queue for it.
    Returned,
    /// No use trying again.
    Never(Error),
}

impl From<Refused> for Attempt {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Lost(cause) => Attempt::Failed(cause),
            Refused::Never(error) => Attempt::Never(error),
        }
    }
}

/// A connection that publishes, with its channels and what was declared through it.
pub(super) struct Live {
    pub connection: Connection,
    lanes: Vec<Mutex<Option<Channel>>>,
    declared: StdMutex<HashSet<String>>,
}

impl Live {
    pub fn new(connection: Connection) -> Self {
        let lanes = (0..LANES).map(|_| Mutex::new(None)).collect();
        Self { connection, lanes, declared: StdMutex::default() }
    }

    /// Publishes once and waits for the confirm. When this is dropped half-way its channel is closed with it.
    pub async fn publish(
        &self,
        options: &RabbitOptions,
        route: &Route,
        message: &Outgoing,
    ) -> Result<(), Attempt> {
        self.prepare(options, route).await?;
        let (exchange, key) = address(route);
        let (exchange, key) = (short(&exchange)?, short(&key)?);
        let mut lane = self.lane().await;
        let channel = match lane.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => self.confirming_channel().await?,
        };
        let flags = BasicPublishOptions { mandatory: message.mandatory, immediate: false };
        let (body, properties) = wrap(options, message)?;
        let sent = async { channel.basic_publish(exchange, key, flags, &body, properties).await?.await };
        let confirmation = sent.await.map_err(|error| self.forget(route, &error))?;
        *lane = Some(channel);
        match confirmation {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Err(Attempt::Returned),
            Confirmation::Nack(None) => {
                Err(Attempt::Failed("the broker could not store the message".to_owned()))
            }
            Confirmation::NotRequested => Err(Attempt::Failed("the channel does not confirm".to_owned())),
        }
    }

    async fn lane(&self) -> MutexGuard<'_, Option<Channel>> {
        for lane in &self.lanes {
            if let Ok(lane) = lane.try_lock() {
                return lane;
            }
        }
        let waiting = self.lanes.iter().map(|lane| Box::pin(lane.lock()));
        futures_util::future::select_all(waiting).await.0
    }

    async fn confirming_channel(&self) -> Result<Channel, Attempt> {
        let failed = |error: lapin::Error| Attempt::Failed(describe(&error));
        let channel = self.connection.create_channel().await.map_err(failed)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed)?;
        Ok(channel)
    }

    /// Declares the exchange (and a notification's queue) once for each connection.
    async fn prepare(&self, options: &RabbitOptions, route: &Route) -> Result<(), Attempt> {
        let Some(name) = declared_name(route) else { return Ok(()) };
        if self.declared().contains(&name) {
            return Ok(());
        }
        let steps = match route {
            Route::Topic { exchange, .. } => vec![topology::topic_exchange(options, exchange)],
            Route::Fanout { topic } => vec![topology::fanout_exchange(options, topic)],
            Route::Notification { exchange, key } => topology::notification(options, exchange, key),
            Route::Reply { .. } => return Ok(()),
        };
        declare::declare(&self.connection, &steps).await?;
        self.declared().insert(name);
        Ok(())
    }

    /// A missing exchange (404) has closed the channel: declare it again next time.
    fn forget(&self, route: &Route, error: &lapin::Error) -> Attempt {
        if let (Some(404), Some(name)) = (code(error), declared_name(route)) {
            self.declared().remove(&name);
        }
        match code(error) {
            Some(403) => Attempt::Never(Error::Declaration {
                what: format!("a message to {route}"),
                cause: describe(error),
            }),
            _ => Attempt::Failed(describe(error)),
        }
    }

    fn declared(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn declared_name(route: &Route) -> Option<String> {
    match route {
        Route::Topic { exchange, .. } => Some(format!("exchange {exchange}")),
        Route::Fanout { topic } => Some(format!("fanout {topic}")),
        Route::Notification { exchange, key } => Some(format!("notification {exchange} {key}")),
        Route::Reply { .. } => None,
    }
}

/// Exchange and routing key.
fn address(route: &Route) -> (String, String) {
    match route {
        Route::Topic { exchange, key } | Route::Notification { exchange, key } => {
            (exchange.clone(), key.clone())
        }
        Route::Fanout { topic } => (topology::fanout_name(topic), String::new()),
        Route::Reply { queue } => (String::new(), queue.clone()),
    }
}

/// Body and properties as kombu sets them.
fn wrap(options: &RabbitOptions, message: &Outgoing) -> Result<(Vec<u8>, BasicProperties), Attempt> {
    let mut headers = FieldTable::default();
    let body = match options.kombu_compression {
        None => message.body.clone(),
        Some(compression) => {
            headers.insert("compression".into(), AMQPValue::LongString(compression.header().into()));
            let unserializable = |error: std::io::Error| Error::Unserializable { cause: error.to_string() };
            compression.compress(&message.body).map_err(|error| Attempt::Never(unserializable(error)))?
        }
    };
    let mut properties = BasicProperties::default()
        .with_content_type(CONTENT_TYPE.into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(0);
    if let Some(ttl) = message.ttl {
        properties = properties.with_expiration(ttl.as_millis().to_string().into());
    }
    Ok((body, properties))
}
