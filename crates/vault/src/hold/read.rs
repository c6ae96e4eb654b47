//! Finding the holds of an HBN.

use super::{Held, Hold};
use crate::VaultError;
use crate::catalogue::read_whole;
use crate::layout::{Hbn, LevelId, parse_timestamp};
use freezer_storage::{ObjectName, Store};
use std::sync::Arc;

/// Nothing longer is a hold of ours.
const MOST_HOLD_BYTES: u64 = 65_536;

/// Name of a hold in its folder: the backup, and behind it of which set, if it was not meant by itself.
pub(super) fn object_name(hbn: &Hbn, id: &LevelId, of_set: Option<&str>) -> Result<ObjectName, VaultError> {
    let LevelId { chain_timestamp, timestamp, level } = id;
    let of_set = of_set.map(|set| format!("-{set}")).unwrap_or_default();
    Ok(hbn.hold_folder()?.join(&format!("{chain_timestamp}-{level}-{timestamp}{of_set}"))?)
}

fn parse(name: &str) -> Option<LevelId> {
    let mut parts = name.splitn(4, '-');
    let (chain, level, timestamp) = (parts.next()?, parts.next()?, parts.next()?);
    Some(LevelId {
        chain_timestamp: parse_timestamp(chain)?,
        level: level.parse().ok()?,
        timestamp: parse_timestamp(timestamp)?,
    })
}

/// All holds of one HBN, also those that are over.
#[derive(Clone, Debug, Default)]
pub struct Holds(pub Vec<Held>);

impl Holds {
    /// What holds a backup at a time.
    pub fn of(&self, id: &LevelId, now_secs: i64) -> Option<&Held> {
        self.0.iter().find(|held| held.id == *id && held.holds_at(now_secs))
    }

    /// What holds a chain at a time: whatever holds one of its backups, since chains go whole.
    pub fn of_chain(&self, chain_timestamp: i64, now_secs: i64) -> Option<&Held> {
        self.0.iter().find(|held| held.id.chain_timestamp == chain_timestamp && held.holds_at(now_secs))
    }
}

/// Reads the holds of an HBN: one listing, and one request for each hold.
pub async fn list(store: &Arc<dyn Store>, hbn: &Hbn) -> Result<Holds, VaultError> {
    let folder = hbn.hold_folder()?;
    let mut holds = Holds::default();
    for entry in store.list(Some(&folder)).await?.into_iter().filter(|entry| !entry.is_folder) {
        let Some(id) = parse(&entry.name) else {
            tracing::warn!(%folder, name = %entry.name, "this is no hold");
            continue;
        };
        let hold = if entry.size_bytes > MOST_HOLD_BYTES {
            None
        } else {
            // Released meanwhile, perhaps.
            let Some(body) = read_whole(store, &folder.join(&entry.name)?, MOST_HOLD_BYTES).await? else {
                continue;
            };
            serde_json::from_slice::<Hold>(&body).ok()
        };
        holds.0.push(Held { id, hold });
    }
    Ok(holds)
}
