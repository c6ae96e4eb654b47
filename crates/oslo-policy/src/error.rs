//! Refusals and failures.

use std::path::PathBuf;

/// The policy says no. Its text is for the user and names nothing but the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule} is disallowed by policy")]
pub struct Forbidden {
    /// The rule that was asked for.
    pub rule: String,
    /// Why, for the log.
    pub reason: Reason,
}

/// Why a rule refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The rule was evaluated and does not hold.
    Refused,
    /// Neither this rule nor the default rule exists.
    Unknown,
    /// The token is for another scope than the rule wants.
    Scope {
        /// The scopes the rule allows.
        wanted: Vec<String>,
        /// The token's.
        given: &'static str,
    },
    /// The rule could not be evaluated; logged as an error.
    Broken(String),
}

/// Policies could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file that cannot be read.
    #[error("cannot read the policy file {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// A file that is no YAML, or no mapping from rule names to rules.
    #[error("the policy file {} cannot be used: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A rule of the program that cannot be parsed, or comes twice.
    #[error("the program's own policy {name} cannot be used: {problem}; this is an error of the program")]
    Default {
        /// The rule.
        name: String,
        /// What is wrong.
        problem: String,
    },
}
