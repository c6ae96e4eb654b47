//! Search documents: `match`, `match_not`, `_all`, `time_after`, `time_before`.
//!
//! A search travels in the body of a list request. It is parsed once ([`Search::parse`]), the conditions on
//! columns the database knows are taken out ([`Search::take_match`], [`Search::take_match_not`]), and what is
//! left is asked of each document ([`Search::matches`]). Pure: it never touches a store.

use serde_json::{Map, Value};

/// More conditions than any client sends; a limit because each is tried on every row.
pub const MAX_CONDITIONS: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    #[error("search document: must be a JSON object, not {0}")]
    NotAnObject(&'static str),
    #[error("search document: '{key}' must be a list of objects, not {found}")]
    NotAListOfObjects { key: &'static str, found: &'static str },
    #[error("search document: '{key}' must be a number of seconds since the epoch, not {found}")]
    NotATime { key: &'static str, found: &'static str },
    #[error("search document: more than {MAX_CONDITIONS} conditions; ask for less at once")]
    TooManyConditions,
}

/// One thing asked of a document.
#[derive(Clone, Debug, PartialEq)]
enum Condition {
    /// The value found under `key`, at any depth, equals `value`.
    Key { key: String, value: Value, compare: Compare },
    /// Some scalar leaf contains the text (lower case here).
    Text(String),
}

/// How strictly values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    /// As Python does: `"0"` is not `0`, but `1.0` is `1` and `false` is `0`.
    Typed,
    /// Also by text, for what a person typed into a filter field: `"5"` is `5`.
    Lenient,
}

/// A parsed search document. The default one accepts everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Search {
    must: Vec<Condition>,
    must_not: Vec<Condition>,
    /// Inclusive bounds on a backup's `time_stamp`, epoch seconds.
    pub time_after: Option<i64>,
    pub time_before: Option<i64>,
}

impl Search {
    /// Reads a search document; unknown top-level keys are ignored.
    pub fn parse(body: &Value) -> Result<Self, SearchError> {
        let Value::Object(body) = body else {
            return Err(SearchError::NotAnObject(kind(body)));
        };
        let search = Self {
            must: conditions(body, "match")?,
            must_not: conditions(body, "match_not")?,
            time_after: time(body, "time_after", f64::ceil)?,
            time_before: time(body, "time_before", f64::floor)?,
        };
        if search.must.len() + search.must_not.len() > MAX_CONDITIONS {
            return Err(SearchError::TooManyConditions);
        }
        Ok(search)
    }

    /// Whether [`Self::matches`] can say no. The time bounds do not count: they are for the caller.
    pub fn has_conditions(&self) -> bool {
        !self.must.is_empty() || !self.must_not.is_empty()
    }

    /// Takes out one "`key` equals this text" for which `known` says that a column decides it.
    /// Several texts for the same key stay behind (and then match nothing).
    pub fn take_match(&mut self, key: &str, known: impl Fn(&str) -> bool) -> Option<String> {
        take(&mut self.must, key, &known)
    }

    /// The same for "`key` must not equal this text".
    pub fn take_match_not(&mut self, key: &str, known: impl Fn(&str) -> bool) -> Option<String> {
        take(&mut self.must_not, key, &known)
    }

    /// Whether a document (as the caller would see it) passes every `match` and no `match_not`.
    pub fn matches(&self, document: &Value) -> bool {
        self.must.iter().all(|condition| condition.holds(document))
            && !self.must_not.iter().any(|condition| condition.holds(document))
    }
}

impl Condition {
    fn holds(&self, document: &Value) -> bool {
        match self {
            Self::Text(text) => any_leaf_contains(document, text),
            Self::Key { key, value, compare } => {
                let found = last_under(document, key).unwrap_or(&Value::Null);
                match compare {
                    Compare::Typed => equal(found, value),
                    Compare::Lenient => equal(found, value) || same_text(found, value),
                }
            }
        }
    }
}

fn take(conditions: &mut Vec<Condition>, wanted: &str, known: &dyn Fn(&str) -> bool) -> Option<String> {
    let position = conditions.iter().position(|condition| {
        matches!(condition, Condition::Key { key, value: Value::String(text), .. } if key == wanted && known(text))
    })?;
    match conditions.remove(position) {
        Condition::Key { value: Value::String(text), .. } => Some(text),
        _ => None,
    }
}

fn conditions(body: &Map<String, Value>, key: &'static str) -> Result<Vec<Condition>, SearchError> {
    let items = match body.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(SearchError::NotAListOfObjects { key, found: kind(other) }),
    };
    let mut parsed = Vec::new();
    for item in items {
        let Value::Object(pairs) = item else {
            return Err(SearchError::NotAListOfObjects { key, found: kind_in_list(item) });
        };
        for (name, value) in pairs {
            if name == "_all" {
                everywhere(value, &mut parsed);
            } else {
                parsed.push(Condition::Key {
                    key: name.clone(),
                    value: value.clone(),
                    compare: Compare::Typed,
                });
            }
        }
    }
    Ok(parsed)
}

/// `_all`: text that may itself be JSON. Objects give conditions; anything else is looked for as text.
fn everywhere(value: &Value, into: &mut Vec<Condition>) {
    let parsed = match value {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(parsed @ (Value::Array(_) | Value::Object(_))) => parsed,
            Ok(Value::String(quoted)) => Value::String(quoted),
            // A number or word is text as it was typed: `007` and `1.0` must not be rewritten.
            _ => return into.push(Condition::Text(text.trim().to_lowercase())),
        },
        other => other.clone(),
    };
    let items = match parsed {
        Value::Array(items) => items,
        single => vec![single],
    };
    for item in items {
        match item {
            Value::Object(pairs) => into.extend(pairs.into_iter().map(|(key, value)| Condition::Key {
                key,
                value,
                compare: Compare::Lenient,
            })),
            Value::String(text) => into.push(Condition::Text(text.to_lowercase())),
            other => into.push(Condition::Text(other.to_string().to_lowercase())),
        }
    }
}

fn time(
    body: &Map<String, Value>,
    key: &'static str,
    round: fn(f64) -> f64,
) -> Result<Option<i64>, SearchError> {
    let refused = |found: &Value| Err(SearchError::NotATime { key, found: kind(found) });
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(found @ Value::String(text)) => match text.trim().parse() {
            Ok(secs) => Ok(Some(secs)),
            Err(_) => refused(found),
        },
        Some(found @ Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(secs), _) => Ok(Some(secs)),
            // A cast from f64 saturates, which is what a bound beyond all times means.
            (None, Some(secs)) => Ok(Some(round(secs) as i64)),
            (None, None) => refused(found),
        },
        Some(found) => refused(found),
    }
}

/// The last value under `key` in document order; what was found is not looked into.
fn last_under<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map
            .iter()
            .filter_map(|(name, inner)| if name == key { Some(inner) } else { last_under(inner, key) })
            .next_back(),
        Value::Array(items) => items.iter().filter_map(|item| last_under(item, key)).next_back(),
        _ => None,
    }
}

/// Equality as Python's `==` has it: numbers by value whatever their type, booleans as 0 and 1.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(left, right)| equal(left, right))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => left == right || as_number(left).zip(as_number(right)).is_some_and(|(a, b)| a == b),
    }
}

/// Integers stay exact; only a float on either side makes both floats.
#[derive(PartialEq)]
enum Number {
    Whole(i128),
    Fraction(u64),
}

fn as_number(value: &Value) -> Option<Number> {
    match value {
        Value::Bool(flag) => Some(Number::Whole(i128::from(*flag))),
        Value::Number(number) => {
            if let Some(whole) = number.as_i64() {
                return Some(Number::Whole(i128::from(whole)));
            }
            if let Some(whole) = number.as_u64() {
                return Some(Number::Whole(i128::from(whole)));
            }
            let float = number.as_f64()?;
            let whole = float.fract() == 0.0 && float.abs() < 1e30;
            Some(if whole { Number::Whole(float as i128) } else { Number::Fraction(float.to_bits()) })
        }
        _ => None,
    }
}

fn same_text(left: &Value, right: &Value) -> bool {
    scalar_text(left).zip(scalar_text(right)).is_some_and(|(a, b)| a == b)
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn any_leaf_contains(value: &Value, lower_text: &str) -> bool {
    match value {
        Value::Object(map) => map.values().any(|inner| any_leaf_contains(inner, lower_text)),
        Value::Array(items) => items.iter().any(|inner| any_leaf_contains(inner, lower_text)),
        scalar => scalar_text(scalar).is_some_and(|text| text.to_lowercase().contains(lower_text)),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn kind_in_list(value: &Value) -> &'static str {
    match value {
        Value::Null => "a list with null",
        Value::Bool(_) => "a list with a boolean",
        Value::Number(_) => "a list with a number",
        Value::String(_) => "a list with a string",
        Value::Array(_) => "a list of lists",
        Value::Object(_) => "a list with an object",
    }
}

#[cfg(test)]
mod tests;
