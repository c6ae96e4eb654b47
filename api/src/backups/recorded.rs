//! Chains as the records tell of them: which levels there are, and what restores.

use freezer_model::retention::{ChainFacts, Fate, Retention};
use freezer_model::{Backup, BackupStatus, naming};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Keys of a record's metadata that say where it belongs, and when and how large it is.
pub const LOOKED_AT: [&str; 13] = [
    "storage",
    "ssh_host",
    "ftp_host",
    "container",
    "hostname",
    "backup_name",
    "engine_name",
    "mode",
    "path_to_backup",
    "curr_backup_level",
    "chain_time_stamp",
    "time_stamp",
    "bytes_stored",
];

/// Whose backups follow each other: storage, container, host, name and engine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub storage: String,
    pub ssh_host: String,
    pub container: String,
    pub hostname: String,
    pub backup_name: String,
    pub engine_name: String,
}

impl Place {
    /// `None` for backups of Cinder's own service, which rotate by other rules.
    pub fn of(backup: &Backup) -> Option<Self> {
        let text =
            |key: &str| backup.metadata.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (mode, engine) = (text("mode"), text("engine_name"));
        (mode != "cindernative").then(|| Self {
            storage: text("storage"),
            // A record of storage ftp names its machine under a key of its own.
            ssh_host: [text("ssh_host"), text("ftp_host")]
                .into_iter()
                .find(|host| !host.is_empty())
                .unwrap_or_default(),
            container: text("container"),
            hostname: text("hostname"),
            backup_name: text("backup_name"),
            engine_name: if engine.is_empty() { "tar".to_owned() } else { engine },
        })
    }
}

/// The records of one chain, oldest first.
#[derive(Debug, Default)]
struct Chain {
    time_stamp: i64,
    backups: Vec<Backup>,
}

/// The chains of one place.
#[derive(Debug)]
pub struct Recorded {
    place: Place,
    chains: Vec<Chain>,
    removed: Vec<Value>,
}

impl Recorded {
    pub fn new(place: Place, mut backups: Vec<Backup>) -> Self {
        backups.retain(|backup| backup.status != BackupStatus::Deleted);
        backups.sort_by_key(time_stamp);
        let mut chains: BTreeMap<i64, Chain> = BTreeMap::new();
        let mut newest_full = None;
        for backup in backups {
            if whole(&backup, "curr_backup_level").unwrap_or(0) == 0 {
                newest_full = Some(time_stamp(&backup));
            }
            // Upstream's records do not name their chain: it is the newest that had begun.
            let own = time_stamp(&backup);
            let chain = whole(&backup, "chain_time_stamp").or(newest_full).unwrap_or(own);
            let fresh = || Chain { time_stamp: chain, ..Chain::default() };
            chains.entry(chain).or_insert_with(fresh).backups.push(backup);
        }
        Self { place, chains: chains.into_values().collect(), removed: Vec::new() }
    }

    /// Takes away what these rules remove.
    pub fn apply(&mut self, rules: &Retention, now_secs: i64) {
        let fates = self.decide(rules, now_secs);
        let mut kept = Vec::new();
        for (chain, fate) in self.chains.drain(..).zip(fates) {
            match fate {
                Fate::Goes(reason) => self.removed.push(chain.told(&reason)),
                Fate::Stays(_) => kept.push(chain),
            }
        }
        self.chains = kept;
    }

    /// The plan after all rules were applied; these are the last of them, which say why the rest stays.
    pub fn told(&self, rules: &Retention, now_secs: i64) -> Value {
        let fates = self.decide(rules, now_secs);
        let kept = self.chains.iter().zip(fates).map(|(chain, fate)| match fate {
            Fate::Goes(reason) | Fate::Stays(reason) => chain.told(&reason),
        });
        let Place { storage, container, hostname, backup_name, engine_name, .. } = &self.place;
        json!({
            "storage": storage,
            "container": container,
            "hostname": hostname,
            "backup_name": backup_name,
            "engine_name": engine_name,
            "remove": self.removed,
            "keep": kept.collect::<Vec<Value>>(),
        })
    }

    fn decide(&self, rules: &Retention, now_secs: i64) -> Vec<Fate> {
        let facts: Vec<ChainFacts> = self.chains.iter().map(Chain::facts).collect();
        rules.decide(&facts, now_secs)
    }
}

impl Chain {
    fn facts(&self) -> ChainFacts {
        let with = |status: BackupStatus| self.backups.iter().filter(move |backup| backup.status == status);
        ChainFacts {
            newest: with(BackupStatus::Available).map(time_stamp).max(),
            points: with(BackupStatus::Available).map(time_stamp).collect(),
            held: with(BackupStatus::Creating)
                .next()
                .map(|one| format!("{} is being written", one.backup_id)),
            source: self.backups.last().and_then(source),
        }
    }

    fn told(&self, reason: &str) -> Value {
        let sizes = self.backups.iter().filter_map(|backup| whole(backup, "bytes_stored"));
        let bytes = sizes.fold(0_i64, i64::saturating_add);
        json!({
            "chain_time_stamp": self.time_stamp,
            "levels": self.backups.len(),
            "backup_ids": self.backups.iter().map(|backup| &backup.backup_id).collect::<Vec<_>>(),
            "bytes_stored": bytes,
            "reason": reason,
        })
    }
}

/// The folder that was saved: rotation treats chains of different ones apart.
fn source(backup: &Backup) -> Option<String> {
    let path = backup.metadata.get("path_to_backup").and_then(Value::as_str);
    path.filter(|path| !path.is_empty()).map(naming::plain_path)
}

fn whole(backup: &Backup, key: &str) -> Option<i64> {
    backup.metadata.get(key).and_then(Value::as_i64)
}

fn time_stamp(backup: &Backup) -> i64 {
    whole(backup, "time_stamp").unwrap_or_else(|| backup.created_at.secs())
}
