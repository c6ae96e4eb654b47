//! The little of Python that policies depend on: literals on the left side, and `str()` of values.

use serde_json::Value;

/// The left side of a generic check.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Left {
    /// A literal, as Python would print it.
    Literal(String),
    /// A way into the credentials.
    Path(Vec<String>),
    /// Neither: upstream raises.
    Unusable(String),
}

const KEYWORDS: &[&str] = &[
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else",
    "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not",
    "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

impl Left {
    /// Understands the text before the colon.
    pub(crate) fn new(text: &str) -> Self {
        if let Some(literal) = constant(text).or_else(|| quoted(text)).or_else(|| number(text)) {
            return Left::Literal(literal);
        }
        let names = text.split(['.', '-']);
        if names.clone().all(is_name) {
            return Left::Path(text.split('.').map(str::to_owned).collect());
        }
        Left::Unusable(format!("{text:?} is neither a literal nor the name of a credential"))
    }
}

fn is_name(text: &str) -> bool {
    let starts = |c: char| c.is_alphabetic() || c == '_';
    text.starts_with(starts)
        && text.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !KEYWORDS.contains(&text)
}

fn constant(text: &str) -> Option<String> {
    matches!(text, "True" | "False" | "None").then(|| text.to_owned())
}

fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    // Escapes and several literals in a row are possible in Python; nobody writes them in a policy.
    (!inner.contains(quote) && !inner.contains('\\')).then(|| inner.to_owned())
}

/// A decimal number, as `str()` writes it.
fn number(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let zero = digits.bytes().all(|byte| byte == b'0');
        if digits.starts_with('0') && !zero {
            return None;
        }
        return Some(if zero { "0".to_owned() } else { format!("{sign}{digits}") });
    }
    let plain = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    let value: f64 = if plain { digits.parse().ok()? } else { return None };
    value.is_finite().then(|| format!("{sign}{}", float(value)))
}

/// Python's `str()` of a value.
pub(crate) fn python_str(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() => float(value),
            _ => number.to_string(),
        },
        Value::String(text) => repr_text(text),
        Value::Array(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{}: {}", repr_text(key), repr(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

fn repr_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut shown = String::from(quote);
    for letter in text.chars() {
        match letter {
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            letter if letter == quote => shown.extend(['\\', letter]),
            letter => shown.push(letter),
        }
    }
    shown.push(quote);
    shown
}

/// Python writes 1e16 as `1e+16` and 1e-05 with two digits; in between as Rust does.
fn float(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-4..1e16).contains(&size) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn left_sides() {
        let literal = |text: &str| Left::Literal(text.to_owned());
        let path = |names: &[&str]| Left::Path(names.iter().map(|name| (*name).to_owned()).collect());
        for (text, expected) in [
            ("True", literal("True")),
            ("None", literal("None")),
            ("'a b'", literal("a b")),
            ("\"a\"", literal("a")),
            ("''", literal("")),
            ("7", literal("7")),
            ("-7", literal("-7")),
            ("+7", literal("7")),
            ("-0", literal("0")),
            ("00", literal("0")),
            ("1.50", literal("1.5")),
            (".5", literal("0.5")),
            ("1e3", literal("1000.0")),
            ("1e20", literal("1e+20")),
            ("a.b.c", path(&["a", "b", "c"])),
            ("a-b", path(&["a-b"])),
            ("é", path(&["é"])),
        ] {
            assert_eq!(Left::new(text), expected, "{text}");
        }
        for text in
            ["", "01", "100%", "class", "a..b", "a.", "1a", "'a", "'a'b'", "a.in", "[1]", "a/b", "'a\\'"]
        {
            assert!(matches!(Left::new(text), Left::Unusable(_)), "{text}");
        }
    }

    #[test]
    fn texts_of_values() {
        for (value, text) in [
            (json!(null), "None"),
            (json!(true), "True"),
            (json!(7), "7"),
            (json!(1.0), "1.0"),
            (json!(1e16), "1e+16"),
            (json!(0.00001), "1e-05"),
            (json!("x"), "x"),
            (json!(["a", 1, null]), "['a', 1, None]"),
            (json!({"b": "x'y"}), "{'b': \"x'y\"}"),
        ] {
            assert_eq!(python_str(&value), text);
        }
    }
}
