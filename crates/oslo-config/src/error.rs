//! What can go wrong, in words an operator can act on. A secret's text never gets into these.

use std::fmt;
use std::path::PathBuf;

use crate::value::Origin;

/// Why the configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A `--config-file` that is not there.
    #[error("cannot find the configuration file {}: check the path given with --config-file", .0.display())]
    NoSuchFile(PathBuf),
    /// A `--config-dir` that is not there.
    #[error("cannot find the configuration directory {}: check the path given with --config-dir", .0.display())]
    NoSuchDir(PathBuf),
    /// A file or directory that cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// A line that does not follow the syntax.
    #[error("{}:{line}: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// What is wrong with the line and what is expected.
        problem: String,
    },
    /// All values that are not allowed, and all required options without one.
    #[error("{}", join(.0))]
    Values(Vec<BadValue>),
    /// Arguments that make no sense (`--config-file` without a file).
    #[error("{0}")]
    Arguments(String),
    /// Two libraries registered one option differently.
    #[error(
        "option {name} of section [{group}] is registered twice with different declarations: this is an error of the program"
    )]
    Conflict {
        /// The section.
        group: String,
        /// The option.
        name: String,
    },
    /// The program set an option nobody registered.
    #[error("cannot set {name} in section [{group}]: no such option is registered")]
    NoSuchOption {
        /// The section.
        group: String,
        /// The option.
        name: String,
    },
}

fn join(bad: &[BadValue]) -> String {
    bad.iter().map(BadValue::to_string).collect::<Vec<_>>().join("\n")
}

/// One option whose value is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// The section.
    pub group: String,
    /// The option.
    pub name: String,
    /// Where the text was written.
    pub origin: Origin,
    /// The text, unless the option is secret or has no value at all.
    pub text: Option<String>,
    /// What is wrong and what is expected.
    pub problem: String,
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: option {} of section [{}]", self.origin, self.name, self.group)?;
        if let Some(text) = &self.text {
            write!(f, " has the value {text:?}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// A getter was asked for something that was never declared: an error of the program, not of the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Not registered.
    #[error("option {name} of section [{group}] is not registered: this is an error of the program")]
    Unknown {
        /// The section.
        group: String,
        /// The option.
        name: String,
    },
    /// Registered with another type.
    #[error("option {name} of section [{group}] is not a {wanted}: this is an error of the program")]
    Type {
        /// The section.
        group: String,
        /// The option.
        name: String,
        /// The type the program asked for.
        wanted: &'static str,
    },
}
