//! A volume's content through Glance: works with every back end, and asks nothing of this host.

use super::description::VolumeDescription;
use super::{key, source_failed};
use crate::openstack::barbican::Key;
use crate::openstack::cinder::volumes::Volume;
use crate::openstack::cinder::{snapshots, volume_actions, volumes};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::glance::{download, images};
use crate::openstack::pipe;
use crate::openstack::temporary::{Ledger, Temporary};
use freezer_vault::VaultError;
use freezer_vault::image::{ImageInput, OpenImage, OpenedImage};
use serde_json::{Value, json};
use std::sync::Arc;

/// Opens the source when the vault knows what the backup is built on. Without a list of changes that is all the same.
/// `snapshot` is read, or one that is made now.
pub fn opener(cloud: Cloud, ledger: Arc<Ledger>, volume: Volume, snapshot: Option<String>) -> OpenImage {
    Box::new(move |_base| {
        Box::pin(async move {
            let opened = open(&cloud, &ledger, &volume, snapshot.as_deref()).await;
            let (input, key) = opened.map_err(source_failed)?;
            let description = key::put(VolumeDescription::of(&volume).to_value(), key.as_ref());
            let source = json!({"kind": "glance", "volume_id": volume.id()});
            Ok::<_, VaultError>(OpenedImage { input, source, description })
        })
    })
}

async fn open(
    cloud: &Cloud,
    ledger: &Ledger,
    volume: &Volume,
    snapshot: Option<&str>,
) -> Result<(ImageInput, Option<Key>), CloudError> {
    let snapshot = match snapshot {
        Some(snapshot) => snapshot.to_owned(),
        None => {
            let id = snapshot_of(cloud, ledger, volume).await?;
            snapshots::wait(cloud, &id).await?;
            id
        }
    };
    let image = image_of(cloud, ledger, volume, &snapshot).await?;
    let id = image.get("id").and_then(Value::as_str).unwrap_or_default();
    let size = image.get("size").and_then(Value::as_u64).unwrap_or_default();
    if size == 0 {
        return Err(CloudError::BadState {
            resource: format!("image {id} of volume {}", volume.id()),
            state: "empty".to_owned(),
            wanted: format!("{} GiB", volume.size_gib()),
            detail: String::new(),
        });
    }
    let key = key::of_image(cloud, volume, &image).await?;
    let stream = download::download(cloud, id, size).await?;
    Ok((ImageInput::Whole { reader: pipe::reader(stream), size_bytes: Some(size) }, key))
}

/// Orders a snapshot, which is the ledger's.
pub async fn snapshot_of(cloud: &Cloud, ledger: &Ledger, volume: &Volume) -> Result<String, CloudError> {
    let name = ledger.name(&format!("backup_{}", volume.id()));
    let snapshot = snapshots::create(cloud, volume.id(), &name, ledger.metadata()).await?;
    ledger.note(Temporary::Snapshot(snapshot.clone()));
    Ok(snapshot)
}

/// Volume from a snapshot, raw image of that.
async fn image_of(
    cloud: &Cloud,
    ledger: &Ledger,
    volume: &Volume,
    snapshot: &str,
) -> Result<Value, CloudError> {
    let gib = volume.size_gib();
    let name = ledger.name(&format!("backup_{}", volume.id()));
    let body = json!({"snapshot_id": snapshot, "size": gib, "name": name, "metadata": ledger.metadata()});
    let copy = volumes::create(cloud, body).await?;
    ledger.note(Temporary::Volume(copy.clone()));
    volumes::wait(cloud, &copy, &["available"], gib).await?;
    let image = volume_actions::upload_to_image(cloud, &copy, &name).await?;
    ledger.note(Temporary::Image(image.clone()));
    images::wait(cloud, &image, gib).await
}
