//! One event, ready to be written: everything a format can ask for. Texts are masked when they get in here.

use chrono::{DateTime, Local};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};

use crate::context::RequestContext;
use crate::mask::{self, mask};

/// Levels as oslo.log names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

impl Level {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Level::Trace => "TRACE",
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
            Level::Critical => "CRITICAL",
        }
    }

    /// Python's number of the level.
    pub(crate) fn number(self) -> u8 {
        match self {
            Level::Trace => 5,
            Level::Debug => 10,
            Level::Info => 20,
            Level::Warning => 30,
            Level::Error => 40,
            Level::Critical => 50,
        }
    }

    /// Syslog's number of the level.
    pub(crate) fn priority(self) -> u8 {
        match self {
            Level::Trace | Level::Debug => 7,
            Level::Info => 6,
            Level::Warning => 4,
            Level::Error => 3,
            Level::Critical => 2,
        }
    }
}

impl From<tracing::Level> for Level {
    fn from(level: tracing::Level) -> Self {
        match level {
            tracing::Level::TRACE => Level::Trace,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::INFO => Level::Info,
            tracing::Level::WARN => Level::Warning,
            tracing::Level::ERROR => Level::Error,
        }
    }
}

/// One event.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) time: DateTime<Local>,
    pub(crate) level: Level,
    /// The logger: the event's target, dotted.
    pub(crate) name: String,
    /// The message with its other fields after it.
    pub(crate) message: String,
    /// The text of the field `error`.
    pub(crate) error: String,
    /// Fields that are neither message nor error nor a resource.
    pub(crate) fields: Map<String, Value>,
    pub(crate) resource: Option<String>,
    pub(crate) path: String,
    pub(crate) line: u32,
    pub(crate) module: String,
    /// Lines of a panic's backtrace; empty otherwise.
    pub(crate) backtrace: Vec<String>,
    pub(crate) context: Option<RequestContext>,
}

impl Record {
    /// Puts the collected fields of an event in place.
    pub(crate) fn new(time: DateTime<Local>, level: Level, target: &str, fields: Fields) -> Self {
        let level = if fields.critical && level == Level::Error { Level::Critical } else { level };
        let mut record = Record {
            time,
            level,
            name: target.replace("::", "."),
            message: mask(&fields.message),
            error: mask(&fields.error),
            fields: Map::new(),
            resource: fields.resource,
            path: String::new(),
            line: 0,
            module: String::new(),
            backtrace: Vec::new(),
            context: None,
        };
        if level < Level::Warning && !record.error.is_empty() {
            // Upstream sums up an exception from WARNING up only; a field somebody gave must not get lost, though.
            record.fields.insert("error".to_owned(), Value::String(std::mem::take(&mut record.error)));
        }
        for (name, value) in fields.others {
            let value = match value {
                Value::String(text) => {
                    Value::String(if mask::is_secret(&name) { "***".to_owned() } else { mask(&text) })
                }
                _ if mask::is_secret(&name) => Value::String("***".to_owned()),
                other => other,
            };
            record.fields.insert(name, value);
        }
        record
    }

    /// Message, fields and error as they stand in a line.
    pub(crate) fn full_message(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            if !text.is_empty() {
                text.push(' ');
            }
            match value {
                Value::String(value) => text.push_str(&format!("{name}={value}")),
                value => text.push_str(&format!("{name}={value}")),
            }
        }
        if !self.error.is_empty() {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&self.error);
        }
        text
    }
}

/// Collects the fields of an event.
#[derive(Default)]
pub(crate) struct Fields {
    pub(crate) message: String,
    pub(crate) error: String,
    pub(crate) resource: Option<String>,
    pub(crate) critical: bool,
    pub(crate) others: Vec<(String, Value)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("error", Value::String(text)) => self.error = text,
            ("resource_uuid" | "instance_uuid", Value::String(text)) => self.resource = Some(text),
            ("critical", Value::Bool(on)) => self.critical = on,
            (name, value) => self.others.push((name.trim_start_matches("r#").to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let words = error.to_string();
            // Many errors repeat their cause in their own words already.
            if !text.contains(&words) {
                text.push_str(&format!(": {words}"));
            }
            cause = error.source();
        }
        self.put(field, text.into());
    }
}
