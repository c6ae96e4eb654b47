//! Temporary resources of a project, whoever they are of: what is found by its tag.

use super::tag::{MARK, Process, age_secs, parts_in, process_of, text};
use super::{KEYS, Temporary, written_over};
use crate::openstack::barbican;
use crate::openstack::cinder::{groups, snapshots, volumes};
use crate::openstack::cloud::{Cloud, Service};
use crate::openstack::error::CloudError;
use crate::openstack::glance::images;
use crate::openstack::neutron::ports;
use crate::openstack::nova::servers;
use chrono::Utc;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Those of the project whose process fits, the ones that depend on others first. With a server goes what was made for it; what a
/// server has that stays, stays.
pub(super) async fn find(
    cloud: &Cloud,
    prefix: &str,
    fits: impl Fn(&Process, i64) -> bool,
) -> Result<Vec<Temporary>, CloudError> {
    let project = cloud.project_id().await?;
    let now = Utc::now();
    let wanted = |row: &Value, tags: &Map<String, Value>| {
        let process = process_of(row, tags, prefix)?;
        fits(&process, age_secs(row, now)).then(|| text(row, "id").to_owned())
    };
    let wanted_key = |row: &Value| {
        let process = process_of(row, &Map::new(), KEYS)?;
        fits(&process, age_secs(row, now)).then(|| text(row, "id").to_owned())
    };
    let of_images = [("owner", project.as_str()), ("visibility", "private")];
    let (servers, ports, images, backups, volumes, snapshots, of_groups, keys) = tokio::join!(
        of_servers(cloud, &project, &wanted),
        of_ports(cloud, &project),
        images::list(cloud, &of_images),
        of_backups(cloud, &wanted),
        volumes::list(cloud),
        snapshots::list(cloud),
        of_groups(cloud, &wanted),
        of_keys(cloud, wanted_key),
    );
    let volumes = volumes?;
    let goes = |row: &Value, tags: &Map<String, Value>| {
        let id = text(row, "id");
        wanted(row, tags).or_else(|| servers.parts.contains(id).then(|| id.to_owned()))
    };
    let is_kept = |id: &str| servers.kept.contains(id);
    let mut found: Vec<Temporary> = servers.left.iter().cloned().map(Temporary::Server).collect();
    for row in ports.iter().filter(|row| !is_kept(text(row, "device_id"))) {
        found.extend(goes(row, &Map::new()).map(Temporary::Port));
    }
    // Without the image that is just being written over a volume, that would end in error.
    let under_way = volumes.iter().filter(|volume| volume.status() == "downloading");
    let read_now: Vec<String> =
        under_way.map(|volume| format!("{prefix}{}{MARK}", written_over(volume.id()))).collect();
    let is_read = |row: &Value| read_now.iter().any(|start| text(row, "name").starts_with(start));
    for row in images?.into_iter().filter(|row| !is_read(row) && !is_kept(text(row, "id"))) {
        let tags = row.as_object().cloned().unwrap_or_default();
        found.extend(goes(&row, &tags).map(Temporary::Image));
    }
    found.extend(backups);
    for volume in volumes {
        let mut attachments = volume.attachments().into_iter();
        if !attachments.any(|row| is_kept(text(row, "server_id"))) {
            found.extend(goes(&volume.document, &volume.map("metadata")).map(Temporary::Volume));
        }
    }
    found.extend(of_groups);
    // Those of a group go with it.
    let is_alone = |row: &Value| row.get("group_snapshot_id").is_none_or(Value::is_null);
    for row in snapshots?.into_iter().filter(is_alone) {
        let tags = row.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
        found.extend(wanted(&row, &tags).map(Temporary::Snapshot));
    }
    found.extend(keys);
    Ok(found)
}

/// Backups of Cinder's whose agent was gone or had to go before they were done. Those that are still being made are left alone:
/// Cinder removes none of these.
async fn of_backups(
    cloud: &Cloud,
    wanted: impl Fn(&Value, &Map<String, Value>) -> Option<String>,
) -> Vec<Temporary> {
    match cloud.rows(Service::Cinder, ("/backups/detail", "backups"), &[]).await {
        Ok(rows) => {
            let done = rows.iter().filter(|row| matches!(text(row, "status"), "available" | "error"));
            let ids = done.filter_map(|row| wanted(row, row.get("metadata")?.as_object()?));
            ids.map(Temporary::Backup).collect()
        }
        Err(error) => {
            not_seen("backups", &error);
            Vec::new()
        }
    }
}

/// Snapshots of groups. A Cinder that knows no groups has none.
async fn of_groups(
    cloud: &Cloud,
    wanted: impl Fn(&Value, &Map<String, Value>) -> Option<String>,
) -> Vec<Temporary> {
    match groups::list_snapshots(cloud).await {
        Ok(rows) => {
            let ids = rows.iter().filter_map(|row| wanted(row, &Map::new()));
            ids.map(Temporary::GroupSnapshot).collect()
        }
        Err(error) => {
            not_seen("snapshots of groups", &error);
            Vec::new()
        }
    }
}

/// Keys that were made for volumes that should come back. One without an end is Cinder's, whatever its name is: a volume needs it.
async fn of_keys(cloud: &Cloud, wanted: impl Fn(&Value) -> Option<String>) -> Vec<Temporary> {
    match barbican::list_ending(cloud).await {
        Ok(rows) => rows.iter().filter_map(wanted).map(Temporary::Secret).collect(),
        Err(error) => {
            not_seen("keys", &error);
            Vec::new()
        }
    }
}

/// Servers of the project.
#[derive(Default)]
struct Servers {
    /// Ids of those that go.
    left: Vec<String>,
    /// Ids of what was made for these. Only what the project's own lists hold of it is removed: anybody can write metadata.
    parts: BTreeSet<String>,
    /// Ids of those that stay, and of their images.
    kept: BTreeSet<String>,
}

/// Servers that were made for a restore, and the others. A cloud that has no Nova has none.
async fn of_servers(
    cloud: &Cloud,
    project: &str,
    wanted: impl Fn(&Value, &Map<String, Value>) -> Option<String>,
) -> Servers {
    let mut found = Servers::default();
    match servers::list(cloud, &[]).await {
        Ok(rows) => {
            for server in rows.iter().filter(|server| server.project_id() == project) {
                let tags = server.map("metadata");
                match wanted(&server.document, &tags) {
                    Some(id) => {
                        found.left.push(id);
                        found.parts.extend(parts_in(&tags).map(str::to_owned));
                    }
                    None => {
                        let ids = [Some(server.id()), server.image_id()];
                        found.kept.extend(ids.into_iter().flatten().map(str::to_owned));
                    }
                }
            }
        }
        Err(error) => not_seen("servers", &error),
    }
    found
}

/// Ports of the project. A cloud that has no Neutron has none.
async fn of_ports(cloud: &Cloud, project: &str) -> Vec<Value> {
    match ports::list(cloud, &[("project_id", project)]).await {
        Ok(rows) => rows,
        Err(error) => {
            not_seen("ports", &error);
            Vec::new()
        }
    }
}

/// What could not be looked for is nowhere in sight, and may be there all the same.
fn not_seen(what: &str, error: &CloudError) {
    if error.is_lack() {
        tracing::debug!("looking for {what} that were left: {error}");
    } else {
        tracing::warn!("{what} that were left stay until the next agent looks for them: {error}");
    }
}
