//! What a level is built on, and whether the objects of a level are all there.

use super::{Chain, Level};
use crate::VaultError;
use crate::layout::{DATA, Hbn, SEGMENTS};
use crate::manifest::Manifest;
use freezer_storage::Store;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A level and everything it is built on, level 0 first.
pub(crate) type Lineage<'a> = Vec<&'a Level>;

impl Chain {
    /// Follows the parents of `level` down to level 0, or says what is missing.
    pub(crate) fn lineage<'a>(&'a self, level: &'a Level) -> Result<Lineage<'a>, String> {
        let mut lineage = vec![level];
        let mut child = level;
        while child.id.level > 0 {
            child = self.parent_of(child)?;
            lineage.push(child);
        }
        if child.id.timestamp != self.timestamp {
            return Err(format!("{} is not the beginning of its chain", child.id));
        }
        lineage.reverse();
        Ok(lineage)
    }

    fn parent_of(&self, child: &Level) -> Result<&Level, String> {
        let Some(manifest) = child.manifest() else {
            // Upstream records no parent. It builds on the newest level below that existed then.
            return self
                .existing()
                .rev()
                .find(|level| level.id.level + 1 == child.id.level && level.id.timestamp < child.id.timestamp)
                .ok_or_else(|| format!("level {} is missing, which {} needs", child.id.level - 1, child.id));
        };
        let Some(link) = &manifest.parent else {
            return Err(format!("{} does not say what it is built on", child.id));
        };
        let fits = |level: &&Level| level.id.level == link.level && level.id.timestamp == link.timestamp;
        let Some(parent) = self.levels.iter().find(fits) else {
            return Err(format!(
                "level {} of {} is missing, which {} needs",
                link.level, link.timestamp, child.id
            ));
        };
        if link.level >= child.id.level || link.timestamp >= child.id.timestamp {
            return Err(format!("{} claims to be built on the later {}", child.id, parent.id));
        }
        if !parent.exists() {
            return Err(format!("{}, which {} needs, is {}", parent.id, child.id, describe(parent)));
        }
        let found = parent.sealed.as_ref().map(|sealed| &sealed.sha256);
        if found != link.manifest_sha256.as_ref() {
            return Err(format!("{} is another backup than the one {} was built on", parent.id, child.id));
        }
        Ok(parent)
    }
}

fn describe(level: &Level) -> String {
    match &level.standing {
        super::Standing::Damaged(cause) => format!("damaged: {cause}"),
        _ => "not complete: it has no manifest".into(),
    }
}

/// Proves that the payload of `level` is there with the recorded sizes, without reading it.
/// `Ok(Some(cause))` names what is not.
pub(crate) async fn check_presence(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &Level,
) -> Result<Option<String>, VaultError> {
    let level = &level.whole(store, hbn).await?;
    let Some(manifest) = level.manifest() else {
        let data = level.id.object(hbn, DATA)?;
        return Ok(store.head(&data).await?.is_none().then(|| format!("{data} is missing")));
    };
    for (object, expected_bytes) in payload_objects(manifest) {
        if object.starts_with(&format!("{SEGMENTS}/")) {
            continue;
        }
        let name = level.id.object(hbn, object)?;
        match store.head(&name).await? {
            None => return Ok(Some(format!("{name} is missing"))),
            Some(info) if info.size_bytes != expected_bytes => {
                return Ok(Some(wrong_size(name.as_str(), info.size_bytes, expected_bytes)));
            }
            Some(_) => {}
        }
    }
    check_segments(store, hbn, level, manifest).await
}

/// Segments are checked with one listing, not with one request each.
async fn check_segments(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &Level,
    manifest: &Manifest,
) -> Result<Option<String>, VaultError> {
    let prefix = format!("{SEGMENTS}/");
    let expected: Vec<(String, u64)> = payload_objects(manifest)
        .into_iter()
        .filter_map(|(object, size)| object.strip_prefix(&prefix).map(|name| (name.to_owned(), size)))
        .collect();
    if expected.is_empty() {
        return Ok(None);
    }
    let folder = level.id.object(hbn, SEGMENTS)?;
    let found: BTreeMap<String, u64> =
        store.list(Some(&folder)).await?.into_iter().map(|entry| (entry.name, entry.size_bytes)).collect();
    for (name, size) in expected {
        let listed = match found.get(&name) {
            Some(size) => Some(*size),
            // Listings of object stores may lag behind.
            None => store.head(&folder.join(&name)?).await?.map(|info| info.size_bytes),
        };
        match listed {
            None => return Ok(Some(format!("{folder}/{name} is missing"))),
            Some(found) if found != size => {
                return Ok(Some(wrong_size(&format!("{folder}/{name}"), found, size)));
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

fn wrong_size(name: &str, found: u64, expected: u64) -> String {
    format!("{name} has {found} bytes instead of {expected}")
}

/// Objects of the payload with their sizes, in order.
pub(super) fn payload_objects(manifest: &Manifest) -> Vec<(&str, u64)> {
    let mut objects: Vec<(&str, u64)> = Vec::new();
    for piece in &manifest.pieces {
        let name = piece.object.as_deref().unwrap_or(DATA);
        match objects.last_mut().filter(|(last, _)| *last == name) {
            Some((_, size)) => *size = size.saturating_add(piece.size_bytes),
            None => objects.push((name, piece.size_bytes)),
        }
    }
    objects
}
