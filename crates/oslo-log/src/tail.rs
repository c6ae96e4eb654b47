//! The last lines of this process's own log, kept in memory for whoever shows them elsewhere.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use chrono::{SecondsFormat, Utc};

use crate::record::{Level, Record};

/// Characters of a line.
const LINE_CHARACTERS: usize = 400;

/// Lines from INFO up of loggers under one name.
pub(crate) struct Tail {
    logger: &'static str,
    lines: usize,
    kept: Mutex<VecDeque<String>>,
}

impl Tail {
    pub(crate) fn new(logger: &'static str, lines: usize) -> Self {
        Tail { logger, lines, kept: Mutex::default() }
    }

    pub(crate) fn take(&self, record: &Record) {
        if record.level < Level::Info || !record.name.starts_with(self.logger) {
            return;
        }
        let time = record.time.with_timezone(&Utc).to_rfc3339_opts(SecondsFormat::Secs, true);
        let line = format!("{time} {} {}", record.level.name(), record.full_message().replace('\n', " "));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= self.lines {
            kept.pop_front();
        }
        kept.push_back(line.chars().take(LINE_CHARACTERS).collect());
    }

    pub(crate) fn last(&self, lines: usize) -> Vec<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().skip(kept.len().saturating_sub(lines)).cloned().collect()
    }
}
