//! Records of the `log` crate (libraries that do not use `tracing`) and panics, written like events.

use std::panic::PanicHookInfo;
use std::sync::Arc;

use chrono::Local;

use crate::layer::Output;
use crate::record::{Fields, Level, Record};

/// A logger for the `log` crate.
pub(crate) struct Bridge(pub(crate) Arc<Output>);

fn level_of(level: log::Level) -> tracing::Level {
    match level {
        log::Level::Error => tracing::Level::ERROR,
        log::Level::Warn => tracing::Level::WARN,
        log::Level::Info => tracing::Level::INFO,
        log::Level::Debug => tracing::Level::DEBUG,
        log::Level::Trace => tracing::Level::TRACE,
    }
}

/// Libraries that write at level TRACE what they send, passwords included. Nobody gets to see that.
const TELLTALES: [&str; 1] = ["suppaftp"];

fn is_telltale(metadata: &log::Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    metadata.level() == log::Level::Trace && TELLTALES.contains(&library)
}

impl log::Log for Bridge {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        !is_telltale(metadata) && self.0.filter.allows(metadata.target(), level_of(metadata.level()))
    }

    fn log(&self, said: &log::Record<'_>) {
        if !self.enabled(said.metadata()) {
            return;
        }
        let fields = Fields { message: said.args().to_string(), ..Fields::default() };
        let mut record = Record::new(Local::now(), level_of(said.level()).into(), said.target(), fields);
        record.path = said.file().unwrap_or_default().to_owned();
        record.line = said.line().unwrap_or_default();
        record.module = said.module_path().unwrap_or_default().to_owned();
        record.context = crate::context::current();
        self.0.write(&record);
    }

    fn flush(&self) {}
}

/// Writes a panic as CRITICAL, with a backtrace if RUST_BACKTRACE asks for one.
pub(crate) fn log_panic(output: &Output, program: &str, panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let words = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let fields = Fields {
        message: "Unhandled error".to_owned(),
        error: format!("panic: {}", words.unwrap_or("(no text)")),
        critical: true,
        ..Fields::default()
    };
    let mut record = Record::new(Local::now(), Level::Error, program, fields);
    if let Some(location) = panic.location() {
        record.path = location.file().to_owned();
        record.line = location.line();
        record.backtrace.push(format!("panicked at {location}"));
    }
    let trace = std::backtrace::Backtrace::capture();
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        record.backtrace.extend(trace.to_string().lines().map(crate::mask::mask));
    }
    record.context = crate::context::current();
    output.write(&record);
}
