//! The tag of a temporary resource, in its name or its metadata: which process works with it.

use crate::daemon::child::start_ticks;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// Metadata keys of every temporary resource.
pub const RUN_KEY: &str = "freezer_run";
pub const PROCESS_KEY: &str = "freezer_process";
/// How the metadata keys of a temporary server begin that name what was made for it and goes with it: `…0`, `…1`.
const PARTS_KEY: &str = "freezer_parts_";
/// Ids in one value, of which services take 255 characters.
const IDS_IN_A_VALUE: usize = 6;
/// Between what a name says and the tag.
pub(super) const MARK: char = '~';
/// Nobody works on one resource for longer on another host, whose processes cannot be seen from here.
const FOREIGN_LIMIT_SECS: i64 = 7 * 86_400;

/// A process for good: an id alone is used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    host: String,
    pid: i32,
    ticks: u64,
    /// Which of the ledgers of the process; resources that are saved at the same time have one each.
    part: u32,
}

/// Ledgers that this process has opened.
static PARTS: AtomicU32 = AtomicU32::new(0);

impl Process {
    pub fn this() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self { host: host_mark(), pid, ticks: start_ticks(pid).unwrap_or_default(), part: 0 }
    }

    /// This process with a part that no other ledger has.
    pub fn next_part() -> Self {
        Self { part: PARTS.fetch_add(1, Ordering::Relaxed), ..Self::this() }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (host, pid, ticks) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let is_host = host.len() == 8 && host.bytes().all(|byte| byte.is_ascii_hexdigit());
        let part = parts.next().map_or(Some(0), |part| part.parse().ok())?;
        (is_host && parts.next().is_none()).then(|| Self { host: host.to_owned(), pid, ticks, part })
    }

    /// Whether it may still work with a resource that was made `age_secs` ago.
    pub fn may_be_at_work(&self, age_secs: i64) -> bool {
        if self.host != host_mark() {
            return age_secs < FOREIGN_LIMIT_SECS;
        }
        start_ticks(self.pid) == Some(self.ticks)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.host, self.pid, self.ticks)?;
        if self.part > 0 { write!(f, ".{}", self.part) } else { Ok(()) }
    }
}

/// This host among others: its machine and its name, since containers share the first and clones the second.
///
/// Not its PID namespace: a container that is started again has another one, and what its killed agent left (a server that has
/// neither of two volumes, for one) would wait as that of another host does. Containers that share both names are told apart by who
/// sets them up (packaging/kolla).
fn host_mark() -> String {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let digest = Sha256::digest(format!("{}/{name}", machine.trim()));
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn tagged(prefix: &str, what: &str, process: &Process) -> String {
    let what: String = what.chars().take(120).collect();
    format!("{prefix}{what}{MARK}{process}")
}

/// A name as of [`super::Ledger::name`], for what no ledger knows: images of a Ceph cluster.
pub fn own_name(prefix: &str, what: &str) -> String {
    tagged(prefix, what, &Process::next_part())
}

/// Whether something of this name, made `age_secs` ago, bears the tag of a process that is gone.
pub fn is_left_by_name(name: &str, prefix: &str, age_secs: i64) -> bool {
    tag_in(name, prefix).is_some_and(|process| !process.may_be_at_work(age_secs))
}

/// Whether a process that is written down in the resource `row` is gone.
pub fn is_gone(process: &str, row: &Value) -> bool {
    Process::parse(process).is_some_and(|process| !process.may_be_at_work(age_secs(row, Utc::now())))
}

/// Whether the tags of a resource name a process that is gone.
pub fn is_left(tags: &BTreeMap<String, String>, age_secs: i64) -> bool {
    let process = tags.get(PROCESS_KEY).filter(|_| tags.contains_key(RUN_KEY));
    process.and_then(|text| Process::parse(text)).is_some_and(|process| !process.may_be_at_work(age_secs))
}

/// Whether a row of a list is somebody's temporary resource. Images have their tags among their fields, others apart.
pub fn is_temporary(row: &Value, prefix: &str) -> bool {
    let mut tags = [Some(row), row.get("metadata")].into_iter().flatten().filter_map(Value::as_object);
    tags.any(|tags| process_of(row, tags, prefix).is_some())
}

/// What a temporary resource says of those that were made for it.
pub(super) fn parts_metadata(ids: &[String]) -> Map<String, Value> {
    let rows = ids.chunks(IDS_IN_A_VALUE).enumerate();
    rows.map(|(at, ids)| (format!("{PARTS_KEY}{at}"), Value::String(ids.join(",")))).collect()
}

/// The ids in [`parts_metadata`].
pub(super) fn parts_in(tags: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let rows = tags.iter().filter(|(key, _)| key.starts_with(PARTS_KEY));
    rows.filter_map(|(_, ids)| ids.as_str()).flat_map(|ids| ids.split(','))
}

/// The process in a resource's tag, by metadata or by name.
pub(super) fn process_of(row: &Value, tags: &Map<String, Value>, prefix: &str) -> Option<Process> {
    if tags.contains_key(RUN_KEY)
        && let Some(process) = tags.get(PROCESS_KEY).and_then(Value::as_str).and_then(Process::parse)
    {
        return Some(process);
    }
    let name = text(row, "name");
    // So Nova names the snapshots of an image of a server that boots from a volume.
    let name = name.strip_prefix("snapshot for ").unwrap_or(name);
    tag_in(name, prefix)
}

fn tag_in(name: &str, prefix: &str) -> Option<Process> {
    let (_, tag) = name.strip_prefix(prefix)?.rsplit_once(MARK)?;
    Process::parse(tag)
}

pub(super) fn age_secs(row: &Value, now: DateTime<Utc>) -> i64 {
    let made = ["created_at", "created"].map(|key| text(row, key).trim_end_matches('Z'));
    let made = made.into_iter().find(|time| !time.is_empty()).unwrap_or_default();
    let made = NaiveDateTime::parse_from_str(made, "%Y-%m-%dT%H:%M:%S%.f");
    made.map_or(0, |made| (now - made.and_utc()).num_seconds())
}

pub(super) fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tag_is_found_in_name_or_metadata_and_nowhere_else() {
        let own = Process::this();
        let none = Map::new();
        let named = json!({"name": format!("freezer_backup_v~{own}")});
        assert_eq!(process_of(&named, &none, "freezer_"), Some(own.clone()));
        assert_eq!(process_of(&named, &none, "other_"), None);
        let tags = json!({RUN_KEY: "r", PROCESS_KEY: own.to_string()});
        assert_eq!(process_of(&json!({"name": "x"}), tags.as_object().unwrap(), "freezer_"), Some(own));
        for name in
            ["freezer_backup_v", "freezer_backup~2026-01-01T00:00:00", "my~volume", "freezer_x~abc.1.2"]
        {
            assert_eq!(process_of(&json!({ "name": name }), &none, "freezer_"), None, "{name}");
        }
    }

    #[test]
    fn any_number_of_parts_is_found_again() {
        for count in [0, 1, 6, 7, 30] {
            let ids: Vec<String> = (0..count).map(|_| uuid::Uuid::new_v4().to_string()).collect();
            let mut tags = parts_metadata(&ids);
            assert!(tags.values().all(|ids| ids.as_str().unwrap().len() <= 255), "{tags:?}");
            tags.insert(RUN_KEY.to_owned(), json!("r"));
            let mut found: Vec<&str> = parts_in(&tags).collect();
            found.sort_unstable();
            let mut wanted: Vec<&str> = ids.iter().map(String::as_str).collect();
            wanted.sort_unstable();
            assert_eq!(found, wanted);
        }
    }

    #[test]
    fn ledgers_at_work_side_by_side_know_their_own() {
        let (one, other) = (Process::next_part(), Process::next_part());
        assert_ne!(one, other);
        for process in [one, other] {
            let named = json!({"name": format!("freezer_restore_v~{process}")});
            assert_eq!(process_of(&named, &Map::new(), "freezer_"), Some(process.clone()));
            assert!(process.may_be_at_work(0));
        }
    }

    #[test]
    fn only_what_nobody_works_with_is_left_over() {
        let own = Process::this();
        assert!(own.may_be_at_work(0));
        let dead = Process { ticks: own.ticks + 1, ..own.clone() };
        assert!(!dead.may_be_at_work(0));
        let elsewhere = Process { host: "00000000".into(), ..own };
        assert!(elsewhere.may_be_at_work(0) && !elsewhere.may_be_at_work(FOREIGN_LIMIT_SECS));
        let is_left = |name: &str, age| is_left_by_name(name, "freezer_", age);
        assert!(!is_left(&own_name("freezer_", "restore_image"), i64::MAX));
        assert!(is_left(&tagged("freezer_", "restore_image", &dead), 0));
        let far = tagged("freezer_", "restore_image~1700000000", &elsewhere);
        assert!(!is_left(&far, 0) && is_left(&far, FOREIGN_LIMIT_SECS));
        for name in ["image~1700000000", "freezer_restore_image", "other_restore_image~00000000.1.2"] {
            assert!(!is_left(name, i64::MAX), "{name}");
        }
        assert_eq!(
            age_secs(
                &json!({"created_at": "2026-01-01T00:00:00.000000"}),
                "2026-01-01T00:01:00Z".parse().unwrap()
            ),
            60
        );
    }
}
