//! Saving a container as the next level of its chain.

use super::layout::{Change, Entry, Layout};
use crate::actions::ActionError;
use crate::actions::backup::image_request;
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::pipe;
use crate::openstack::swift::objects::{self, Facts, Listed};
use crate::openstack::volume::source_failed;
use crate::options::typed::ActionOptions;
use crate::storages::Surroundings;
use bytes::Bytes;
use freezer_storage::Store;
use freezer_vault::BackupReport;
use freezer_vault::image::{self, ImageBase, ImageInput, OpenImage, OpenedImage};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};

/// Requests on their way at once.
const AT_ONCE: usize = 8;
/// Objects whose content is asked for ahead.
const AHEAD: usize = 4;
/// The list of them is kept in memory and beside each level.
const MOST_OBJECTS: usize = 100_000;

/// An object that went or changed while the container was read, and why it is not in the backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub object: String,
    pub reason: String,
}

type Losses = Arc<Mutex<Vec<Lost>>>;

pub async fn save(
    options: &ActionOptions,
    around: &Surroundings,
    cloud: &Cloud,
    store: &Arc<dyn Store>,
    container: &str,
) -> Result<(BackupReport, Vec<Lost>), ActionError> {
    let losses = Losses::default();
    let open = opener(cloud.clone(), container.to_owned(), losses.clone());
    let monitor = cloud.monitor();
    let request = image_request(options, around)?;
    let report = match image::backup(store.clone(), request, open, monitor.clone()).await {
        Err(_) if monitor.is_cancelled() => return Err(ActionError::Aborted),
        other => other?,
    };
    let lost = std::mem::take(&mut *losses.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((report, lost))
}

fn opener(cloud: Cloud, container: String, losses: Losses) -> OpenImage {
    Box::new(move |base| {
        Box::pin(async move { open(cloud, container, losses, base).await.map_err(source_failed) })
    })
}

async fn open(
    cloud: Cloud,
    container: String,
    losses: Losses,
    base: Option<ImageBase>,
) -> Result<OpenedImage, CloudError> {
    let listed = objects::list(&cloud, &container, MOST_OBJECTS).await?;
    let (old, old_size) = match &base {
        Some(base) => (Layout::read(&base.source), base.size_bytes),
        None => (Layout::default(), 0),
    };
    let (kept, fresh) = old.compare(listed);
    let (cloud_of, container_of) = (&cloud, &container);
    let fresh: Vec<(Listed, Option<Facts>)> = stream::iter(fresh)
        .map(|row| async move {
            let facts = objects::facts(cloud_of, container_of, &row.name).await?;
            Ok::<_, CloudError>((row, facts))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    // What has gone since the list was made was not there.
    let fresh = fresh.into_iter().filter_map(|(row, facts)| Some((row, facts?))).collect();
    let (layout, changes) = kept.place(fresh, old_size);
    let size = layout.size().max(old_size);
    let objects = json!({"kind": "container", "container": container, "objects": layout.entries});
    let stream = changes_of(cloud, container, losses, changes, (base.is_some(), size));
    Ok(OpenedImage {
        input: ImageInput::Changes { stream: pipe::reader(stream) },
        source: objects.clone(),
        description: objects,
    })
}

/// All changes as a stream of the form `rbd diff v1`.
fn changes_of(
    cloud: Cloud,
    container: String,
    losses: Losses,
    changes: Vec<Change>,
    (has_base, size): (bool, u64),
) -> BoxStream<'static, Result<Bytes, CloudError>> {
    let mut head = b"rbd diff v1\n".to_vec();
    if has_base {
        head.extend(b"f\x04\0\0\0base");
    }
    head.push(b's');
    head.extend(size.to_le_bytes());
    let parts = stream::iter(changes)
        .map(move |change| one(cloud.clone(), container.clone(), losses.clone(), change))
        .buffered(AHEAD)
        .try_flatten();
    let whole = |bytes: Vec<u8>| stream::iter([Ok(Bytes::from(bytes))]);
    whole(head).chain(parts).chain(whole(b"e".to_vec())).boxed()
}

async fn one(
    cloud: Cloud,
    container: String,
    losses: Losses,
    change: Change,
) -> Result<BoxStream<'static, Result<Bytes, CloudError>>, CloudError> {
    let entry = match change {
        Change::Object(entry) => entry,
        Change::Zeros { at, bytes } => return Ok(stream::iter([Ok(record(b'z', at, bytes))]).boxed()),
    };
    let Entry { listed, facts, at } = &entry;
    match objects::content(&cloud, &container, &listed.name, facts).await {
        Ok(content) => Ok(stream::iter([Ok(record(b'w', *at, facts.bytes))]).chain(content).boxed()),
        // The next backup sees that it is another.
        Err(error) if error.is_not_found() || matches!(error, CloudError::Refused { status: 412, .. }) => {
            let reason = "it was changed or removed while the container was read".to_owned();
            let mut losses = losses.lock().unwrap_or_else(PoisonError::into_inner);
            losses.push(Lost { object: listed.name.clone(), reason });
            Ok(stream::iter([Ok(record(b'z', *at, facts.bytes))]).boxed())
        }
        Err(error) => Err(error),
    }
}

fn record(letter: u8, at: u64, bytes: u64) -> Bytes {
    let mut record = vec![letter];
    record.extend(at.to_le_bytes());
    record.extend(bytes.to_le_bytes());
    Bytes::from(record)
}
