//! Saving a project: its topology and the data of what has some, as one set. What cannot be saved is named in the set, and
//! makes it partial.

use super::discover::{Scope, gather};
use super::members::{Data, SavedMember, Work, describe};
use super::options::ProjectOptions;
use super::servers::{Outcomes, strangers, units};
use super::topology::{Kind, Missing, Resource, ResourceId, SAVED_SERVER, Topology, UNREADABLE};
use crate::actions::{ActionError, Done, backup as action};
use crate::openstack::cloud::{Cloud, Service};
use crate::openstack::volume::open_cloud;
use crate::options::typed::{ActionOptions, StorageOptions};
use crate::storages::{Surroundings, open_store};
use freezer_vault::set::{self, NewMember, SetRequest};
use freezer_vault::{BackupReport, FileProblem, Monitor, Weight};
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Services that hardly any cloud is without.
const EVERYWHERE: [Service; 4] = [Service::Nova, Service::Neutron, Service::Glance, Service::Cinder];

pub async fn backup(
    options: &ActionOptions,
    wanted: &ProjectOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let cloud = open_cloud(options, around, &monitor).await?;
    let project = cloud.project_id().await?;
    let scope = Scope {
        project: &project,
        temp_prefix: &options.cloud.temp_prefix,
        own_container: own_container(options),
    };
    let mut topology = gather(&cloud, &scope, around.now_secs).await?;
    check_sight(&cloud, &topology)?;
    topology.exclude(wanted);
    if options.dry_run {
        return Ok(listed(&topology));
    }
    let store = open_store(options, around).await?;
    let work = Work { options, around, cloud, store };
    let saved = members(&work, wanted, &mut topology).await?;
    let mut request = SetRequest::new(&options.hostname, &options.backup_name, around.now_secs);
    request.began = around.began;
    request.members = data(&saved).map(|data| data.named.clone()).collect::<Vec<NewMember>>();
    request.problems = problems(&topology);
    request.problems.extend(keys_of_others(&topology));
    request.problems.extend(withheld(&topology));
    request.problems.extend(warnings(&saved).cloned());
    request.encryption = action::encryption(options)?;
    request.topology = serde_json::to_value(&topology)
        .map_err(|error| ActionError::Failed(format!("the topology: {error}")))?;
    let report = set::save(work.store.clone(), request, monitor).await?;
    Ok(done(&work, report, &topology, &saved))
}

/// That nothing is seen is no backup of nothing when the cause may be that nobody looked in the right place.
fn check_sight(cloud: &Cloud, topology: &Topology) -> Result<(), ActionError> {
    let mut causes: Vec<String> = topology.missing.iter().map(|missing| missing.reason.clone()).collect();
    // Where Neutron is, a project has its default group at least.
    let is_absent = |name: &&str| topology.absent.iter().any(|absent| absent == *name);
    let absent: Vec<&str> = EVERYWHERE.into_iter().map(Service::name).filter(is_absent).collect();
    if !absent.is_empty() {
        let region = cloud.session().options().region.as_deref().unwrap_or("(any)");
        causes.push(format!(
            "there is nothing of the project, and the catalogue has no {} in region {region}; check the region of the login \
             (OS_REGION_NAME)",
            absent.join(", ")
        ));
    }
    if topology.resources.is_empty() && !causes.is_empty() {
        return Err(ActionError::Failed(format!("nothing was saved: {}", causes.join("; "))));
    }
    Ok(())
}

fn data(saved: &BTreeMap<ResourceId, SavedMember>) -> impl Iterator<Item = &Data> {
    saved.values().filter_map(|one| one.data.as_ref())
}

fn warnings(saved: &BTreeMap<ResourceId, SavedMember>) -> impl Iterator<Item = &FileProblem> {
    saved.values().flat_map(|one| &one.warnings)
}

/// The container that the backup itself goes to.
fn own_container(options: &ActionOptions) -> Option<&str> {
    match options.storage {
        StorageOptions::Swift => options.container.split('/').find(|part| !part.is_empty()),
        _ => None,
    }
}

/// Saves all data, several resources at a time, and notes in the topology where they are.
async fn members(
    work: &Work<'_>,
    wanted: &ProjectOptions,
    topology: &mut Topology,
) -> Result<BTreeMap<ResourceId, SavedMember>, ActionError> {
    if wanted.without_objects {
        for container in topology.resources.iter_mut().filter(|one| one.id.kind == Kind::Container) {
            set(container, "without_objects", json!(true));
        }
    }
    let whole = topology.clone();
    let saved: Vec<Outcomes> = stream::iter(units(&whole))
        .map(|unit| async move { Box::pin(unit.save(work)).await })
        .buffer_unordered(work.options.at_once(work.around.parallel_limit))
        .collect()
        .await;
    // Only now: each has tidied up behind itself.
    if work.cloud.monitor().is_cancelled() {
        return Err(ActionError::Aborted);
    }
    let mut kept = BTreeMap::new();
    for (id, outcome) in saved.into_iter().flatten() {
        match outcome {
            Ok(member) => {
                note(topology, &id, &member);
                kept.insert(id, member);
            }
            Err(error) => {
                topology.missing.push(Missing { kind: id.kind, id: Some(id.id), reason: error.to_string() });
            }
        }
    }
    Ok(kept)
}

fn note(topology: &mut Topology, id: &ResourceId, saved: &SavedMember) {
    let Some(resource) = topology.resources.iter_mut().find(|resource| resource.id == *id) else { return };
    resource.backup = saved.data.as_ref().map(|data| data.member.clone());
    if let Some(server) = &saved.server {
        set(resource, SAVED_SERVER, json!(server));
        for volume in strangers(server, topology) {
            let reason = format!("volume {volume} was attached to it while the backup ran, and is not in it");
            topology.missing.push(Missing { kind: id.kind, id: Some(id.id.clone()), reason });
        }
        return;
    }
    if saved.lost.is_empty() {
        return;
    }
    let objects: Vec<&str> = saved.lost.iter().map(|lost| lost.object.as_str()).collect();
    set(resource, "lost_objects", json!(objects));
    topology.missing.extend(saved.lost.iter().map(|lost| Missing {
        kind: id.kind,
        id: Some(id.id.clone()),
        reason: format!("object {}: {}", lost.object, lost.reason),
    }));
}

fn set(resource: &mut Resource, key: &str, value: Value) {
    if let Some(document) = resource.document.as_object_mut() {
        document.insert(key.to_owned(), value);
    }
}

fn problems(topology: &Topology) -> Vec<FileProblem> {
    let problem = |missing: &Missing| FileProblem {
        path: match &missing.id {
            Some(id) => format!("{}/{id}", missing.kind),
            None => missing.kind.to_string(),
        },
        kind: "unreadable".to_owned(),
        weight: Weight::Partial,
        reason: missing.reason.clone(),
    };
    topology.missing.iter().map(problem).collect()
}

/// Keys of servers that the backup does not hold: the user of the login has none of the name, or is another user.
fn keys_of_others(topology: &Topology) -> Vec<FileProblem> {
    let is_told = |id: &ResourceId| topology.find(id).is_some() || topology.excluded.contains(id);
    let servers = topology.resources.iter().filter(|resource| resource.id.kind == Kind::Server);
    let names: BTreeSet<&str> = servers.map(|server| server.text("key_name")).collect();
    let names = names.into_iter().filter(|name| !name.is_empty());
    let lost = names.filter(|name| !is_told(&ResourceId::new(Kind::Keypair, *name)));
    let reason = "a server has it, and it is not saved: keypairs are a user's own, and it is none of this login's user (under a trust \
                  that is the agent's)";
    let problem = |name: &str| FileProblem {
        path: format!("{}/{name}", Kind::Keypair),
        kind: "hidden".to_owned(),
        weight: Weight::Warning,
        reason: reason.to_owned(),
    };
    lost.map(problem).collect()
}

/// Templates of stacks, and what belongs to them, that Heat does not give to this login.
fn withheld(topology: &Topology) -> Vec<FileProblem> {
    let stacks = topology.resources.iter().filter(|resource| resource.id.kind == Kind::Stack);
    let parts = stacks.filter_map(|stack| Some((stack, stack.document.get(UNREADABLE)?.as_object()?)));
    let told = parts.flat_map(|(stack, parts)| {
        parts.iter().map(move |(part, cause)| FileProblem {
            path: format!("{}/{}", Kind::Stack, stack.name),
            kind: "hidden".to_owned(),
            weight: Weight::Warning,
            reason: format!("its {part} is not saved: {}", cause.as_str().unwrap_or_default()),
        })
    });
    told.collect()
}

fn counted(topology: &Topology) -> Map<String, Value> {
    let count = |kind: Kind| topology.resources.iter().filter(|one| one.id.kind == kind && one.owned).count();
    let counts = Kind::ALL.into_iter().map(|kind| (kind.as_str().to_owned(), json!(count(kind))));
    counts.filter(|(_, count)| *count != json!(0)).collect()
}

fn counts_in_words(topology: &Topology) -> String {
    let counts: Vec<String> =
        counted(topology).iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if counts.is_empty() { "no resources".to_owned() } else { counts.join(", ") }
}

fn remarks(topology: &Topology) -> Vec<String> {
    let mut remarks = Vec::new();
    if !topology.absent.is_empty() {
        remarks.push(format!("Not there    {}", topology.absent.join(", ")));
    }
    remarks.extend(topology.excluded.iter().map(|id| format!("Left out     {id}")));
    for problem in problems(topology) {
        remarks.push(format!("MISSING      {}: {}", problem.path, problem.reason));
    }
    remarks
}

/// What would be saved.
fn listed(topology: &Topology) -> Done {
    let mut summary = vec![format!("Would save   {}", counts_in_words(topology))];
    for resource in topology.resources.iter().filter(|resource| resource.owned) {
        let data = if resource.expects_data() { "with its data" } else { "" };
        let kind = resource.id.kind.as_str();
        summary.push(format!("{kind:<14} {:<36} {:<28} {data}", resource.id.id, resource.name));
    }
    summary.extend(remarks(topology));
    summary.extend(keys_of_others(topology).iter().chain(&withheld(topology)).map(action::trouble));
    summary.push("Dry run      nothing was stored".to_owned());
    let mut result = Map::new();
    let resources: Vec<String> = topology.resources.iter().map(|one| one.id.to_string()).collect();
    result.insert(
        "project".into(),
        json!({"dry_run": true, "resources": resources, "missing": topology.missing, "absent": topology.absent}),
    );
    Done { result, summary, partial: false }
}

fn told(resource: &Resource, saved: &SavedMember) -> String {
    let data = saved.data.as_ref().map(|Data { report, .. }| {
        format!(", level {}, {} stored", report.level, action::people(report.bytes_stored))
    });
    let how = saved.server.as_ref().map(|server| format!(", {}", server.consistency));
    let (data, how) = (data.unwrap_or_default(), how.unwrap_or_default());
    format!("Saved        {} '{}'{data}{how}", resource.id, resource.name)
}

fn done(
    work: &Work<'_>,
    report: BackupReport,
    topology: &Topology,
    saved: &BTreeMap<ResourceId, SavedMember>,
) -> Done {
    let sum = |figure: fn(&BackupReport) -> u64| data(saved).map(|one| figure(&one.report)).sum::<u64>();
    let report = BackupReport {
        bytes_read: report.bytes_read + sum(|one| one.bytes_read),
        bytes_stored: report.bytes_stored + sum(|one| one.bytes_stored),
        segments: report.segments + sum(|one| one.segments),
        files: topology.resources.len() as u64,
        ..report
    };
    let mut done = action::done(work.options, work.around, &report);
    // The set's problems are told below, with their kinds.
    done.summary.retain(|line| !line.starts_with("unreadable"));
    done.summary.push(format!("Project      {}: {}", topology.project_id, counts_in_words(topology)));
    let mut members = Vec::new();
    for (id, member) in saved {
        let Some(resource) = topology.find(id) else { continue };
        done.summary.push(told(resource, member));
        done.summary.extend(member.left.iter().map(|what| format!("Left behind  {what}")));
        members.push(describe(resource, member));
    }
    done.summary.extend(warnings(saved).map(action::trouble));
    done.summary.extend(remarks(topology));
    if let Some(Value::Object(metadata)) = done.result.get_mut("backup_metadata") {
        metadata.insert("engine_name".into(), json!("set"));
        metadata.insert("project_id".into(), json!(topology.project_id));
        metadata.insert("resources".into(), Value::Object(counted(topology)));
        metadata.insert("members".into(), json!(members));
        metadata.insert("missing".into(), json!(topology.missing));
        metadata.insert("absent".into(), json!(topology.absent));
        metadata.insert("excluded".into(), json!(topology.excluded));
    }
    done
}
