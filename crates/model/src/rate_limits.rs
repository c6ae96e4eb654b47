//! How fast a step may move bytes, as its action says; a user may change it while the step runs.

use crate::bytes::parse_bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Stands for no limit, as in the options of actions.
pub const UNLIMITED: i64 = -1;
/// The options of an action, and the keys of a request to change them.
pub const KEYS: [&str; 2] = ["upload_limit", "download_limit"];

/// Bytes a second to and from the storage, [`UNLIMITED`] or more than 0; what is absent stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_limit: Option<i64>,
}

impl RateLimits {
    /// What an action names. What its agent could not read either is passed over: the agent has said so.
    pub fn of(freezer_action: &Map<String, Value>) -> Self {
        let [upload_limit, download_limit] =
            KEYS.map(|key| freezer_action.get(key).and_then(|value| rate(value).ok()));
        Self { upload_limit, download_limit }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Writes them into an action.
    pub fn put_into(&self, freezer_action: &mut Map<String, Value>) {
        for (key, rate) in KEYS.into_iter().zip([self.upload_limit, self.download_limit]) {
            if let Some(rate) = rate {
                freezer_action.insert(key.to_owned(), Value::from(rate));
            }
        }
    }

    /// Takes over what the other one names.
    pub fn overlay(&mut self, newer: Self) {
        self.upload_limit = newer.upload_limit.or(self.upload_limit);
        self.download_limit = newer.download_limit.or(self.download_limit);
    }
}

/// A rate as people write it: bytes a second, a text with a unit (`10M`), or -1 or null for none.
pub fn rate(value: &Value) -> Result<i64, String> {
    let text = match value {
        Value::Null => return Ok(UNLIMITED),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let bytes = parse_bytes(&text)?;
    Ok(bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(UNLIMITED))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn an_action_says_what_it_names() {
        let action = json!({"upload_limit": "10K", "download_limit": -1, "path_to_backup": "/"});
        let mut action = action.as_object().unwrap().clone();
        let mut limits = RateLimits::of(&action);
        assert_eq!(limits, RateLimits { upload_limit: Some(10 << 10), download_limit: Some(UNLIMITED) });
        limits.overlay(RateLimits { upload_limit: Some(5), download_limit: None });
        limits.put_into(&mut action);
        assert_eq!(json!(action), json!({"upload_limit": 5, "download_limit": -1, "path_to_backup": "/"}));
        assert!(RateLimits::of(&Map::new()).is_empty());
    }

    #[test]
    fn rates_are_texts_numbers_or_none() {
        for (value, bytes) in [(json!("2M"), 2 << 20), (json!(700), 700), (json!(-1), -1), (json!(null), -1)]
        {
            assert_eq!(rate(&value), Ok(bytes), "{value}");
        }
        for value in [json!("fast"), json!(0), json!(-2), json!(true), json!([]), json!({}), json!(1e30)] {
            assert!(rate(&value).is_err(), "{value}");
        }
    }
}
