//! Values that were read and where each came from.

use std::fmt;
use std::path::PathBuf;

/// A checked value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value: no default, or an empty number.
    Null,
    /// Text (also addresses, host names, URIs).
    Str(String),
    /// A whole number (also ports).
    Int(i64),
    /// A number.
    Float(f64),
    /// A switch.
    Bool(bool),
    /// Elements of a list or multi-valued option.
    List(Vec<Value>),
    /// Pairs of a dict, in the order written.
    Dict(Vec<(String, Value)>),
}

impl fmt::Display for Value {
    /// As it would be written in a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => Ok(()),
            Value::Str(text) => f.write_str(text),
            Value::Int(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{number:?}"),
            Value::Bool(true) => f.write_str("True"),
            Value::Bool(false) => f.write_str("False"),
            Value::List(items) => {
                let texts: Vec<String> = items.iter().map(Value::to_string).collect();
                f.write_str(&texts.join(","))
            }
            Value::Dict(pairs) => {
                let texts: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}:{v}")).collect();
                f.write_str(&texts.join(","))
            }
        }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The declaration.
    Default,
    /// A line of a file (for a multi-valued option: its last one).
    File {
        /// The file.
        path: PathBuf,
        /// Line of the option's name, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment(String),
    /// An argument of the program.
    CommandLine,
    /// Set by the program itself.
    Override,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::CommandLine => f.write_str("command line"),
            Origin::Override => f.write_str("override"),
        }
    }
}
