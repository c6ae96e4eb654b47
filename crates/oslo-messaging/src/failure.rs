//! A method's failure as it crosses the wire: class, module, message, traceback, arguments.

use serde_json::{Map, Value};
use std::fmt;

/// A failure as the caller sees it. The same shape as what the server sent, so that it can be passed on.
pub type RemoteError = RemoteFailure;

/// A failure that an endpoint answers with.
///
/// A Python caller raises the named class when `module` is `builtins` or one it allows, and `RemoteError` otherwise;
/// `exc_type` is then `class` and `value` is `message`.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteFailure {
    /// Name of the exception's class.
    pub class: String,
    /// Module of the class; `builtins` for Python's own.
    pub module: Option<String>,
    /// The text for a reader.
    pub message: String,
    pub details: Box<FailureDetails>,
}

/// What a Python caller needs beyond the text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FailureDetails {
    /// Lines of the traceback, each with its newline; may be empty.
    pub traceback: Vec<String>,
    /// Positional arguments of the exception.
    pub args: Vec<Value>,
    /// Keyword arguments; what lets Python rebuild exceptions with a message template.
    pub kwargs: Map<String, Value>,
}

/// Module of the failures that dispatching itself makes.
pub(crate) const DISPATCHER: &str = "oslo_messaging.rpc.dispatcher";

impl RemoteFailure {
    /// A failure with a message as its only argument.
    pub fn new(module: impl Into<String>, class: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        let details =
            FailureDetails { args: vec![Value::String(message.clone())], ..FailureDetails::default() };
        Self { class: class.into(), module: Some(module.into()), message, details: Box::new(details) }
    }

    /// Adds a keyword argument. The positional ones are dropped: classes with a template take one or the other.
    #[must_use]
    pub fn with_kwarg(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.details.args.clear();
        self.details.kwargs.insert(key.into(), value.into());
        self
    }

    /// The arguments do not fit the method: Python's `TypeError`.
    pub fn bad_arguments(message: impl fmt::Display) -> Self {
        Self::new("builtins", "TypeError", message.to_string())
    }

    /// The endpoint has no such method.
    #[must_use]
    pub fn no_such_method(method: &str) -> Self {
        Self::new(DISPATCHER, "NoSuchMethod", format!("Endpoint does not support RPC method {method}"))
            .with_kwarg("method", method)
    }

    /// No endpoint answers to this namespace and version.
    #[must_use]
    pub fn unsupported_version(version: &str, method: &str) -> Self {
        let text = format!("Endpoint does not support RPC version {version}. Attempted method: {method}");
        Self::new(DISPATCHER, "UnsupportedVersion", text)
    }

    /// True for [`Self::no_such_method`], from either language.
    #[must_use]
    pub fn is_no_such_method(&self) -> bool {
        self.class == "NoSuchMethod"
    }

    /// True for [`Self::unsupported_version`], from either language.
    #[must_use]
    pub fn is_unsupported_version(&self) -> bool {
        self.class == "UnsupportedVersion"
    }

    /// The JSON text that goes into a reply's `failure`.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "class": self.class, "module": self.module, "message": self.message, "tb": self.details.traceback,
            "args": self.details.args, "kwargs": self.details.kwargs,
        })
        .to_string()
    }

    /// Reads a reply's decoded `failure`. Only `class` is needed; a traceback may also be one text.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        let map = value.as_object()?;
        let text = |key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
        let class = text("class")?;
        let traceback = match map.get("tb") {
            Some(Value::Array(lines)) => lines.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(all)) => vec![all.clone()],
            _ => Vec::new(),
        };
        let args = map.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
        let kwargs = map.get("kwargs").and_then(Value::as_object).cloned().unwrap_or_default();
        let class = class.strip_suffix("_Remote").map_or(class.clone(), str::to_owned);
        let module = text("module").map(|m| m.strip_suffix("_Remote").map_or(m.clone(), str::to_owned));
        let details = Box::new(FailureDetails { traceback, args, kwargs });
        Some(Self { class, module, message: text("message").unwrap_or_default(), details })
    }
}

impl fmt::Display for RemoteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the remote method failed with {}: {}", self.class, self.message)
    }
}

impl std::error::Error for RemoteFailure {}
