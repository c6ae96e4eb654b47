//! Text to value by an option's type. Errors say what is expected and never repeat the text: it may be a secret.

use crate::host;
use crate::opt::{Kind, Opt, Shape};
use crate::value::Value;

/// The text of one assignment as a value. A multi-valued option's text is one of its elements.
pub(crate) fn convert(opt: &Opt, text: &str) -> Result<Value, String> {
    match opt.shape {
        Shape::One | Shape::Multi => single(opt, text),
        Shape::List => list(opt, text),
        Shape::Dict => dict(opt, text),
    }
}

fn single(opt: &Opt, text: &str) -> Result<Value, String> {
    let value = match opt.kind {
        Kind::Str => Value::Str(text.to_owned()),
        Kind::Int | Kind::Port => match whole(text)? {
            Some(number) => Value::Int(number),
            None => return Ok(Value::Null),
        },
        Kind::Float => match fraction(text)? {
            Some(number) => Value::Float(number),
            None => return Ok(Value::Null),
        },
        Kind::Bool => Value::Bool(switch(text)?),
        Kind::Ip => host::ip(text).map(|()| Value::Str(text.to_owned()))?,
        Kind::Hostname => Value::Str(host::name(text)?.to_owned()),
        Kind::HostAddress => Value::Str(address(text)?),
        Kind::Uri => host::uri(text).map(|()| Value::Str(text.to_owned()))?,
    };
    in_range(opt, &value)?;
    allowed(opt, &value)?;
    Ok(value)
}

fn address(text: &str) -> Result<String, String> {
    if host::ip(text).is_ok() {
        return Ok(text.to_owned());
    }
    host::name(text).map(str::to_owned).map_err(|_| "expected an IP address or a host name".to_owned())
}

fn whole(text: &str) -> Result<Option<i64>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let expected = || "expected a whole number in decimal digits".to_owned();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = without_underscores(digits).ok_or_else(expected)?;
    if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(expected());
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    let out_of_range = |_| format!("expected a whole number between {} and {}", i64::MIN, i64::MAX);
    format!("{sign}{plain}").parse().map(Some).map_err(out_of_range)
}

fn fraction(text: &str) -> Result<Option<f64>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let expected = || "expected a number".to_owned();
    let plain = without_underscores(text).ok_or_else(expected)?;
    plain.parse().map(Some).map_err(|_| expected())
}

/// Underscores are allowed between two digits only.
fn without_underscores(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut previous = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '_' {
            let next_is_digit = letters.peek().is_some_and(char::is_ascii_digit);
            if !previous.is_ascii_digit() || !next_is_digit {
                return None;
            }
        } else {
            plain.push(letter);
        }
        previous = letter;
    }
    Some(plain)
}

fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Ok(true),
        "false" | "0" | "off" | "no" => Ok(false),
        _ => Err("expected true or false (or yes, no, on, off, 1, 0)".to_owned()),
    }
}

fn in_range(opt: &Opt, value: &Value) -> Result<(), String> {
    if let Value::Int(number) = value {
        let (least, most) = if opt.kind == Kind::Port { (Some(0.0), Some(65535.0)) } else { (None, None) };
        // Every bound we declare is far below 2^53, where f64 stops being exact.
        return between(*number as f64, opt.min.or(least), opt.max.or(most));
    }
    if let Value::Float(number) = value {
        return between(*number, opt.min, opt.max);
    }
    match (opt.max_length, value) {
        (Some(most), Value::Str(text)) if text.chars().count() > most => {
            Err(format!("expected at most {most} characters"))
        }
        _ => Ok(()),
    }
}

fn between(number: f64, least: Option<f64>, most: Option<f64>) -> Result<(), String> {
    let fits = least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most);
    match (fits, least, most) {
        (false, Some(least), Some(most)) => Err(format!("expected a number from {least} to {most}")),
        (false, Some(least), None) => Err(format!("expected a number of at least {least}")),
        (false, None, Some(most)) => Err(format!("expected a number of at most {most}")),
        _ => Ok(()),
    }
}

fn allowed(opt: &Opt, value: &Value) -> Result<(), String> {
    if opt.choices.is_empty() {
        return Ok(());
    }
    let text = value.to_string();
    let same = |choice: &String| {
        if opt.ignore_case { choice.to_lowercase() == text.to_lowercase() } else { *choice == text }
    };
    if opt.choices.iter().any(same) {
        return Ok(());
    }
    Err(format!("expected one of: {}", opt.choices.join(", ")))
}

fn unbound<'a>(opt: &Opt, text: &'a str, open: char, close: char) -> Result<&'a str, String> {
    if !opt.bounds {
        return Ok(text);
    }
    text.strip_prefix(open)
        .and_then(|rest| rest.strip_suffix(close))
        .ok_or_else(|| format!("expected the value to stand between {open} and {close}"))
}

fn list(opt: &Opt, text: &str) -> Result<Value, String> {
    let text = unbound(opt, text.trim().trim_end_matches(','), '[', ']')?;
    if text.is_empty() {
        return Ok(Value::List(Vec::new()));
    }
    text.split(',').map(|item| single(opt, item.trim())).collect::<Result<_, _>>().map(Value::List)
}

fn dict(opt: &Opt, text: &str) -> Result<Value, String> {
    let text = unbound(opt, text.trim(), '{', '}')?;
    let mut pairs: Vec<(String, Value)> = Vec::new();
    if text.is_empty() {
        return Ok(Value::Dict(pairs));
    }
    let mut pending = String::new();
    for part in text.split(',') {
        pending.push_str(part);
        // A name may hold commas (a value may not): a part without a colon belongs to the next one.
        let Some((key, value)) = pending.split_once(':') else {
            pending.push(',');
            continue;
        };
        let key = key.trim();
        if key.is_empty() {
            return Err("expected a name before each colon".to_owned());
        }
        if pairs.iter().any(|(known, _)| known == key) {
            return Err("expected each name only once".to_owned());
        }
        pairs.push((key.to_owned(), single(opt, value.trim())?));
        pending.clear();
    }
    if !pending.is_empty() {
        return Err("expected name:value pairs separated by commas".to_owned());
    }
    Ok(Value::Dict(pairs))
}
