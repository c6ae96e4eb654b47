//! Carries out the steps of a topology on a channel.

use super::connector::{code, describe};
use super::topology::{Argument, Step};
use crate::Error;
use lapin::options::{
    BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer, ExchangeKind};

/// Why a step failed.
pub(super) enum Refused {
    /// The connection or channel went away: try again.
    Lost(String),
    /// The broker will never accept it.
    Never(Error),
}

impl Refused {
    pub fn lost(error: &lapin::Error) -> Self {
        Refused::Lost(describe(error))
    }
}

/// A name as AMQP has it: 255 bytes at most. Longer ones must never reach lapin, which would panic.
pub(super) fn short(name: &str) -> Result<ShortString, Refused> {
    ShortString::try_new(name).map_err(|_| {
        Refused::Never(Error::Declaration {
            what: format!("the name {:.60}…", name),
            cause: format!("it has {} bytes, and 255 are allowed", name.len()),
        })
    })
}

/// Carries out all steps on a new channel and returns it with its consumers, in order.
///
/// Three quarrels with what is there already are settled as oslo.messaging does: an exchange that exists as non-durable is
/// taken as such, and a queue whose node is dead (404) is deleted and made anew. A queue that is to expire and exists without
/// that (406) was made by an older version, and is replaced when nobody uses it.
pub(super) async fn declare(
    connection: &Connection,
    steps: &[Step],
) -> Result<(Channel, Vec<Consumer>), Refused> {
    let mut steps = steps.to_vec();
    for _ in 0..=steps.len() {
        let channel = connection.create_channel().await.map_err(|error| Refused::lost(&error))?;
        match run_all(&channel, &steps).await {
            Ok(consumers) => return Ok((channel, consumers)),
            Err((index, error)) => settle(connection, &mut steps, index, &error).await?,
        }
    }
    Err(Refused::Lost("the declarations did not come to an end".to_owned()))
}

async fn run_all(channel: &Channel, steps: &[Step]) -> Result<Vec<Consumer>, (usize, StepError)> {
    let mut consumers = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        consumers.extend(run(channel, step).await.map_err(|error| (index, error))?);
    }
    Ok(consumers)
}

pub(super) enum StepError {
    Name(Refused),
    Broker(lapin::Error),
}

impl From<lapin::Error> for StepError {
    fn from(error: lapin::Error) -> Self {
        StepError::Broker(error)
    }
}

impl From<Refused> for StepError {
    fn from(refused: Refused) -> Self {
        StepError::Name(refused)
    }
}

async fn settle(
    connection: &Connection,
    steps: &mut [Step],
    index: usize,
    error: &StepError,
) -> Result<(), Refused> {
    let error = match error {
        StepError::Broker(error) => error,
        StepError::Name(Refused::Never(error)) => return Err(Refused::Never(error.clone())),
        StepError::Name(Refused::Lost(cause)) => return Err(Refused::Lost(cause.clone())),
    };
    let Some(step) = steps.get_mut(index) else { return Err(Refused::lost(error)) };
    match (code(error), step) {
        (Some(406), Step::Exchange { durable: durable @ true, name, .. }) => {
            tracing::warn!(exchange = %name, "the exchange exists as non-durable and is used as such");
            *durable = false;
            if let Some(Step::Queue { durable, arguments, .. }) = steps.get_mut(index + 1) {
                *durable = arguments.iter().any(|(name, _)| *name == "x-queue-type");
            }
            Ok(())
        }
        (Some(404), Step::Queue { name, .. }) => {
            tracing::warn!(queue = %name, "the queue's node is gone: it is made anew");
            let channel = connection.create_channel().await.map_err(|error| Refused::lost(&error))?;
            let deleted = channel.queue_delete(short(name)?, QueueDeleteOptions::default()).await;
            deleted.map(drop).map_err(|error| Refused::lost(&error))
        }
        (Some(406), Step::Queue { name, arguments, .. })
            if arguments.iter().any(|(argument, _)| *argument == "x-expires") =>
        {
            tracing::warn!(queue = %name, "the queue of an older version is replaced");
            let channel = connection.create_channel().await.map_err(|error| Refused::lost(&error))?;
            let options = QueueDeleteOptions { if_unused: true, ..QueueDeleteOptions::default() };
            let deleted = channel.queue_delete(short(name)?, options).await;
            deleted.map(drop).map_err(|error| Refused::lost(&error))
        }
        (Some(403 | 406 | 540), step) => {
            Err(Refused::Never(Error::Declaration { what: what(step), cause: describe(error) }))
        }
        _ => Err(Refused::lost(error)),
    }
}

fn what(step: &Step) -> String {
    match step {
        Step::Qos { prefetch } => format!("prefetch {prefetch}"),
        Step::Exchange { name, .. } => format!("exchange {name}"),
        Step::Queue { name, .. } => format!("queue {name}"),
        Step::Bind { queue, exchange, .. } => format!("the binding of queue {queue} to exchange {exchange}"),
        Step::Consume { queue, .. } => format!("the consumer of queue {queue}"),
    }
}

/// One step; a consumer is returned.
pub(super) async fn run(channel: &Channel, step: &Step) -> Result<Option<Consumer>, StepError> {
    match step {
        Step::Qos { prefetch } => channel.basic_qos(*prefetch, BasicQosOptions::default()).await?,
        Step::Exchange { name, fanout, durable, auto_delete } => {
            let kind = if *fanout { ExchangeKind::Fanout } else { ExchangeKind::Topic };
            let options =
                ExchangeDeclareOptions { durable: *durable, auto_delete: *auto_delete, ..Default::default() };
            channel.exchange_declare(short(name)?, kind, options, FieldTable::default()).await?;
        }
        Step::Queue { name, durable, auto_delete, arguments } => {
            let options =
                QueueDeclareOptions { durable: *durable, auto_delete: *auto_delete, ..Default::default() };
            channel.queue_declare(short(name)?, options, table(arguments)).await?;
        }
        Step::Bind { queue, exchange, key } => {
            let options = QueueBindOptions::default();
            channel
                .queue_bind(short(queue)?, short(exchange)?, short(key)?, options, FieldTable::default())
                .await?;
        }
        Step::Consume { queue, tag, arguments } => {
            let options = BasicConsumeOptions::default();
            let consumer =
                channel.basic_consume(short(queue)?, short(tag)?, options, table(arguments)).await?;
            return Ok(Some(consumer));
        }
    }
    Ok(None)
}

fn table(arguments: &[(&'static str, Argument)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        let value = match value {
            Argument::Int(number) => AMQPValue::LongInt(*number),
            Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
            Argument::Bool(flag) => AMQPValue::Boolean(*flag),
            Argument::Offset(offset) => AMQPValue::LongLongInt(*offset),
        };
        table.insert((*name).into(), value);
    }
    table
}
