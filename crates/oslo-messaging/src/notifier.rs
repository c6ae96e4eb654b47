//! Notifications out: events for whoever listens.
//!
//! The queue of each topic and priority is declared before the first event, so that events wait for a listener that is
//! not there yet, without limit: name only topics that somebody reads. Tokens never ride in a notification.

use crate::driver::{Outgoing, Route};
use crate::envelope::encode_body;
use crate::message::new_id;
use crate::{Context, Error, Result, Transport};
use chrono::{DateTime, Timelike, Utc};
use serde_json::{Map, Value, json};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// How loud an event is; also the last part of its routing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    Audit,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
    Sample,
}

impl Priority {
    /// As in the message.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Audit => "AUDIT",
            Priority::Debug => "DEBUG",
            Priority::Info => "INFO",
            Priority::Warn => "WARN",
            Priority::Error => "ERROR",
            Priority::Critical => "CRITICAL",
            Priority::Sample => "SAMPLE",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `[oslo_messaging_notifications] driver`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotifierDriver {
    /// `messagingv2`: in the envelope.
    MessagingV2,
    /// `messaging`: the same without the envelope.
    Messaging,
    /// `noop`, and the default: nothing is sent.
    #[default]
    Noop,
}

impl std::str::FromStr for NotifierDriver {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "messagingv2" => Ok(NotifierDriver::MessagingV2),
            "messaging" => Ok(NotifierDriver::Messaging),
            "noop" | "" => Ok(NotifierDriver::Noop),
            other => {
                let reason = format!(
                    "there is no notification driver {other:?}, only messagingv2, messaging and noop"
                );
                Err(Error::InvalidOption { name: "driver".to_owned(), reason })
            }
        }
    }
}

/// `[oslo_messaging_notifications]`.
#[derive(Clone, Debug)]
pub struct NotifierOptions {
    pub driver: NotifierDriver,
    pub topics: Vec<String>,
    /// How long an event waits for a broker that is away.
    pub send_timeout: Duration,
}

impl Default for NotifierOptions {
    fn default() -> Self {
        let topics = vec!["notifications".to_owned()];
        Self { driver: NotifierDriver::default(), topics, send_timeout: Duration::from_secs(30) }
    }
}

/// Context keys that may leave the service.
const HARMLESS: &[&str] = &[
    "user",
    "user_id",
    "project_id",
    "system_scope",
    "project",
    "tenant",
    "domain",
    "user_domain",
    "project_domain",
    "is_admin",
    "read_only",
    "show_deleted",
    "request_id",
    "global_request_id",
    "resource_uuid",
    "roles",
    "user_identity",
    "is_admin_project",
];

/// Emits events in the name of one publisher.
#[derive(Clone, Debug)]
pub struct Notifier {
    transport: Transport,
    publisher_id: String,
    options: NotifierOptions,
}

impl Notifier {
    /// A notifier; `publisher_id` is `<service>.<host>`.
    pub fn new(transport: &Transport, publisher_id: impl Into<String>, options: NotifierOptions) -> Self {
        Self { transport: transport.clone(), publisher_id: publisher_id.into(), options }
    }

    /// Emits one event, once for each topic.
    ///
    /// # Errors
    /// The first topic's failure that is met; the other topics are served all the same.
    pub async fn notify(
        &self,
        ctx: &Context,
        priority: Priority,
        event_type: &str,
        payload: Value,
    ) -> Result<()> {
        if self.options.driver == NotifierDriver::Noop {
            return Ok(());
        }
        let event = self.event(ctx, priority, event_type, payload);
        let mut outcome = Ok(());
        for topic in &self.options.topics {
            let sent = self.publish(topic, priority, &event).await;
            outcome = outcome.and(sent);
        }
        outcome
    }

    /// [`Self::notify`] at INFO.
    ///
    /// # Errors
    /// As there.
    pub async fn info(&self, ctx: &Context, event_type: &str, payload: Value) -> Result<()> {
        self.notify(ctx, Priority::Info, event_type, payload).await
    }

    /// [`Self::notify`] at ERROR.
    ///
    /// # Errors
    /// As there.
    pub async fn error(&self, ctx: &Context, event_type: &str, payload: Value) -> Result<()> {
        self.notify(ctx, Priority::Error, event_type, payload).await
    }

    fn event(
        &self,
        ctx: &Context,
        priority: Priority,
        event_type: &str,
        payload: Value,
    ) -> Map<String, Value> {
        let mut event = Map::new();
        event.insert("message_id".into(), json!(uuid::Uuid::new_v4().to_string()));
        event.insert("publisher_id".into(), json!(self.publisher_id));
        event.insert("event_type".into(), json!(event_type));
        event.insert("priority".into(), json!(priority.as_str()));
        event.insert("payload".into(), payload);
        event.insert("timestamp".into(), json!(timestamp(Utc::now())));
        event.insert("_unique_id".into(), Value::Null); // each publish gets its own
        for (key, value) in ctx.as_map() {
            if HARMLESS.contains(&key.as_str()) {
                event.insert(format!("_context_{key}"), value.clone());
            }
        }
        event
    }

    async fn publish(&self, topic: &str, priority: Priority, event: &Map<String, Value>) -> Result<()> {
        let mut event = event.clone();
        event.insert("_unique_id".into(), json!(new_id()));
        let event = Value::Object(event);
        let body = match self.options.driver {
            NotifierDriver::Messaging => event.to_string().into_bytes(),
            _ => encode_body(&event),
        };
        let key = format!("{topic}.{}", priority.as_str().to_ascii_lowercase());
        let route = Route::Notification { exchange: self.transport.control_exchange().to_owned(), key };
        let deadline = Instant::now() + self.options.send_timeout;
        let message = Outgoing { body, ttl: None, mandatory: false, deadline };
        self.transport.driver().publish(&route, &message).await
    }
}

/// As Python prints a datetime: no zone, and no fraction when it is zero.
fn timestamp(now: DateTime<Utc>) -> String {
    let format = if now.nanosecond() / 1000 == 0 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M:%S%.6f" };
    now.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_those_of_python() {
        let at = |text: &str| timestamp(text.parse::<DateTime<Utc>>().unwrap());
        assert_eq!(at("2026-01-02T03:04:05.678901Z"), "2026-01-02 03:04:05.678901");
        assert_eq!(at("2026-01-02T03:04:05.000500Z"), "2026-01-02 03:04:05.000500");
        assert_eq!(at("2026-01-02T03:04:05Z"), "2026-01-02 03:04:05");
    }
}
