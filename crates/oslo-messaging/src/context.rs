//! The request context: who asks, on whose behalf, under which request id.
//!
//! Unknown keys are kept, so that a context can be handed on. `client_timeout`, which Python servers add to what
//! they received, never gets in: it belongs to one message and not to the context.

use serde_json::{Map, Value};

/// A map of context keys as `oslo.context` names them (`user`, `project_id`, `request_id`, `roles`, …).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context(Map<String, Value>);

impl Context {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a key.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }

    /// A context that says only the request id.
    pub fn request(request_id: impl Into<String>) -> Self {
        Self::new().with("request_id", request_id.into())
    }

    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str)
    }

    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.text("request_id")
    }

    #[must_use]
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl From<Map<String, Value>> for Context {
    fn from(mut map: Map<String, Value>) -> Self {
        map.shift_remove("client_timeout");
        Self(map)
    }
}
