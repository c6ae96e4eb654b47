//! Action backup of mode nova: each server is a set of its own. One that fails among several makes the backup partial, never
//! silently less.

use super::save::{DiskChain, Saved, Saving, Volumes, save, take_back};
use super::{chain_of_one, pick};
use crate::actions::backup::{people, trouble};
use crate::actions::{ActionError, Done, backup as action};
use crate::openstack::cloud::Cloud;
use crate::openstack::volume::{chain, open_cloud};
use crate::options::medium::ServerPick;
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_storage::Store;
use freezer_vault::set::{self, SetRequest};
use freezer_vault::{BackupReport, Engine, Hbn, Monitor, VaultError};
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub async fn backup(
    options: &ActionOptions,
    pick: &ServerPick,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let cloud = open_cloud(options, around, &monitor).await?;
    let chosen = pick::chosen(&cloud, pick).await?;
    let ids: Vec<String> = chosen.iter().map(|server| server.id().to_owned()).collect();
    if options.dry_run {
        return Ok(planned(&ids));
    }
    if let (ServerPick::One(_), [id]) = (pick, ids.as_slice()) {
        let store = open_store(options, around).await?;
        return one(options, around, (&cloud, &store), id).await;
    }
    several(options, around, &cloud, &ids).await
}

/// As many at a time as action and host allow, each frozen for itself. They share one store, and so the limits of the host.
async fn several(
    options: &ActionOptions,
    around: &Surroundings,
    cloud: &Cloud,
    ids: &[String],
) -> Result<Done, ActionError> {
    let store = &open_store(options, around).await?;
    let made: BTreeMap<&String, Result<Done, ActionError>> = stream::iter(ids)
        .map(|id| async move {
            let own = chain_of_one(options, id);
            (id, Box::pin(one(&own, around, (cloud, store), id)).await)
        })
        .buffer_unordered(options.at_once(around.parallel_limit))
        .collect()
        .await;
    // Only now: each has tidied up behind itself.
    if cloud.monitor().is_cancelled() {
        return Err(ActionError::Aborted);
    }
    let (mut saved, mut summary, mut failed) = (Map::new(), Vec::new(), Vec::new());
    let mut is_partial = false;
    for (id, outcome) in made {
        match outcome {
            Ok(done) => {
                is_partial |= done.partial;
                summary.extend(done.summary);
                saved.insert(id.clone(), done.result.get("backup_metadata").cloned().unwrap_or_default());
            }
            Err(error) => failed.push(format!("server {id}: {error}")),
        }
    }
    if saved.is_empty() {
        let cause = if failed.is_empty() { "no server fits".to_owned() } else { failed.join("; ") };
        return Err(ActionError::Failed(format!("nothing was saved: {cause}")));
    }
    summary.extend(failed.iter().map(|what| format!("FAILED       {what}")));
    let mut metadata = saved.values().next().and_then(Value::as_object).cloned().unwrap_or_default();
    for key in ["nova_inst_id", "server_name", "disks", "consistency", "notes"] {
        metadata.remove(key);
    }
    for key in ["bytes_read", "bytes_stored"] {
        let sum: u64 = saved.values().filter_map(|row| row.get(key)?.as_u64()).sum();
        metadata.insert(key.into(), json!(sum));
    }
    metadata.insert("backup_name".into(), json!(options.backup_name));
    metadata.insert("servers".into(), Value::Object(saved));
    metadata.insert("is_partial".into(), json!(is_partial || !failed.is_empty()));
    metadata.insert("failed".into(), json!(failed));
    let mut result = Map::new();
    result.insert("backup_metadata".into(), Value::Object(metadata));
    Ok(Done { result, summary, partial: is_partial || !failed.is_empty() })
}

/// One server and the set that names its disks.
async fn one(
    options: &ActionOptions,
    around: &Surroundings,
    (cloud, store): (&Cloud, &Arc<dyn Store>),
    id: &str,
) -> Result<Done, ActionError> {
    let (name, in_cluster) = (options.backup_name.clone(), chain(options, cloud).await?);
    let chain_of =
        move |role: &str| DiskChain { backup_name: format!("{name}_{role}"), in_cluster: in_cluster.clone() };
    let mut disks = action::image_request(options, around)?;
    disks.part_of = Some(Hbn::of(Engine::Set, &options.hostname, &options.backup_name)?.to_string());
    let work = Saving {
        cloud: cloud.clone(),
        store: store.clone(),
        monitor: cloud.monitor().clone(),
        ceph: around.ceph.clone(),
        disks,
        chain_of: Box::new(chain_of),
        temp_prefix: options.cloud.temp_prefix.clone(),
        group_types: options.cloud.group_types.clone(),
        run_id: around.run_id.clone(),
    };
    let saved = save(&work, id, &Volumes::All).await?;
    let report = match name_them(options, &work, &saved).await {
        Ok(report) => report,
        Err(error) => {
            take_back(&work, &saved.disks).await;
            return Err(error.into());
        }
    };
    Ok(done(options, around, &report, &saved))
}

async fn name_them(
    options: &ActionOptions,
    work: &Saving,
    saved: &Saved,
) -> Result<BackupReport, VaultError> {
    let mut request = SetRequest::new(&options.hostname, &options.backup_name, work.disks.now_secs);
    request.began = work.disks.began;
    request.members = saved.members()?;
    request.topology = saved.description.to_value();
    request.problems = saved.problems.clone();
    request.encryption = work.disks.encryption.clone();
    let own = Arc::new(Monitor::with_token(work.monitor.token().child_token()));
    set::save(work.store.clone(), request, own).await
}

fn done(options: &ActionOptions, around: &Surroundings, report: &BackupReport, saved: &Saved) -> Done {
    let server = &saved.description;
    let sum = |of: fn(&BackupReport) -> u64| saved.disks.iter().map(|(_, report)| of(report)).sum::<u64>();
    let (read, stored) = (sum(|report| report.bytes_read), sum(|report| report.bytes_stored));
    let level = saved.disks.iter().map(|(_, report)| report.level).max().unwrap_or_default();
    let mut done = action::done(options, around, report);
    let set = report.hbn.as_str();
    done.summary = vec![
        format!("Backup       {set}: server {} '{}', {}", server.id, server.name, server.consistency),
        format!("Read         {} from {} disks", people(read), saved.disks.len()),
        format!(
            "Stored       {}, {}",
            people(stored),
            if report.encrypted { "encrypted" } else { "in clear" }
        ),
    ];
    let mut disks = Map::new();
    for (role, report) in &saved.disks {
        done.summary.push(format!("Disk         {role} level {} ({})", report.level, report.level_reason));
        disks.insert(
            role.clone(),
            json!({
                "level": report.level, "time_stamp": report.timestamp, "bytes_read": report.bytes_read,
                "bytes_stored": report.bytes_stored, "size_bytes": report.image_bytes,
            }),
        );
    }
    done.summary.extend(saved.problems.iter().map(trouble));
    done.summary.extend(saved.left.iter().map(|what| format!("Left behind  {what}")));
    if let Some(Value::Object(metadata)) = done.result.get_mut("backup_metadata") {
        metadata.insert("curr_backup_level".into(), json!(level));
        metadata.insert("engine_name".into(), json!("nova"));
        metadata.insert("nova_inst_id".into(), json!(server.id));
        metadata.insert("server_name".into(), json!(server.name));
        metadata.insert("consistency".into(), json!(server.consistency));
        metadata.insert("bytes_read".into(), json!(read));
        metadata.insert("bytes_stored".into(), json!(stored));
        metadata.insert("files".into(), json!(saved.disks.len()));
        metadata.insert("disks".into(), Value::Object(disks));
        if !saved.problems.is_empty() {
            let notes: Vec<&str> = saved.problems.iter().map(|problem| problem.reason.as_str()).collect();
            metadata.insert("notes".into(), json!(notes));
        }
    }
    done
}

fn planned(ids: &[String]) -> Done {
    let mut result = Map::new();
    result.insert("plan".into(), json!({ "servers": ids }));
    let mut summary: Vec<String> = ids.iter().map(|id| format!("Would save   server {id}")).collect();
    summary.push("Dry run      nothing was made".to_owned());
    Done { result, summary, partial: false }
}
