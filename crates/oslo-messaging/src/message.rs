//! Requests and replies: the JSON object inside the envelope.

use crate::envelope::{Malformed, kind};
use crate::{Context, RemoteFailure};
use serde_json::{Map, Value, json};

/// A fresh id as oslo.messaging makes them: 32 hexadecimal digits.
pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// What a caller sends.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub method: String,
    /// Always an object.
    pub args: Value,
    pub namespace: Option<String>,
    pub version: Option<String>,
    /// Present for calls; names the reply.
    pub msg_id: Option<String>,
    pub reply_q: Option<String>,
    /// The caller's `call_monitor_timeout`: whole seconds between two signs of life.
    pub monitor_timeout: Option<i64>,
    pub unique_id: Option<String>,
    pub context: Context,
}

impl Request {
    /// The object that goes into the envelope, keys in oslo's order.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("method".into(), json!(self.method));
        map.insert("args".into(), self.args.clone());
        if let Some(namespace) = &self.namespace {
            map.insert("namespace".into(), json!(namespace));
        }
        if let Some(version) = &self.version {
            map.insert("version".into(), json!(version));
        }
        if let Some(msg_id) = &self.msg_id {
            map.insert("_msg_id".into(), json!(msg_id));
            map.insert("_reply_q".into(), json!(self.reply_q));
            map.insert("_timeout".into(), json!(self.monitor_timeout));
        }
        if let Some(unique_id) = &self.unique_id {
            map.insert("_unique_id".into(), json!(unique_id));
        }
        for (key, value) in self.context.as_map() {
            map.insert(format!("_context_{key}"), value.clone());
        }
        Value::Object(map)
    }

    /// Reads a decoded message. Where to answer is kept even when the rest cannot be used.
    ///
    /// # Errors
    /// What is wrong with it, as the failure to answer with.
    pub fn from_map(mut map: Map<String, Value>) -> (Self, Result<(), RemoteFailure>) {
        let mut wrong = None;
        let method = match map.shift_remove("method") {
            Some(Value::String(method)) => method,
            other => {
                let got = other.as_ref().map_or("missing", kind);
                wrong = Some(RemoteFailure::bad_arguments(format_args!(
                    "the method's name is {got} and no string"
                )));
                String::new()
            }
        };
        let args = match map.shift_remove("args") {
            Some(args @ Value::Object(_)) => args,
            None => json!({}),
            Some(other) => {
                let text = format!("the arguments of {method} are {} and no object", kind(&other));
                wrong = wrong.or(Some(RemoteFailure::bad_arguments(text)));
                json!({})
            }
        };
        let mut text = |key: &str| match map.shift_remove(key) {
            Some(Value::String(text)) => Some(text),
            None | Some(Value::Null) => None,
            Some(other) => Some(other.to_string()),
        };
        let (namespace, version) = (text("namespace"), text("version"));
        let msg_id = text("_msg_id").filter(|id| !id.is_empty());
        let reply_q = text("_reply_q").filter(|queue| !queue.is_empty());
        let unique_id = text("_unique_id").filter(|id| !id.is_empty());
        let monitor_timeout = map.shift_remove("_timeout").as_ref().and_then(whole_seconds);
        let context = map
            .into_iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("_context_")?.to_owned(), value)));
        let context = Context::from(context.collect::<Map<_, _>>());
        let request =
            Self { method, args, namespace, version, msg_id, reply_q, monitor_timeout, unique_id, context };
        (request, wrong.map_or(Ok(()), Err))
    }

    /// The version asked for; 1.0 if none is.
    #[must_use]
    pub fn wanted_version(&self) -> &str {
        self.version.as_deref().unwrap_or("1.0")
    }
}

#[allow(clippy::cast_possible_truncation)] // cut off as Python's int() does; nonsense ends at the limits
fn whole_seconds(value: &Value) -> Option<i64> {
    let text = || value.as_str().and_then(|text| text.trim().parse().ok());
    value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64)).or_else(text)
}

/// What a server answers: a result, a failure, or a sign of life (`ending` false and nothing else).
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub msg_id: String,
    pub result: Value,
    pub failure: Option<RemoteFailure>,
    pub ending: bool,
}

impl Reply {
    /// The object that goes into the envelope; each call makes a new `_unique_id`, as a repeated reply has one.
    #[must_use]
    pub fn to_value(&self) -> Value {
        json!({
            "result": self.result,
            "failure": self.failure.as_ref().map(RemoteFailure::to_json),
            "ending": self.ending,
            "_msg_id": self.msg_id,
            "_unique_id": new_id(),
        })
    }

    /// Reads a decoded message. A failure may be missing, empty, a text that holds JSON, or an object.
    ///
    /// # Errors
    /// [`Malformed`] when it is no reply.
    pub fn from_map(mut map: Map<String, Value>) -> Result<Self, Malformed> {
        let Some(Value::String(msg_id)) = map.shift_remove("_msg_id") else {
            return Err(Malformed("a reply without _msg_id".to_owned()));
        };
        let failure = match map.shift_remove("failure") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(read_failure(&text)),
            Some(object) => {
                Some(RemoteFailure::from_value(&object).unwrap_or_else(|| unreadable(&object.to_string())))
            }
        };
        let result = map.shift_remove("result").unwrap_or(Value::Null);
        let ending = map.get("ending").and_then(Value::as_bool).unwrap_or(false);
        Ok(Self { msg_id, result, failure, ending })
    }
}

fn read_failure(text: &str) -> RemoteFailure {
    let value = serde_json::from_str::<Value>(text).ok();
    value.as_ref().and_then(RemoteFailure::from_value).unwrap_or_else(|| unreadable(text))
}

/// The method has failed, that much is certain; why cannot be read.
fn unreadable(text: &str) -> RemoteFailure {
    RemoteFailure::new("oslo_messaging", "UnreadableFailure", text)
}
