//! Temporary resources of a project, whoever they are of: what is found by its tag.

use super::tag::{MARK, Process, age_secs, process_of, text};
use super::{Temporary, written_over};
use crate::openstack::cinder::{groups, snapshots, volumes};
use crate::openstack::cloud::{Cloud, Service};
use crate::openstack::error::CloudError;
use crate::openstack::glance::images;
use crate::openstack::neutron::ports;
use crate::openstack::nova::servers;
use chrono::Utc;
use serde_json::{Map, Value};

/// Those of the project whose process fits, the ones that depend on others first.
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
    let of_images = [("owner", project.as_str()), ("visibility", "private")];
    let (mut found, images, backups, volumes, snapshots, of_groups) = tokio::join!(
        of_servers(cloud, &project, &wanted),
        images::list(cloud, &of_images),
        of_backups(cloud, &wanted),
        volumes::list(cloud),
        snapshots::list(cloud),
        of_groups(cloud, &wanted),
    );
    let volumes = volumes?;
    // Without the image that is just being written over a volume, that would end in error.
    let under_way = volumes.iter().filter(|volume| volume.status() == "downloading");
    let read_now: Vec<String> =
        under_way.map(|volume| format!("{prefix}{}{MARK}", written_over(volume.id()))).collect();
    let is_read = |row: &Value| read_now.iter().any(|start| text(row, "name").starts_with(start));
    for row in images?.into_iter().filter(|row| !is_read(row)) {
        let tags = row.as_object().cloned().unwrap_or_default();
        found.extend(wanted(&row, &tags).map(Temporary::Image));
    }
    found.extend(backups);
    for volume in volumes {
        found.extend(wanted(&volume.document, &volume.map("metadata")).map(Temporary::Volume));
    }
    found.extend(of_groups);
    // Those of a group go with it.
    let is_alone = |row: &Value| row.get("group_snapshot_id").is_none_or(Value::is_null);
    for row in snapshots?.into_iter().filter(is_alone) {
        let tags = row.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
        found.extend(wanted(&row, &tags).map(Temporary::Snapshot));
    }
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
            tracing::debug!("looking for backups that were left: {error}");
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
            tracing::debug!("looking for snapshots of groups that were left: {error}");
            Vec::new()
        }
    }
}

/// Servers and ports that were made for a restore. A cloud that has neither Nova nor Neutron has none.
async fn of_servers(
    cloud: &Cloud,
    project: &str,
    wanted: impl Fn(&Value, &Map<String, Value>) -> Option<String>,
) -> Vec<Temporary> {
    let mut found = Vec::new();
    let of_ports = [("project_id", project)];
    let (servers, ports) = tokio::join!(servers::list(cloud, &[]), ports::list(cloud, &of_ports));
    match servers {
        Ok(rows) => {
            let rows = rows.iter().filter(|server| server.project_id() == project);
            let ids = rows.filter_map(|server| wanted(&server.document, &server.map("metadata")));
            found.extend(ids.map(Temporary::Server));
        }
        Err(error) => tracing::debug!("looking for servers that were left: {error}"),
    }
    match ports {
        Ok(rows) => found.extend(rows.iter().filter_map(|row| wanted(row, &Map::new())).map(Temporary::Port)),
        Err(error) => tracing::debug!("looking for ports that were left: {error}"),
    }
    found
}
