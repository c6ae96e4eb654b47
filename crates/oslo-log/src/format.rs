//! Python's `%(name)s` formats, parsed once at setup, and the plain text line made with them.

use std::fmt::Write as _;

use chrono::format::{Item, StrftimeItems};

use crate::record::{Level, Record};

/// A parsed format.
#[derive(Clone, Debug)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Field { name: String, width: usize, zero: bool, left: bool },
}

const KNOWN: &[&str] = &[
    "asctime",
    "msecs",
    "process",
    "processName",
    "levelname",
    "levelno",
    "name",
    "message",
    "instance",
    "resource",
    "funcName",
    "pathname",
    "filename",
    "module",
    "lineno",
    "created",
    "thread",
    "threadName",
    "user_identity",
    "uuid",
    "color",
    "reset_color",
    "hostname",
];

impl Template {
    /// Refuses what it does not understand: at setup, not in the middle of the night.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            pieces.push(Piece::Text(before.to_owned()));
            if let Some(next) = after.strip_prefix('%') {
                pieces.push(Piece::Text("%".to_owned()));
                rest = next;
                continue;
            }
            let (name, conversion) = after
                .strip_prefix('(')
                .and_then(|inner| inner.split_once(')'))
                .ok_or("a % must be followed by (name)s; write %% for a percent sign")?;
            let end =
                conversion.find(|c: char| c.is_ascii_alphabetic()).ok_or("%(name) must end with s or d")?;
            let (flags, from) = conversion.split_at(end);
            rest = from.strip_prefix(['s', 'd']).ok_or("%(name) must end with s or d")?;
            pieces.push(field(name, flags)?);
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Template(pieces))
    }

    fn render(&self, value_of: impl Fn(&str) -> String) -> String {
        let mut line = String::with_capacity(160);
        for piece in &self.0 {
            let _ = match piece {
                Piece::Text(text) => line.write_str(text),
                Piece::Field { name, width, zero: true, .. } => write!(line, "{:0>width$}", value_of(name)),
                Piece::Field { name, width, left: true, .. } => write!(line, "{:<width$}", value_of(name)),
                Piece::Field { name, width, .. } => write!(line, "{:>width$}", value_of(name)),
            };
        }
        line
    }
}

fn field(name: &str, flags: &str) -> Result<Piece, String> {
    let known = KNOWN.contains(&name) || crate::context::RequestContext::default().text(name).is_some();
    if !known {
        return Err(format!("%({name}) is not a field of a log line"));
    }
    let left = flags.starts_with('-');
    let digits = flags.trim_start_matches('-');
    let width = if digits.is_empty() { Some(0) } else { digits.parse().ok() };
    match width {
        Some(width) if width <= 1000 => {
            Ok(Piece::Field { name: name.to_owned(), width, zero: digits.starts_with('0'), left })
        }
        _ => Err(format!("%({name}) has a width that is no number up to 1000")),
    }
}

/// All formats of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Formats {
    pub(crate) date: String,
    pub(crate) context: Template,
    pub(crate) default: Template,
    pub(crate) debug_suffix: Template,
    pub(crate) exception_prefix: Template,
    pub(crate) user_identity: Template,
    pub(crate) instance: Template,
}

/// Whether a date format can be used at all.
pub(crate) fn check_date(format: &str) -> Result<(), String> {
    match StrftimeItems::new(format).any(|item| matches!(item, Item::Error)) {
        true => Err("it is no strftime format".to_owned()),
        false => Ok(()),
    }
}

impl Formats {
    /// The line or lines of a record, without the last newline.
    pub(crate) fn line(&self, record: &Record) -> String {
        let template = if record.context.is_some() { &self.context } else { &self.default };
        let mut line = template.render(|name| self.value(name, record));
        if record.level == Level::Debug {
            line.push(' ');
            line.push_str(&self.debug_suffix.render(|name| self.value(name, record)));
        }
        for trace in &record.backtrace {
            line.push('\n');
            line.push_str(&self.exception_prefix.render(|name| self.value(name, record)));
            line.push_str(trace);
        }
        escape(&line)
    }

    /// The date as configured.
    pub(crate) fn asctime(&self, record: &Record) -> String {
        record.time.format(&self.date).to_string()
    }

    fn value(&self, name: &str, record: &Record) -> String {
        match name {
            "asctime" => self.asctime(record),
            "msecs" => record.time.timestamp_subsec_millis().min(999).to_string(),
            "created" => format!("{:.6}", seconds(record)),
            "process" => std::process::id().to_string(),
            "levelname" => record.level.name().to_owned(),
            "levelno" => record.level.number().to_string(),
            "name" => record.name.clone(),
            "message" => record.full_message(),
            "instance" | "resource" => self.instance_of(record),
            "funcName" => function(record).to_owned(),
            "module" => record.module.rsplit("::").next().unwrap_or_default().to_owned(),
            "pathname" => record.path.clone(),
            "filename" => record.path.rsplit('/').next().unwrap_or_default().to_owned(),
            "lineno" => record.line.to_string(),
            "processName" => "MainProcess".to_owned(),
            "thread" | "threadName" => thread_name(),
            "hostname" => hostname(),
            "user_identity" => self.user_identity.render(|name| identity(name, record)),
            "color" | "reset_color" | "uuid" => String::new(),
            other => context_text(other, record).unwrap_or_else(|| "None".to_owned()),
        }
    }

    fn instance_of(&self, record: &Record) -> String {
        let of_context = || record.context.as_ref().and_then(|context| context.resource_uuid.clone());
        let Some(uuid) = record.resource.clone().or_else(of_context) else { return String::new() };
        self.instance.render(|name| if name == "uuid" { uuid.clone() } else { self.value(name, record) })
    }
}

fn identity(name: &str, record: &Record) -> String {
    context_text(name, record).unwrap_or_else(|| "-".to_owned())
}

fn context_text(name: &str, record: &Record) -> Option<String> {
    let text = record.context.as_ref()?.text(name)??;
    (!text.is_empty()).then(|| text.to_owned())
}

/// There is no function's name in an event: the module's path stands for it.
pub(crate) fn function(record: &Record) -> &str {
    if record.module.is_empty() { "-" } else { &record.module }
}

/// Seconds since 1970, with fraction.
pub(crate) fn seconds(record: &Record) -> f64 {
    record.time.timestamp_micros() as f64 / 1e6
}

/// The thread's name, or its number.
pub(crate) fn thread_name() -> String {
    let thread = std::thread::current();
    thread.name().map_or_else(|| format!("{:?}", thread.id()), str::to_owned)
}

/// This machine's name.
pub(crate) fn hostname() -> String {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let read = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    NAME.get_or_init(read).clone()
}

/// Control characters could move a terminal's cursor or hide text: shown as escapes. Newlines and tabs stay.
fn escape(text: &str) -> String {
    let bad = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(bad) {
        return text.to_owned();
    }
    let mut clean = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if bad(letter) { clean.extend(letter.escape_default()) } else { clean.push(letter) }
    }
    clean
}
