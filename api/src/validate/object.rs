//! Typed reading of JSON objects: every refusal names the field with its place in the body.

use serde_json::{Map, Value};

/// Why a body is refused (status 400), in one sentence that names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// A JSON object and where it stands in the body (`""` for the body itself).
#[derive(Clone, Copy)]
pub struct Object<'a> {
    map: &'a Map<String, Value>,
    at: &'a str,
}

impl<'a> Object<'a> {
    pub fn new(map: &'a Map<String, Value>, at: &'a str) -> Self {
        Self { map, at }
    }

    /// The object in `value`, or a refusal that calls it `at`.
    pub fn in_value(value: &'a Value, at: &'a str) -> Result<Self, Refusal> {
        match value {
            Value::Object(map) => Ok(Self { map, at }),
            other => Err(Refusal(format!("'{at}': {} is not of type 'object'", kind(other)))),
        }
    }

    pub fn map(&self) -> &'a Map<String, Value> {
        self.map
    }

    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// The field's place in the body, as refusals call it.
    pub fn place(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }

    pub fn refuse(&self, key: &str, why: impl std::fmt::Display) -> Refusal {
        Refusal(format!("'{}': {why}", self.place(key)))
    }

    pub fn missing(&self, key: &str) -> Refusal {
        Refusal(format!("'{}' is a required property", self.place(key)))
    }

    /// Refuses keys outside `known`. The wording is the one older clients look for.
    pub fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        let Some(unknown) = self.map.keys().find(|key| !known.contains(&key.as_str())) else {
            return Ok(());
        };
        let place = if self.at.is_empty() { String::new() } else { format!(" in '{}'", self.at) };
        let shown: String = unknown.chars().take(64).collect();
        Err(Refusal(format!("Additional properties are not allowed ('{shown}' was unexpected){place}")))
    }

    /// A text of at most `max` characters; `null` is refused.
    pub fn text(&self, key: &str, max: usize) -> Result<Option<&'a str>, Refusal> {
        match self.map.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => self.fitting(key, text, max).map(Some),
            Some(other) => Err(self.wrong_type(key, other, "string")),
        }
    }

    /// A text or `null`: `None` when the key is absent, `Some(None)` when it is `null`.
    pub fn text_or_null(&self, key: &str, max: usize) -> Result<Option<Option<&'a str>>, Refusal> {
        match self.map.get(key) {
            Some(Value::Null) => Ok(Some(None)),
            _ => Ok(self.text(key, max)?.map(Some)),
        }
    }

    /// A required text with at least one character.
    pub fn filled(&self, key: &str, max: usize) -> Result<&'a str, Refusal> {
        match self.text(key, max)? {
            None => Err(self.missing(key)),
            Some("") => Err(self.refuse(key, "must not be empty")),
            Some(text) => Ok(text),
        }
    }

    /// A whole number within `min..=max`; absent and `null` both give `None`.
    pub fn whole(&self, key: &str, min: i64, max: i64) -> Result<Option<i64>, Refusal> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => self.number(key, value, min, max).map(Some),
        }
    }

    /// The same, but `null` is refused.
    pub fn whole_not_null(&self, key: &str, min: i64, max: i64) -> Result<Option<i64>, Refusal> {
        self.map.get(key).map(|value| self.number(key, value, min, max)).transpose()
    }

    /// A boolean; absent and `null` both give `None`.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, Refusal> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.wrong_type(key, other, "boolean")),
        }
    }

    /// One of `words`; `null` is refused.
    pub fn word(&self, key: &str, words: &[&str]) -> Result<Option<&'a str>, Refusal> {
        let Some(text) = self.text(key, usize::MAX)? else { return Ok(None) };
        if words.contains(&text) { Ok(Some(text)) } else { Err(self.not_one_of(key, text, words)) }
    }

    /// One of `words`; absent and `null` both give `None`.
    pub fn word_or_null(&self, key: &str, words: &[&str]) -> Result<Option<&'a str>, Refusal> {
        if matches!(self.map.get(key), Some(Value::Null)) { Ok(None) } else { self.word(key, words) }
    }

    /// A list whose elements are all among `words`; the order is kept.
    pub fn words(&self, key: &str, words: &[&str]) -> Result<Option<Vec<String>>, Refusal> {
        let items = match self.map.get(key) {
            None => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(self.wrong_type(key, other, "array")),
        };
        let mut list: Vec<String> = Vec::new();
        for item in items {
            let Value::String(text) = item else { return Err(self.wrong_type(key, item, "string")) };
            if !words.contains(&text.as_str()) {
                return Err(self.not_one_of(key, text, words));
            }
            // A word said twice says nothing more, and the list is stored.
            if !list.contains(text) {
                list.push(text.clone());
            }
        }
        Ok(Some(list))
    }

    /// Refuses an object whose text is longer than `max` bytes.
    pub fn check_size(&self, key: &str, object: &Map<String, Value>, max: usize) -> Result<(), Refusal> {
        let bytes = bytes_of(object);
        if bytes <= max {
            return Ok(());
        }
        Err(self.refuse(key, format!("is too long: {bytes} bytes as JSON, at most {max} are kept")))
    }

    pub fn wrong_type(&self, key: &str, found: &Value, expected: &str) -> Refusal {
        self.refuse(key, format!("{} is not of type '{expected}'", kind(found)))
    }

    fn not_one_of(&self, key: &str, found: &str, words: &[&str]) -> Refusal {
        let shown: String = found.chars().take(64).collect();
        self.refuse(key, format!("'{shown}' is not one of {words:?}"))
    }

    fn fitting(&self, key: &str, text: &'a str, max: usize) -> Result<&'a str, Refusal> {
        if text.len() > max && text.chars().count() > max {
            return Err(self.refuse(key, format!("is too long, at most {max} characters are kept")));
        }
        Ok(text)
    }

    fn number(&self, key: &str, value: &Value, min: i64, max: i64) -> Result<i64, Refusal> {
        let Value::Number(number) = value else { return Err(self.wrong_type(key, value, "integer")) };
        match number.as_i64() {
            Some(whole) if (min..=max).contains(&whole) => Ok(whole),
            // A whole number beyond 64 bits is read as one with a fraction of nothing.
            None if number.as_f64().is_some_and(|read| read.fract() != 0.0 || read.abs() < 1e18) => {
                Err(self.refuse(key, format!("{number} is not of type 'integer'")))
            }
            _ => Err(self.refuse(key, format!("{number} is out of range, {min} to {max} are possible"))),
        }
    }
}

/// Bytes of the object's text.
pub fn bytes_of(object: &Map<String, Value>) -> usize {
    freezer_model::document::text_bytes(object)
}

/// How a refusal calls a value that has the wrong type (never the value itself: it may be a secret).
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
