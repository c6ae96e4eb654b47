//! One point in time of all disks of a server, as near as the cloud can do it, and how near that was.
//!
//! Nova makes the image of a disk that came from an image, and may freeze the guest while it has the volumes of a server
//! that boots from one snapshotted. Volumes in the cluster that this host reaches are snapshotted there, all at once.

use super::description::Consistency;
use super::save::DiskChain;
use crate::openstack::ceph::CephAccess;
use crate::openstack::cinder::volumes::Volume;
use crate::openstack::cinder::{groups, snapshots};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::glance::images;
use crate::openstack::nova::servers::{self, Server};
use crate::openstack::temporary::{Ledger, Temporary};
use crate::openstack::volume::{Kept, in_cluster, snapshot_of};
use crate::openstack::waiting::{Look, Wanted};
use futures_util::future::join_all;
use serde_json::Value;

/// Where a volume's state is read from.
pub enum Source {
    Cluster(Kept),
    /// A snapshot of Cinder's, which is the ledger's.
    Snapshot(String),
}

pub struct Frozen {
    /// Image of the disk that came from an image, as Glance shows it.
    pub root: Option<Value>,
    /// In the order they were given.
    pub volumes: Vec<(Volume, Source)>,
    pub consistency: Consistency,
    /// The group of Cinder that all volumes are in, when its snapshot would have been of one instant and was not made.
    pub passed_over: Option<String>,
}

/// What freezing works with.
pub struct Freezing<'a> {
    pub cloud: &'a Cloud,
    pub ledger: &'a Ledger,
    pub ceph: Option<&'a CephAccess>,
    /// The chain that a volume's snapshot in the cluster is for.
    pub chain_of: &'a (dyn Fn(&str) -> DiskChain + Send + Sync),
    pub now_secs: i64,
    /// Names of the types of Cinder's groups whose volumes are all snapshotted at one instant.
    pub group_types: &'a [String],
}

enum Way {
    Cluster(Kept),
    Cinder,
}

impl Freezing<'_> {
    /// Snapshots in the cluster that were taken are noted in `kept` whatever comes of it.
    pub async fn freeze(
        &self,
        server: &Server,
        volumes: Vec<Volume>,
        kept: &mut Vec<Kept>,
    ) -> Result<Frozen, CloudError> {
        let before = self.history(server, volumes.len()).await?;
        let mut ways = Vec::new();
        for volume in &volumes {
            ways.push(match in_cluster(self.ceph, self.cloud.monitor(), volume).await? {
                Some((ceph, image)) => {
                    let chain = (self.chain_of)(volume.id()).in_cluster;
                    let own = Kept::new(&ceph, image, &chain, self.now_secs);
                    kept.push(own.clone());
                    Way::Cluster(own)
                }
                None => Way::Cinder,
            });
        }
        let is_near = ways.iter().all(|way| matches!(way, Way::Cluster(_)));
        let known = self.group_of(&volumes).await?;
        let group = known.clone().filter(|_| ways.iter().all(|way| matches!(way, Way::Cinder)));
        let is_quiet = server.image_id().is_none() && volumes.iter().any(wants_quiet);
        let passed_over = known.filter(|_| group.is_none() && !is_quiet);
        let mut frozen = match server.image_id() {
            Some(_) => self.with_root(server, volumes, ways, group).await?,
            None if (is_near || group.is_some()) && !volumes.iter().any(wants_quiet) => {
                let (volumes, is_one_instant) = self.burst(volumes, ways, group).await?;
                let consistency =
                    if is_one_instant { Consistency::CrashConsistent } else { Consistency::PerVolume };
                Frozen { root: None, volumes, consistency, passed_over: None }
            }
            None => self.by_nova(server, volumes).await?,
        };
        let disks = frozen.volumes.len() + usize::from(frozen.root.is_some());
        if frozen.consistency == Consistency::PerVolume
            && (disks < 2 || self.stood_still(server, before).await?)
        {
            frozen.consistency = Consistency::CrashConsistent;
        }
        frozen.passed_over = passed_over.filter(|_| frozen.consistency == Consistency::PerVolume);
        Ok(frozen)
    }

    /// Asked for only when it matters: of a server that does not run.
    async fn history(&self, server: &Server, volumes: usize) -> Result<Option<Vec<String>>, CloudError> {
        if !is_still(server.status()) || volumes == 0 {
            return Ok(None);
        }
        servers::history(self.cloud, server.id()).await.map(Some)
    }

    /// Whether nothing can have written to its disks between the first snapshot and the last.
    async fn stood_still(&self, server: &Server, before: Option<Vec<String>>) -> Result<bool, CloudError> {
        let Some(before) = before else { return Ok(false) };
        let now = servers::show(self.cloud, server.id()).await?;
        Ok(is_still(now.status()) && servers::history(self.cloud, server.id()).await? == before)
    }

    /// The image of the disk first: while Nova makes it the guest may be frozen. The volumes when its state is taken.
    async fn with_root(
        &self,
        server: &Server,
        volumes: Vec<Volume>,
        ways: Vec<Way>,
        group: Option<String>,
    ) -> Result<Frozen, CloudError> {
        let image = self.image_of(server).await?;
        let order = Wanted::new(format!("the image of server {}", server.id()), "taken");
        let taken = || async move {
            let server = servers::show(self.cloud, server.id()).await?;
            Ok(match server.task() {
                "" | "image_uploading" => Look::Ready(()),
                "deleting" => Look::Never { state: "deleting".to_owned(), detail: String::new() },
                task => Look::NotYet(task.to_owned()),
            })
        };
        self.cloud.wait_for(order, taken).await?;
        let (volumes, _) = self.burst(volumes, ways, group).await?;
        let gib = server.document.pointer("/flavor/disk").and_then(Value::as_u64).unwrap_or_default();
        let root = self.finished(server, &image, gib).await?;
        Ok(Frozen { root: Some(root), volumes, consistency: Consistency::PerVolume, passed_over: None })
    }

    async fn image_of(&self, server: &Server) -> Result<String, CloudError> {
        let name = self.ledger.name(&format!("backup_{}", server.id()));
        let image = servers::create_image(self.cloud, server.id(), &name, &self.ledger.metadata()).await?;
        self.ledger.note(Temporary::Image(image.clone()));
        Ok(image)
    }

    /// The image when Nova is through with it. It goes with a server that is deleted meanwhile.
    async fn finished(&self, server: &Server, image: &str, gib: u64) -> Result<Value, CloudError> {
        images::wait(self.cloud, image, gib).await.map_err(|error| match error {
            CloudError::BadState { resource, state, wanted, detail } => {
                let resource = format!("{resource} of server {}", server.id());
                CloudError::BadState { resource, state, wanted, detail }
            }
            error => error,
        })
    }

    /// The group that all the volumes are in, if Cinder snapshots all of it at one instant. It does so of what it reads itself.
    async fn group_of(&self, volumes: &[Volume]) -> Result<Option<String>, CloudError> {
        let group = volumes.first().and_then(Volume::group_id).unwrap_or_default();
        let is_theirs = volumes.iter().all(|volume| volume.group_id() == Some(group));
        if group.is_empty() || !is_theirs || volumes.len() < 2 || self.group_types.is_empty() {
            return Ok(None);
        }
        match groups::type_name(self.cloud, group).await {
            Ok(name) => Ok(self.group_types.contains(&name).then(|| group.to_owned())),
            Err(CloudError::Aborted) => Err(CloudError::Aborted),
            Err(error) => {
                tracing::warn!("group {group} is not made use of: {error}");
                Ok(None)
            }
        }
    }

    /// All volumes of a group at one instant, also those that are not wanted. None: Cinder refuses, and each has to be taken alone.
    async fn of_group(
        &self,
        group: &str,
        volumes: &[Volume],
    ) -> Result<Option<Vec<(Volume, Source)>>, CloudError> {
        let name = self.ledger.name(&format!("backup_{group}"));
        let id = match groups::snapshot(self.cloud, group, &name).await {
            Ok(id) => id,
            Err(error @ (CloudError::Refused { .. } | CloudError::Quota { .. })) => {
                tracing::warn!("the volumes are not taken at one instant: {error}");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.ledger.note(Temporary::GroupSnapshot(id.clone()));
        groups::wait_for_snapshot(self.cloud, &id).await?;
        let text = |row: &Value, key: &str| row.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut rows = snapshots::list(self.cloud).await?;
        rows.retain(|row| text(row, "group_snapshot_id").as_deref() == Some(id.as_str()));
        let of = |volume: &Volume| {
            let row = rows.iter().find(|row| text(row, "volume_id").as_deref() == Some(volume.id()))?;
            Some((volume.clone(), Source::Snapshot(text(row, "id")?)))
        };
        let taken: Vec<(Volume, Source)> = volumes.iter().filter_map(of).collect();
        // One that left the group just now is not among them.
        Ok((taken.len() == volumes.len()).then_some(taken))
    }

    /// Snapshots of all volumes, asked for at the same time; and whether they are of one instant.
    async fn burst(
        &self,
        volumes: Vec<Volume>,
        ways: Vec<Way>,
        group: Option<String>,
    ) -> Result<(Vec<(Volume, Source)>, bool), CloudError> {
        if let Some(group) = group
            && let Some(taken) = self.of_group(&group, &volumes).await?
        {
            return Ok((taken, true));
        }
        let taken = volumes.into_iter().zip(ways).map(|(volume, way)| async move {
            let source = match way {
                Way::Cluster(kept) => Source::Cluster(kept.take().await?),
                Way::Cinder => Source::Snapshot(snapshot_of(self.cloud, self.ledger, &volume).await?),
            };
            Ok::<_, CloudError>((volume, source))
        });
        // Each is waited for, whatever becomes of another: what the cloud is making must be known to be removed.
        let taken = join_all(taken).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.all_there(&taken).await?;
        Ok((taken, false))
    }

    async fn all_there(&self, taken: &[(Volume, Source)]) -> Result<(), CloudError> {
        for (_, source) in taken {
            if let Source::Snapshot(id) = source {
                snapshots::wait(self.cloud, id).await?;
            }
        }
        Ok(())
    }

    /// Nova snapshots all volumes. It keeps a guest frozen until all snapshots are there, if it could freeze it; that it
    /// must have been able to is known only where the image requires it.
    async fn by_nova(&self, server: &Server, volumes: Vec<Volume>) -> Result<Frozen, CloudError> {
        let must_freeze = server.status() == "ACTIVE" && volumes.iter().any(requires_quiet);
        let id = self.image_of(server).await.map_err(|error| match error {
            CloudError::Refused { .. } if must_freeze => CloudError::Choice {
                what: format!("server {}", server.id()),
                cause: format!(
                    "its image requires that the guest be frozen (os_require_quiesce), which Nova may not have been able to: \
                     {error}; check that the guest agent runs, or shut the server off"
                ),
            },
            error => error,
        })?;
        let image = self.finished(server, &id, 0).await?;
        let mut snapshots = Vec::new();
        for id in snapshots_in(&image) {
            self.ledger.note(Temporary::Snapshot(id.clone()));
            let snapshot = snapshots::show(self.cloud, &id).await?;
            let volume = snapshot.get("volume_id").and_then(Value::as_str).unwrap_or_default().to_owned();
            snapshots.push((volume, id));
        }
        let mut taken = Vec::new();
        for volume in volumes {
            let found = snapshots.iter().find(|(id, _)| id == volume.id()).map(|(_, id)| id.clone());
            let Some(snapshot) = found else {
                return Err(CloudError::BadState {
                    resource: format!("volume {} of server {}", volume.id(), server.id()),
                    state: "left out by Nova".to_owned(),
                    wanted: "snapshotted".to_owned(),
                    detail: " (it may have been attached just now)".to_owned(),
                });
            };
            taken.push((volume, Source::Snapshot(snapshot)));
        }
        self.all_there(&taken).await?;
        let must = is_true(image.get("os_require_quiesce")) && is_true(image.get("hw_qemu_guest_agent"));
        let consistency = match must && server.status() == "ACTIVE" {
            true => Consistency::Quiesced,
            false => Consistency::PerVolume,
        };
        Ok(Frozen { root: None, volumes: taken, consistency, passed_over: None })
    }
}

/// In these states nothing is written to the disks.
fn is_still(status: &str) -> bool {
    matches!(status, "SHUTOFF" | "PAUSED" | "SUSPENDED")
}

/// Whether the image that a volume was made from asks for a frozen guest.
fn wants_quiet(volume: &Volume) -> bool {
    requires_quiet(volume) || is_true(volume.map("volume_image_metadata").get("hw_qemu_guest_agent"))
}

fn requires_quiet(volume: &Volume) -> bool {
    is_true(volume.map("volume_image_metadata").get("os_require_quiesce"))
}

fn is_true(value: Option<&Value>) -> bool {
    let text = value.and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    matches!(text.as_str(), "yes" | "true" | "1" | "on") || value == Some(&Value::Bool(true))
}

/// Ids of the snapshots that an image of a server is made of. Glance keeps the list as text.
fn snapshots_in(image: &Value) -> Vec<String> {
    let rows: Vec<Value> = match image.get("block_device_mapping") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(Value::Array(rows)) => rows.clone(),
        _ => Vec::new(),
    };
    rows.iter().filter_map(|row| row.get("snapshot_id")?.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_snapshots_of_an_image_are_found_in_both_forms() {
        let rows =
            json!([{"snapshot_id": "a", "boot_index": 0}, {"snapshot_id": null}, {"snapshot_id": "b"}]);
        for image in
            [json!({ "block_device_mapping": rows }), json!({"block_device_mapping": rows.to_string()})]
        {
            assert_eq!(snapshots_in(&image), ["a", "b"]);
        }
        assert!(snapshots_in(&json!({})).is_empty());
    }

    #[test]
    fn yes_is_said_in_many_ways() {
        for yes in [json!("yes"), json!("True"), json!(true), json!("1")] {
            assert!(is_true(Some(&yes)), "{yes}");
        }
        for no in [json!("no"), json!(""), json!(null), json!(false)] {
            assert!(!is_true(Some(&no)), "{no}");
        }
        assert!(!is_true(None));
    }
}
