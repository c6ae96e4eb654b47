//! Untyped option values in layers, and their conversion to types.

use super::keys::{self, Kind};
use freezer_model::bytes::parse_bytes;
use serde_json::{Map, Value};

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OptionsError {
    #[error("option {key}: {cause}")]
    Bad { key: String, cause: String },
    #[error("{0}")]
    Conflict(String),
}

impl OptionsError {
    pub fn bad(key: &str, cause: impl Into<String>) -> Self {
        Self::Bad { key: key.to_owned(), cause: cause.into() }
    }
}

/// Options by their key, merged from layers of falling precedence, plus notes for the log.
#[derive(Clone, Debug, Default)]
pub struct Values {
    map: Map<String, Value>,
    /// Options that mean nothing to this agent; worth a warning.
    pub ignored: Vec<String>,
}

impl Values {
    /// Adds a layer below those already there: a key that is set stays.
    pub fn fill(&mut self, layer: &Map<String, Value>) {
        for (name, value) in layer {
            if is_unset(value) {
                continue;
            }
            let plain = name.trim().to_ascii_lowercase().replace('-', "_");
            if plain == "no_incremental" {
                self.map.entry("incremental").or_insert_with(|| Value::Bool(!truth(value).unwrap_or(false)));
            } else if keys::OBSOLETE.contains(&plain.as_str()) {
                self.ignored.push(plain);
            } else if let Some(key) = keys::find(&plain) {
                // A false where text or a number belongs is how other programs say "none".
                if key.kind != Kind::Bool && is_false(value) {
                    continue;
                }
                self.map.entry(key.name).or_insert_with(|| value.clone());
            } else {
                self.ignored.push(plain);
            }
        }
    }

    /// Adds what other values say, but for some keys.
    pub fn fill_from(&mut self, other: &Self, without: &[&str]) {
        let mut layer = other.map.clone();
        layer.retain(|key, _| !without.contains(&key.as_str()));
        self.fill(&layer);
    }

    fn raw(&self, key: &str) -> Option<Value> {
        let default =
            || keys::find(key).and_then(|row| row.default).map(|text| Value::String(text.to_owned()));
        self.map.get(key).cloned().or_else(default).filter(|value| !is_unset(value))
    }

    /// Whether somebody set the key (defaults do not count).
    pub fn is_set(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// Text; numbers are written out.
    pub fn text(&self, key: &str) -> Result<Option<String>, OptionsError> {
        let text = match self.raw(key) {
            None => return Ok(None),
            Some(Value::String(text)) => text,
            Some(Value::Bool(flag)) => flag.to_string(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(OptionsError::bad(key, "takes text, not a list or an object")),
        };
        if text.contains('\0') {
            return Err(OptionsError::bad(key, "holds a NUL character"));
        }
        check_choice(key, &text)?;
        Ok(Some(text))
    }

    /// Several texts: a list, a JSON list as text, or one a line.
    pub fn list(&self, key: &str) -> Result<Vec<String>, OptionsError> {
        let bad = || OptionsError::bad(key, "takes a list of texts, or one text a line");
        let items = match self.raw(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(Value::String(text)) if text.trim_start().starts_with('[') => {
                serde_json::from_str(&text).map_err(|_| bad())?
            }
            Some(Value::String(text)) => text
                .lines()
                .map(str::trim_end)
                .filter(|line| !line.is_empty())
                .map(|line| Value::String(line.to_owned()))
                .collect(),
            Some(_) => return Err(bad()),
        };
        let texts: Result<Vec<String>, _> =
            items.into_iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(bad)).collect();
        match texts? {
            texts if texts.iter().any(|text| text.contains('\0')) => Err(bad()),
            texts => Ok(texts),
        }
    }

    /// Several objects: a list, or a JSON list as text.
    pub fn objects(&self, key: &str) -> Result<Vec<Map<String, Value>>, OptionsError> {
        let bad = || OptionsError::bad(key, "takes a list of objects");
        let items = match self.raw(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(Value::String(text)) => serde_json::from_str(&text).map_err(|_| bad())?,
            Some(_) => return Err(bad()),
        };
        let object = |item| match item {
            Value::Object(object) => Ok(object),
            _ => Err(bad()),
        };
        items.into_iter().map(object).collect()
    }

    pub fn int(&self, key: &str, range: std::ops::RangeInclusive<i64>) -> Result<Option<i64>, OptionsError> {
        let Some(number) = self.float(key)? else { return Ok(None) };
        if number.fract() != 0.0 || number.abs() > 9e15 || !range.contains(&(number as i64)) {
            let cause =
                format!("takes a whole number from {} to {}, not {number}", range.start(), range.end());
            return Err(OptionsError::bad(key, cause));
        }
        Ok(Some(number as i64))
    }

    pub fn float(&self, key: &str) -> Result<Option<f64>, OptionsError> {
        let wrong = |text: &str| OptionsError::bad(key, format!("takes a number, not '{text}'"));
        match self.raw(key) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(Value::String(text)) => match text.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Some(number)),
                _ => Err(wrong(&text)),
            },
            Some(other) => Err(wrong(&other.to_string())),
        }
    }

    pub fn flag(&self, key: &str) -> Result<bool, OptionsError> {
        match self.raw(key) {
            None => Ok(false),
            Some(value) => truth(&value)
                .ok_or_else(|| OptionsError::bad(key, format!("takes true or false, not {value}"))),
        }
    }

    /// Bytes a second; `None` is no limit.
    pub fn rate(&self, key: &str) -> Result<Option<u64>, OptionsError> {
        match self.text(key)? {
            None => Ok(None),
            Some(text) => parse_bytes(&text).map_err(|cause| OptionsError::bad(key, cause)),
        }
    }
}

fn check_choice(key: &str, text: &str) -> Result<(), OptionsError> {
    let Some(Kind::Choice(words)) = keys::find(key).map(|row| row.kind) else { return Ok(()) };
    // What other programs of the family send for a known word.
    let accepted = words.contains(&text)
        || (key == "mode" && text == "mssql")
        || (key == "dereference_symlink" && text == "true");
    if accepted {
        return Ok(());
    }
    let words: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
    Err(OptionsError::bad(key, format!("'{text}' is not one of {}", words.join(", "))))
}

/// Null, empty text and the texts `None` and `null` all mean that nothing was chosen.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => matches!(text.trim(), "" | "None" | "null"),
        _ => false,
    }
}

fn is_false(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => !flag,
        Value::String(text) => matches!(text.trim(), "False" | "false"),
        _ => false,
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => number.as_i64().map(|number| number != 0),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" | "" | "none" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(layers: &[Value]) -> Values {
        let mut values = Values::default();
        for layer in layers {
            values.fill(layer.as_object().unwrap());
        }
        values
    }

    #[test]
    fn the_first_layer_wins() {
        let merged = values(&[json!({"max_level": 3}), json!({"max-level": "7", "container": "c"})]);
        assert_eq!(merged.int("max_level", 0..=9), Ok(Some(3)));
        assert_eq!(merged.text("container"), Ok(Some("c".to_owned())));
        assert_eq!(merged.text("compression"), Ok(Some("gzip".to_owned())));
    }

    #[test]
    fn false_on_a_text_option_means_not_set() {
        let merged = values(&[
            json!({"snapshot": false, "encrypt_pass_file": "False", "max_level": false, "sync": false}),
        ]);
        assert_eq!(merged.text("snapshot"), Ok(None));
        assert_eq!(merged.text("encrypt_pass_file"), Ok(None));
        assert_eq!(merged.int("max_level", 0..=9), Ok(None));
        assert_eq!(merged.flag("sync"), Ok(false));
    }

    #[test]
    fn aliases_and_unknown_keys() {
        let merged = values(&[
            json!({"restore_from_host": "h", "no_incremental": "false", "nonsense": 1, "dst_file": "x"}),
        ]);
        assert_eq!(merged.text("hostname"), Ok(Some("h".to_owned())));
        assert_eq!(merged.flag("incremental"), Ok(true));
        assert_eq!(merged.ignored, ["nonsense", "dst_file"]);
        for (alias, key) in crate::options::keys::ALIASES {
            let merged = values(&[json!({ *alias: "1" })]);
            assert!(merged.is_set(key) && merged.ignored.is_empty(), "{alias}");
        }
    }

    #[test]
    fn lists_have_three_spellings() {
        let wanted = Ok(vec!["a b".to_owned(), "c,d".to_owned()]);
        for value in [json!(["a b", "c,d"]), json!("a b\nc,d\n"), json!(r#"["a b", "c,d"]"#)] {
            assert_eq!(values(&[json!({"restore_paths": value})]).list("restore_paths"), wanted);
        }
        assert_eq!(values(&[]).list("restore_paths"), Ok(Vec::new()));
        for value in [json!([1]), json!({"a": 1}), json!("[1]"), json!("[broken")] {
            assert!(values(&[json!({"restore_paths": value})]).list("restore_paths").is_err());
        }
    }

    #[test]
    fn wrong_types_name_the_option() {
        let merged = values(&[
            json!({"max_level": "three", "incremental": "perhaps", "container": [1], "compression": "lzma"}),
        ]);
        assert!(merged.int("max_level", 0..=9).unwrap_err().to_string().contains("max_level"));
        assert!(merged.flag("incremental").is_err());
        assert!(merged.text("container").is_err());
        assert!(merged.text("compression").unwrap_err().to_string().contains("gzip, bzip2, xz, zstd, none"));
    }
}
