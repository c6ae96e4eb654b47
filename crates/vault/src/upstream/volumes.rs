//! Volumes as upstream's mode `cinder` saves them, and servers as it saved them until 4.x: raw images that know neither hosts
//! nor chains nor engines.
//!
//! ```text
//! local, ssh, ftp, s3    <volume>/<T>/<volume>             the image; beside it `metadata` (JSON), which is written last
//! swift                  <C>_segments/<volume>/<T>/<T>     a manifest over …/<T>/segments/%08d, written last
//! swift, 1.x and 2.x     <volume>/<T>                      a manifest; segments in the container <C>_segments
//! ```
//! A view shows each as level 0 of a chain of its own, under the volume's id alone.

use super::view::View;
use crate::VaultError;
use crate::layout::{Engine, Hbn, LevelId, METADATA, parse_timestamp};
use freezer_storage::{Entry, ObjectName, Store, StoreError};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

const METADATA_BODY: &[u8] = br#"{"engine_name": "cinder"}"#;
const SEGMENTS_SUFFIX: &str = "_segments";

/// The images of a volume as a store in layout B; `None` when there are none.
pub(crate) async fn view_volume(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
) -> Result<Option<Arc<dyn Store>>, VaultError> {
    let segments = of_swift(&store.list(None).await?)?;
    view_below(store, hbn, &segments).await
}

async fn view_below(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    segments: &[ObjectName],
) -> Result<Option<Arc<dyn Store>>, VaultError> {
    let folder = ObjectName::new(hbn.as_str())?;
    let mut found = below(store, &folder, hbn.as_str()).await?;
    for segments in segments {
        found.extend(below(store, &segments.join(hbn.as_str())?, hbn.as_str()).await?);
    }
    if found.is_empty() {
        return Ok(None);
    }
    let levels = found.into_iter().map(|Found { timestamp, image, facts }| {
        (LevelId { chain_timestamp: timestamp, timestamp, level: 0 }, image, facts)
    });
    Ok(Some(Arc::new(View::of(store.clone(), hbn, METADATA_BODY, levels)?)))
}

/// All volumes with such images, each with a store that shows them in layout B. Looks at folders that are named by an id.
pub async fn list_volumes(store: &Arc<dyn Store>) -> Result<Vec<(Hbn, Arc<dyn Store>)>, VaultError> {
    let root = store.list(None).await?;
    let mut names: BTreeSet<String> = ids(&root).collect();
    let all_segments = of_swift(&root)?;
    for segments in &all_segments {
        names.extend(ids(&store.list(Some(segments)).await?));
    }
    let mut views = Vec::new();
    for name in names {
        let hbn = Hbn::from_text(Engine::Cinder, name)?;
        if let Some(view) = view_below(store, &hbn, &all_segments).await? {
            views.push((hbn, view));
        }
    }
    Ok(views)
}

fn ids(entries: &[Entry]) -> impl Iterator<Item = String> {
    let folders = entries.iter().filter(|entry| entry.is_folder);
    folders.filter(|entry| Uuid::parse_str(&entry.name).is_ok()).map(|entry| entry.name.clone())
}

/// Folders of the root that upstream keeps manifests and segments in: one, if the container was never renamed.
fn of_swift(root: &[Entry]) -> Result<Vec<ObjectName>, StoreError> {
    let folders = root.iter().filter(|entry| entry.is_folder && entry.name.ends_with(SEGMENTS_SUFFIX));
    folders.map(|entry| ObjectName::new(entry.name.as_str())).collect()
}

struct Found {
    timestamp: i64,
    image: ObjectName,
    /// JSON that says how long the image is.
    facts: Option<ObjectName>,
}

/// Images in the folder of a volume. One whose last object is missing was never finished.
async fn below(store: &Arc<dyn Store>, folder: &ObjectName, volume: &str) -> Result<Vec<Found>, VaultError> {
    let mut found = Vec::new();
    for entry in store.list(Some(folder)).await? {
        let Some(timestamp) = parse_timestamp(&entry.name) else { continue };
        let place = folder.join(&entry.name)?;
        if !entry.is_folder {
            found.push(Found { timestamp, image: place, facts: None });
            continue;
        }
        let objects = store.list(Some(&place)).await?;
        let has = |name: &str| objects.iter().any(|object| !object.is_folder && object.name == name);
        if has(volume) && has(METADATA) {
            let facts = Some(place.join(METADATA)?);
            found.push(Found { timestamp, image: place.join(volume)?, facts });
        } else if has(&entry.name) {
            found.push(Found { timestamp, image: place.join(&entry.name)?, facts: None });
        }
    }
    Ok(found)
}
