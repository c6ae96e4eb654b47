//! What an action has made only for its work and what became of it: for the record of its run.

use super::temporary::Temporary;
use chrono::Utc;
use serde_json::{Map, Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All temporary resources of one action, whichever of its ledgers they are in.
#[derive(Default)]
pub struct Trail {
    entries: Mutex<Vec<Entry>>,
    /// Exchanges of volumes that others had begun, and what became of them.
    exchanges: Mutex<Vec<Value>>,
    /// What the commands around the action said.
    hooks: Mutex<Map<String, Value>>,
}

struct Entry {
    what: Temporary,
    /// Epoch seconds; none of what was found by its tag: nobody was told of its making.
    made: Option<i64>,
    removed: Option<i64>,
    /// Why it could not be removed.
    error: Option<String>,
}

impl Trail {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn made(&self, what: &Temporary) {
        let made = Some(Utc::now().timestamp());
        self.entries().push(Entry { what: what.clone(), made, removed: None, error: None });
    }

    /// It is the user's, and nothing temporary any more.
    pub(super) fn kept(&self, what: &Temporary) {
        self.entries().retain(|entry| entry.what != *what);
    }

    /// It is gone, or the removal failed for a cause.
    pub(super) fn ended(&self, what: &Temporary, error: Option<String>) {
        let removed = error.is_none().then(|| Utc::now().timestamp());
        let mut entries = self.entries();
        match entries.iter_mut().find(|entry| entry.what == *what) {
            Some(entry) => (entry.removed, entry.error) = (removed, error),
            None => entries.push(Entry { what: what.clone(), made: None, removed, error }),
        }
    }

    pub(super) fn exchanged(&self, row: Value) {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).push(row);
    }

    /// `which` is `before` or `after`.
    pub fn hooked(&self, which: &str, said: Value) {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).insert(which.to_owned(), said);
    }

    /// What the record of the run tells beside the result: `temporaries` ([`Trail::document`]), `exchanges`
    /// (`[{"server_id", "old_volume_id", "new_volume_id", "outcome", "why"}]`) and `hooks`
    /// (`{"before" | "after": {"exit_code", "is_late", "stdout", "stderr"}}`), each where there were some.
    pub fn told(&self) -> Map<String, Value> {
        let mut told = Map::new();
        told.extend(self.document().map(|rows| ("temporaries".to_owned(), rows)));
        let exchanges = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        if !exchanges.is_empty() {
            told.insert("exchanges".to_owned(), Value::Array(exchanges.clone()));
        }
        let hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        if !hooks.is_empty() {
            told.insert("hooks".to_owned(), Value::Object(hooks.clone()));
        }
        told
    }

    /// `[{"kind", "id", "made", "removed", "error"}]` in the order of their making, times in epoch seconds; none when there was
    /// nothing. One with neither `removed` nor `error` was left to the next agent.
    pub fn document(&self) -> Option<Value> {
        let entries = self.entries();
        let rows = entries.iter().map(|entry| {
            json!({
                "kind": entry.what.kind(), "id": entry.what.id(), "made": entry.made, "removed": entry.removed,
                "error": entry.error,
            })
        });
        (!entries.is_empty()).then(|| rows.collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_made_is_told_with_its_end() {
        let trail = Trail::default();
        assert!(trail.document().is_none() && trail.told().is_empty());
        let [image, volume, snapshot] = ["i", "v", "s"].map(str::to_owned);
        let (image, volume) = (Temporary::Image(image), Temporary::Volume(volume));
        trail.made(&image);
        trail.made(&volume);
        trail.kept(&volume);
        trail.ended(&image, None);
        trail.ended(&Temporary::Snapshot(snapshot), Some("busy".to_owned()));
        let document = trail.document().unwrap();
        let told = |at: usize, key: &str| document.get(at).and_then(|row| row.get(key)).cloned();
        assert_eq!(document.as_array().map(Vec::len), Some(2), "{document}");
        assert_eq!((told(0, "kind"), told(0, "id")), (Some("image".into()), Some("i".into())));
        assert!(told(0, "made").unwrap().is_i64() && told(0, "removed").unwrap().is_i64(), "{document}");
        assert_eq!((told(0, "error"), told(1, "made")), (Some(Value::Null), Some(Value::Null)));
        assert_eq!((told(1, "removed"), told(1, "error")), (Some(Value::Null), Some("busy".into())));
        assert_eq!(trail.told(), Map::from_iter([("temporaries".to_owned(), document)]));
        trail.exchanged(json!({"server_id": "s"}));
        assert_eq!(trail.told().get("exchanges"), Some(&json!([{"server_id": "s"}])));
        trail.hooked("before", json!({"exit_code": 0}));
        assert_eq!(trail.told().get("hooks"), Some(&json!({"before": {"exit_code": 0}})));
    }
}
