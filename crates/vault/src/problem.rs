//! Trouble with single files, in a form that can be stored and sent.

use crate::tar::{Problem, Severity};
use serde::{Deserialize, Serialize};

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Nothing is missing that could have been kept.
    Notice,
    /// Saved or restored, but look at it.
    Warning,
    /// Something is missing.
    Partial,
}

impl From<Severity> for Weight {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Notice => Self::Notice,
            Severity::Warning => Self::Warning,
            Severity::Partial => Self::Partial,
        }
    }
}

/// One file and what happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileProblem {
    /// Relative to the root; bytes that are no printable ASCII or UTF-8 are escaped.
    pub path: String,
    /// A short word: `unreadable`, `vanished`, `changed`, …
    pub kind: String,
    pub weight: Weight,
    pub reason: String,
}

impl From<&Problem> for FileProblem {
    fn from(problem: &Problem) -> Self {
        Self {
            path: readable(&problem.path),
            kind: problem.kind.word().into(),
            weight: problem.kind.severity().into(),
            reason: problem.reason.clone(),
        }
    }
}

/// A path as text: UTF-8 as it is, anything else escaped.
pub(crate) fn readable(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) if !text.contains(|c: char| c.is_control()) => text.to_owned(),
        _ => path.escape_ascii().to_string(),
    }
}
