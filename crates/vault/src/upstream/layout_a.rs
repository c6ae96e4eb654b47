//! Layout A: how Freezer 1.x and 2.0 named the objects of the engine `tar`.
//!
//! ```text
//! local, ssh   <HBN>/<T0>/<HBN>_<T>_<L>                 payload
//!              <HBN>/<T0>/tar_metadata_<HBN>_<T>_<L>    GNU tar snapshot file
//! swift        <HBN>_<T>_<L>                            payload (segments in the container <C>_segments)
//!              tar_metadata_<HBN>_<T>_<L>
//! ```
//! There is no JSON and no commit marker. A view shows these objects under the names of layout B, so that catalogue, plan and
//! restore need not know: what is missing (compression, encryption) is found by the first bytes, as ever with upstream's backups.

use super::view::View;
use crate::VaultError;
use crate::layout::{Engine, Hbn, LevelId, parse_timestamp};
use freezer_storage::{Entry, ObjectName, Store, StoreError};
use std::collections::BTreeSet;
use std::sync::Arc;

/// All the metadata there is to say.
const METADATA_BODY: &[u8] = br#"{"engine_name": "tar"}"#;
const SNAPSHOT_PREFIX: &str = "tar_metadata_";

/// The backups of `hbn` in layout A as a store in layout B; `None` when there are none.
pub(crate) async fn view_layout_a(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
) -> Result<Option<Arc<dyn Store>>, VaultError> {
    let mut found = in_folders(store, hbn).await?;
    found.extend(in_a_container(store, hbn).await?);
    if found.is_empty() {
        return Ok(None);
    }
    let levels = found.into_iter().map(|Found { id, payload, snapshot }| (id, payload, snapshot));
    Ok(Some(Arc::new(View::of(store.clone(), hbn, METADATA_BODY, levels)?)))
}

/// All HBNs with backups in layout A, each with a store that shows them in layout B. Looks at the root, and into its folders for
/// folders that are named by a time.
pub async fn list_layout_a(store: &Arc<dyn Store>) -> Result<Vec<(Hbn, Arc<dyn Store>)>, VaultError> {
    let mut names = BTreeSet::new();
    for entry in store.list(None).await? {
        if entry.is_folder {
            // Of layout B, or of this program.
            if !matches!(entry.name.as_str(), "data" | "metadata") {
                names.insert(entry.name);
            }
        } else if let Some((hbn, _, _)) = parse(&entry.name).filter(|_| !is_snapshot(&entry.name)) {
            names.insert(hbn.to_owned());
        }
    }
    let mut views = Vec::new();
    for name in names {
        let hbn = Hbn::from_text(Engine::Tar, name)?;
        if let Some(view) = view_layout_a(store, &hbn).await? {
            views.push((hbn, view));
        }
    }
    Ok(views)
}

/// Where the objects of a level are.
#[derive(Debug)]
struct Found {
    id: LevelId,
    payload: ObjectName,
    snapshot: Option<ObjectName>,
}

/// `<HBN>_<T>_<L>`.
fn parse(name: &str) -> Option<(&str, i64, u32)> {
    let (rest, level) = name.rsplit_once('_')?;
    let (hbn, timestamp) = rest.rsplit_once('_')?;
    let level: u32 = level.parse().ok().filter(|number: &u32| number.to_string() == level)?;
    (!hbn.is_empty()).then_some((hbn, parse_timestamp(timestamp)?, level))
}

fn is_snapshot(name: &str) -> bool {
    name.starts_with(SNAPSHOT_PREFIX)
}

/// Levels of `last` (the last part of the HBN) among the files of a folder: timestamp, level, name of the object.
fn levels_among<'a>(entries: &'a [Entry], last: &str) -> Vec<(i64, u32, &'a str)> {
    let files = entries.iter().filter(|entry| !entry.is_folder);
    files
        .filter_map(|entry| {
            let (hbn, timestamp, level) = parse(&entry.name)?;
            (hbn == last).then_some((timestamp, level, entry.name.as_str()))
        })
        .collect()
}

fn at(folder: Option<&ObjectName>, name: &str) -> Result<ObjectName, StoreError> {
    match folder {
        Some(folder) => folder.join(name),
        None => ObjectName::new(name),
    }
}

fn snapshot_of(
    entries: &[Entry],
    folder: Option<&ObjectName>,
    name: &str,
) -> Result<Option<ObjectName>, StoreError> {
    let wanted = format!("{SNAPSHOT_PREFIX}{name}");
    let is_there = entries.iter().any(|entry| !entry.is_folder && entry.name == wanted);
    is_there.then(|| at(folder, &wanted)).transpose()
}

/// As on local disks and over SSH: a folder a chain.
async fn in_folders(store: &Arc<dyn Store>, hbn: &Hbn) -> Result<Vec<Found>, VaultError> {
    let root = ObjectName::new(hbn.as_str())?;
    let mut found = Vec::new();
    let chains = store.list(Some(&root)).await?;
    for (folder, chain) in chains
        .iter()
        .filter(|entry| entry.is_folder)
        .filter_map(|entry| Some((entry, parse_timestamp(&entry.name)?)))
    {
        let folder = root.join(&folder.name)?;
        let entries = store.list(Some(&folder)).await?;
        for (timestamp, level, name) in levels_among(&entries, hbn.as_str()) {
            let id = LevelId { chain_timestamp: chain, timestamp, level };
            let snapshot = snapshot_of(&entries, Some(&folder), name)?;
            found.push(Found { id, payload: folder.join(name)?, snapshot });
        }
    }
    Ok(found)
}

/// As in Swift: everything side by side. An increment belongs to the nearest level 0 before it.
async fn in_a_container(store: &Arc<dyn Store>, hbn: &Hbn) -> Result<Vec<Found>, VaultError> {
    let (folder, last) = match hbn.as_str().rsplit_once('/') {
        Some((folder, last)) => (Some(ObjectName::new(folder)?), last),
        None => (None, hbn.as_str()),
    };
    let entries = store.list(folder.as_ref()).await?;
    let mut levels = levels_among(&entries, last);
    levels.sort_unstable();
    let mut found = Vec::new();
    let mut chain = None;
    for (timestamp, level, name) in levels {
        if level == 0 {
            chain = Some(timestamp);
        }
        // One without level 0 is shown as what it is: a chain without a beginning.
        let id = LevelId { chain_timestamp: chain.unwrap_or(timestamp), timestamp, level };
        let snapshot = snapshot_of(&entries, folder.as_ref(), name)?;
        found.push(Found { id, payload: at(folder.as_ref(), name)?, snapshot });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_from_behind() {
        assert_eq!(parse("h_1_2_1400000000_3"), Some(("h_1_2", 1_400_000_000, 3)));
        for name in
            ["h_1400000000", "_1400000000_0", "h_x_0", "h_1400000000_00", "h_014_0", "h_1_-1", "plain"]
        {
            assert_eq!(parse(name), None, "{name}");
        }
        assert!(is_snapshot("tar_metadata_h_n_1_0"));
    }
}
