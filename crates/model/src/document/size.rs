//! How large documents are, and what is left of one that is too large.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// Bytes of a value's JSON text.
pub fn text_bytes(value: &impl Serialize) -> usize {
    let mut count = Count(0);
    // Nothing is refused by a counter.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

struct Count(usize);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is added to the key of a list that was shortened, for the number of entries that are gone.
const LEFT_OUT: &str = "_left_out";
/// The key that counts the bytes of keys that are gone.
const BYTES_LEFT_OUT: &str = "bytes_left_out";
/// Entries of lists and characters of texts that stay, ever less of them.
const STEPS: [(usize, usize); 4] = [(1000, 16_384), (100, 4096), (10, 1024), (1, 256)];

/// Shortens a document to `max` bytes of text: long lists first, which are told by their number then, and long texts; in the end
/// whole keys go, the largest first, those in `kept` last.
pub fn shorten(document: &mut Map<String, Value>, max: usize, kept: &[&str]) {
    for (entries, characters) in STEPS {
        if text_bytes(document) <= max {
            return;
        }
        shorten_object(document, entries, characters);
    }
    while text_bytes(document) > max {
        let rank = |(key, value): &(&String, &Value)| (!kept.contains(&key.as_str()), text_bytes(value));
        // The count stays, or it would be taken away and put back for ever.
        let others = document.iter().filter(|(key, _)| *key != BYTES_LEFT_OUT);
        let Some((key, value)) = others.max_by_key(rank) else { return };
        let (key, bytes) = (key.clone(), text_bytes(value));
        document.shift_remove(&key);
        note_left_out(document, bytes);
    }
}

/// Counts the bytes of keys that are gone.
fn note_left_out(document: &mut Map<String, Value>, bytes: usize) {
    let before = document.get(BYTES_LEFT_OUT).and_then(Value::as_u64).unwrap_or(0);
    document.insert(BYTES_LEFT_OUT.to_owned(), json!(before.saturating_add(bytes as u64)));
}

fn shorten_object(object: &mut Map<String, Value>, entries: usize, characters: usize) {
    let mut left_out = Vec::new();
    for (key, value) in object.iter_mut() {
        if let Value::Array(items) = value
            && items.len() > entries
        {
            left_out.push((format!("{key}{LEFT_OUT}"), items.len() - entries));
        }
        shorten_value(value, entries, characters);
    }
    for (key, gone) in left_out {
        let before = object.get(&key).and_then(Value::as_u64).unwrap_or(0);
        object.insert(key, json!(before.saturating_add(gone as u64)));
    }
}

fn shorten_value(value: &mut Value, entries: usize, characters: usize) {
    match value {
        Value::Array(items) => {
            items.truncate(entries);
            items.iter_mut().for_each(|item| shorten_value(item, entries, characters));
        }
        Value::Object(object) => shorten_object(object, entries, characters),
        Value::String(text) => shorten_text(text, characters),
        _ => {}
    }
}

/// Cuts a text off behind so many characters.
pub fn shorten_text(text: &mut String, characters: usize) {
    if let Some((end, _)) = text.char_indices().nth(characters) {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn lists_are_told_by_their_number() {
        let mut document = json!({"report": {"problems": vec!["x".repeat(100); 5000], "bytes": 7}, "n": 1});
        let document = document.as_object_mut().unwrap();
        let before = document.clone();
        shorten(document, 1 << 20, &[]);
        assert_eq!(*document, before, "it fits");
        shorten(document, 64 << 10, &[]);
        assert!(text_bytes(document) <= 64 << 10);
        let report = &document["report"];
        let there = report["problems"].as_array().unwrap().len() as u64;
        assert_eq!(there + report["problems_left_out"].as_u64().unwrap(), 5000);
        assert_eq!((&report["bytes"], &document["n"]), (&json!(7), &json!(1)));
    }

    #[test]
    fn whatever_it_is_it_fits_in_the_end() {
        let wide: Map<String, Value> = (0..10_000).map(|n| (format!("key{n}"), json!(n))).collect();
        let deep = (0..500).fold(json!("x".repeat(1000)), |inner, _| json!([inner]));
        let mut document = Map::new();
        document.insert("wide".to_owned(), Value::Object(wide.clone()));
        document.insert("deep".to_owned(), deep);
        document.insert("text".to_owned(), json!("é".repeat(100_000)));
        document.insert("small".to_owned(), json!("kept"));
        document.insert("servers".to_owned(), Value::Object(wide));
        shorten(&mut document, 200_000, &["servers"]);
        assert!(text_bytes(&document) <= 200_000);
        assert!(document.contains_key("servers") && document["small"] == "kept");
        shorten(&mut document, 1000, &["servers"]);
        assert!(text_bytes(&document) <= 1000);
        assert!(!document.contains_key("servers") && document["bytes_left_out"].as_u64().unwrap() > 100_000);
    }
}
