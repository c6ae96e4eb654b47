//! Where a body departs from its schema in the document. For messages that are read whole: their reader says what is wrong,
//! not where.

use crate::validate::object::kind;
use serde_json::Value;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> = LazyLock::new(super::document);

/// Schemas nest less than this.
const DEPTH_MAX: usize = 16;

/// The first field that is missing, of a wrong type or too long a list, in a sentence that names it.
pub fn mismatch(schema: &str, body: &Value) -> Option<String> {
    within(&super::named(schema), body, "", DEPTH_MAX)
}

fn within(schema: &Value, value: &Value, at: &str, left: usize) -> Option<String> {
    let left = left.checked_sub(1)?;
    if let Some(Value::String(reference)) = schema.get("$ref") {
        let target = DOCUMENT.pointer(reference.strip_prefix('#')?)?;
        return within(target, value, at, left);
    }
    if let Some(expected) = schema.get("type").filter(|types| !is_of(types, value)) {
        let expected = expected.as_str().map_or_else(|| expected.to_string(), |word| format!("'{word}'"));
        return Some(format!("'{at}': {} is not of type {expected}", kind(value)));
    }
    if let Some(Value::Array(words)) = schema.get("enum")
        && !words.contains(value)
    {
        return Some(format!("'{at}': is not one of {}", Value::from(words.as_slice())));
    }
    let least = schema.get("minimum").and_then(Value::as_i64);
    if let Some(least) = least.filter(|least| value.as_i64().is_some_and(|number| number < *least)) {
        return Some(format!("'{at}': is less than {least}"));
    }
    let place = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    if let Some(key) = required.filter_map(Value::as_str).find(|key| value.get(key).is_none()) {
        return Some(format!("'{}' is a required property", place(key)));
    }
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let mut inner = properties.filter_map(|(key, schema)| Some((key, schema, value.get(key)?)));
    if let Some(found) = inner.find_map(|(key, schema, value)| within(schema, value, &place(key), left)) {
        return Some(found);
    }
    let (items, values) = (schema.get("items")?, value.as_array()?);
    let most = schema.get("maxItems").and_then(Value::as_u64);
    if let Some(most) = most.filter(|most| values.len() as u64 > *most) {
        return Some(format!("'{at}': has {} items, at most {most} are taken", values.len()));
    }
    let mut numbered = values.iter().enumerate();
    numbered.find_map(|(index, value)| within(items, value, &format!("{at}[{index}]"), left))
}

fn is_of(types: &Value, value: &Value) -> bool {
    let is = |word: &Value| {
        word.as_str().is_some_and(|word| match word {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            _ => true,
        })
    };
    match types {
        Value::Array(words) => words.iter().any(is),
        word => is(word),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use freezer_model::rpc::HELD_MAX;
    use serde_json::json;

    fn steps(count: usize) -> Vec<Value> {
        vec![json!({"run_id": "r", "epoch": 1}); count]
    }

    #[test]
    fn the_field_is_named() {
        for (schema, body, words) in [
            ("StepStarted", json!({"run_id": "r", "epoch": 1, "pid": 1}), None),
            ("StepStarted", json!({"run_id": "r", "epoch": 1}), Some("'pid' is a required property")),
            (
                "StepStarted",
                json!({"run_id": 5, "epoch": 1, "pid": 1}),
                Some("'run_id': a number is not of type 'string'"),
            ),
            ("WorkRequest", json!({"held": steps(HELD_MAX)}), None),
            (
                "WorkRequest",
                json!({"ending": steps(HELD_MAX + 1)}),
                Some("'ending': has 4001 items, at most 4000 are taken"),
            ),
            (
                "WorkRequest",
                json!({"held": [{"run_id": "r", "epoch": 1}, {"run_id": "r", "epoch": "1"}]}),
                Some("'held[1].epoch': a string is not of type 'integer'"),
            ),
        ] {
            assert_eq!(mismatch(schema, &body).as_deref(), words, "{body}");
        }
    }
}
