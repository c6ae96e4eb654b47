//! Action restore of mode nova: from a set to a new server, or from the sets of several to all of them.

use super::bring_back::{BringingBack, DiskLevel, Restored, Wishes, bring_back};
use super::chain_of_one;
use super::description::ServerDescription;
use super::place::NetworkChoice;
use super::plan::plan;
use crate::actions::{ActionError, Done};
use crate::openstack::cloud::Cloud;
use crate::openstack::volume::open_cloud;
use crate::options::cloud::VolumeTarget;
use crate::options::medium::{Pick, ServerPick};
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_storage::Store;
use freezer_vault::set::{self, SetContent, SetReadRequest};
use freezer_vault::{Monitor, VaultError};
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A set and what it says of its server.
struct Found {
    content: SetContent,
    server: ServerDescription,
}

pub async fn restore(
    options: &ActionOptions,
    pick: &ServerPick,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    if options.cloud.volume_target != VolumeTarget::New {
        return Err(ActionError::Failed(
            "a server cannot be written over; leave overwrite and cinder_restore_to out, and a new one is made"
                .to_owned(),
        ));
    }
    let networks = options.cloud.network.as_deref().map(NetworkChoice::parse).transpose();
    let networks = networks.map_err(|cause| ActionError::Failed(format!("nova_restore_network: {cause}")))?;
    let store = open_store(options, around).await?;
    let (found, mut failed) = match pick {
        ServerPick::One(Pick::Name(_)) => named(options, pick, &store).await?,
        ServerPick::One(pick) => (vec![one(options, pick, &store).await?], Vec::new()),
        pick => several(options, pick, &store).await?,
    };
    let is_one = matches!(pick, ServerPick::One(_)) && found.len() == 1 && failed.is_empty();
    if options.cloud.restore_name.is_some() && found.len() > 1 {
        return Err(ActionError::Failed(format!(
            "restore_name cannot be the name of {} servers; name one by nova_inst_id, or leave it out",
            found.len()
        )));
    }
    let networks = networks.unwrap_or_default();
    let cloud = open_cloud(options, around, &monitor).await?;
    if options.dry_run {
        return planned(&cloud, options, is_one, &networks, &found, failed).await;
    }
    let work = BringingBack {
        cloud,
        store,
        monitor: monitor.clone(),
        ceph: around.ceph.clone(),
        hostname: options.hostname.clone(),
        pass_phrase: options.pass_phrase()?,
        temp_prefix: options.cloud.temp_prefix.clone(),
        run_id: around.run_id.clone(),
    };
    let (work, networks) = (&work, &networks);
    let made: Vec<(&Found, Result<Restored, ActionError>)> = stream::iter(&found)
        .map(|found| async move { (found, Box::pin(again(work, options, networks, found)).await) })
        .buffer_unordered(options.at_once(around.parallel_limit))
        .collect()
        .await;
    let mut restored = Vec::new();
    for (found, made) in made {
        match made {
            Ok(made) => restored.push(made),
            Err(ActionError::Aborted) => return Err(ActionError::Aborted),
            Err(error) if is_one => return Err(error),
            Err(error) => failed.push(format!("server {}: {error}", found.server.id)),
        }
    }
    done(is_one, &found, restored, failed)
}

/// One server as a new one.
async fn again(
    work: &BringingBack,
    options: &ActionOptions,
    networks: &NetworkChoice,
    found: &Found,
) -> Result<Restored, ActionError> {
    bring_back(work, &found.server, &levels(found), &wishes(options, networks, found)).await
}

fn wishes(options: &ActionOptions, networks: &NetworkChoice, found: &Found) -> Wishes {
    Wishes {
        name: name(options, found),
        suffix: format!("~{}", found.content.timestamp),
        flavor: options.cloud.flavor.clone(),
        networks: networks.clone(),
        ..Wishes::default()
    }
}

fn levels(found: &Found) -> Vec<DiskLevel> {
    found.content.members.iter().map(DiskLevel::of).collect()
}

fn name(options: &ActionOptions, found: &Found) -> String {
    let usual = || format!("{}~{}", found.server.name, found.content.timestamp);
    options.cloud.restore_name.clone().unwrap_or_else(usual)
}

/// The set of this name, or that of the one server among several that were saved together. It has both when it was alone of a name
/// at other times: the newer one.
async fn one(options: &ActionOptions, pick: &Pick, store: &Arc<dyn Store>) -> Result<Found, ActionError> {
    let found = read(options, store).await;
    if let Pick::Id(id) = pick {
        match (read(&chain_of_one(options, id), store).await, &found) {
            (Err(ActionError::Vault(VaultError::NoBackup { .. })), _) => {}
            (Ok(among), Ok(alone)) if alone.server.id == *id && is_newer(alone, &among) => {}
            (among, Err(error)) if !matches!(error, ActionError::Vault(VaultError::NoBackup { .. })) => {
                tracing::warn!("backup {} is passed over: {error}", options.backup_name);
                return among;
            }
            (among, _) => return among,
        }
    }
    let found = found?;
    let (is_it, wanted) = match pick {
        Pick::Id(id) => (found.server.id == *id, id.as_str()),
        Pick::Name(name) => (found.server.name == *name, name.as_str()),
        Pick::Unnamed => (true, ""),
    };
    if is_it {
        return Ok(found);
    }
    Err(ActionError::Failed(format!(
        "backup {} is of server {} '{}' and not of {wanted}; leave nova_inst_id and nova_inst_name out, or name the right backup",
        found.content.hbn, found.server.id, found.server.name
    )))
}

fn is_newer(one: &Found, other: &Found) -> bool {
    one.content.timestamp > other.content.timestamp
}

/// Those of all servers of a name, and which of them cannot be read. Of a server that was saved alone and among several the newer one.
async fn named(
    options: &ActionOptions,
    pick: &ServerPick,
    store: &Arc<dyn Store>,
) -> Result<(Vec<Found>, Vec<String>), ActionError> {
    let (mut all, mut failed) = among_several(options, pick, store).await?;
    if let (true, true, ServerPick::One(name)) = (all.is_empty(), failed.is_empty(), pick) {
        return Ok((vec![one(options, name, store).await?], failed));
    }
    match read(options, store).await {
        Ok(alone) if fits(&alone.server, pick) => {
            all.retain(|other| other.server.id != alone.server.id || !is_newer(&alone, other));
            if all.iter().all(|other| other.server.id != alone.server.id) {
                all.push(alone);
            }
        }
        Ok(_) | Err(ActionError::Vault(VaultError::NoBackup { .. })) => {}
        Err(error) => failed.push(format!("backup {}: {error}", options.backup_name)),
    }
    some(options, all, failed)
}

async fn several(
    options: &ActionOptions,
    pick: &ServerPick,
    store: &Arc<dyn Store>,
) -> Result<(Vec<Found>, Vec<String>), ActionError> {
    let (all, failed) = among_several(options, pick, store).await?;
    some(options, all, failed)
}

/// Those of several that fit, and which of them cannot be read.
async fn among_several(
    options: &ActionOptions,
    pick: &ServerPick,
    store: &Arc<dyn Store>,
) -> Result<(Vec<Found>, Vec<String>), ActionError> {
    let beginning = format!("{}_{}", options.hostname, super::several(options));
    let names = super::sets(options, pick, store).await?;
    let ids = names.iter().filter_map(|hbn| hbn.as_str().strip_prefix(&beginning));
    let (mut all, mut failed) = (Vec::new(), Vec::new());
    for id in ids {
        match read(&chain_of_one(options, id), store).await {
            Ok(found) if fits(&found.server, pick) => all.push(found),
            Ok(_) => {}
            // It was not there yet at the date.
            Err(ActionError::Vault(VaultError::NoBackup { .. })) if options.restore_from_date.is_some() => {}
            Err(error) => failed.push(format!("server {id}: {error}")),
        }
    }
    Ok((all, failed))
}

/// # Errors
/// When there is nothing to restore.
fn some(
    options: &ActionOptions,
    all: Vec<Found>,
    failed: Vec<String>,
) -> Result<(Vec<Found>, Vec<String>), ActionError> {
    if all.is_empty() {
        let beginning = format!("{}_{}", options.hostname, super::several(options));
        let cause = match failed.is_empty() {
            true => format!("no backup {beginning}<id> is of such a server"),
            false => failed.join("; "),
        };
        return Err(ActionError::Failed(format!("nothing was restored: {cause}")));
    }
    Ok((all, failed))
}

/// As the server was when it was saved. A project's servers come back into whatever project the login is for.
fn fits(server: &ServerDescription, pick: &ServerPick) -> bool {
    match pick {
        ServerPick::One(Pick::Name(name)) => server.name == *name,
        ServerPick::One(_) | ServerPick::Project(_) => true,
        ServerPick::Tag(tag) => server.tags.contains(tag),
        ServerPick::Metadata(key, value) => {
            server.metadata.get(key).and_then(Value::as_str) == Some(value.as_str())
        }
    }
}

async fn read(options: &ActionOptions, store: &Arc<dyn Store>) -> Result<Found, ActionError> {
    let mut request = SetReadRequest::new(&options.hostname, &options.backup_name);
    request.not_after_secs = options.restore_from_date;
    request.pass_phrase = options.pass_phrase()?;
    let content = set::read(store, &request).await?;
    let says =
        |text: String| ActionError::Failed(format!("backup {} at {} {text}", content.hbn, content.timestamp));
    if let Some(missing) = content.missing.first() {
        let role = &missing.member.role;
        return Err(says(format!(
            "cannot be restored: of disk {role}, {}; restore an older date",
            missing.cause
        )));
    }
    let server = ServerDescription::from_value(&content.topology)
        .ok_or_else(|| says("is not that of a server".to_owned()))?;
    Ok(Found { content, server })
}

/// What would come back, found out in the cloud as the restore itself does it. Of several servers, one that cannot come back is told
/// with its cause among the others.
async fn planned(
    cloud: &Cloud,
    options: &ActionOptions,
    is_one: bool,
    networks: &NetworkChoice,
    found: &[Found],
    mut failed: Vec<String>,
) -> Result<Done, ActionError> {
    let (mut summary, mut rows) = (Vec::new(), Vec::new());
    for one in found {
        let set = &one.content;
        let planned =
            match plan(cloud, (&one.server, set.timestamp), &levels(one), &wishes(options, networks, one))
                .await
            {
                Ok(planned) => planned,
                Err(error) if is_one => return Err(error.into()),
                Err(error) => {
                    failed.push(format!("server {}: {error}", one.server.id));
                    continue;
                }
            };
        summary.push(format!("Would restore {} as of {}", set.hbn, set.timestamp));
        summary.extend(planned.lines);
        rows.push(planned.document);
    }
    if rows.is_empty() {
        return Err(ActionError::Failed(format!("nothing can be restored: {}", failed.join("; "))));
    }
    summary.extend(failed.iter().map(|what| format!("WOULD FAIL   {what}")));
    summary.push("Dry run      nothing was made".to_owned());
    let mut result = Map::new();
    result.insert("restore".into(), json!({"dry_run": true, "servers": rows, "failed": failed}));
    Ok(Done { result, summary, partial: !failed.is_empty() })
}

fn done(
    is_one: bool,
    found: &[Found],
    restored: Vec<Restored>,
    failed: Vec<String>,
) -> Result<Done, ActionError> {
    if restored.is_empty() {
        return Err(ActionError::Failed(format!("nothing was restored: {}", failed.join("; "))));
    }
    let mut summary = Vec::new();
    for one in &restored {
        let set = found.iter().find(|found| found.server.id == one.server_of_backup);
        let set = set.map(|found| format!("{} as of {}", found.content.hbn, found.content.timestamp));
        summary.push(format!("Restored     {}", set.unwrap_or_default()));
        summary.push(format!("Server       {} '{}'", one.server_id, one.name));
        summary.extend(one.notes.iter().chain(&one.left).map(|note| format!("Note         {note}")));
        summary.extend(one.missing.iter().map(|what| format!("MISSING      {what}")));
    }
    summary.extend(failed.iter().map(|what| format!("FAILED       {what}")));
    let partial = !failed.is_empty() || restored.iter().any(|one| !one.missing.is_empty());
    let mut result = Map::new();
    let document = match (is_one, restored.as_slice()) {
        (true, [one]) => json!(one),
        _ => json!({"servers": restored, "failed": failed}),
    };
    result.insert("restore".into(), document);
    Ok(Done { result, summary, partial })
}
