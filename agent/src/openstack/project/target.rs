//! What there is already in the project that is restored into: what a plan keeps, uses, or makes beside.

use super::discover::{Scope, foreign, gather};
use super::marks::Mark;
use super::options::ProjectOptions;
use super::plan::Target;
use super::topology::{Kind, Resource, ResourceId, Topology};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::glance::images;
use crate::openstack::nova::lookups::{self, KEYS_ARE_ANOTHERS};
use crate::openstack::server::find_flavor;
use serde_json::Value;
use std::collections::BTreeMap;

/// Kinds that are found by their names when the project does not own them.
const FOREIGN: [Kind; 3] = [Kind::Network, Kind::Subnet, Kind::SecurityGroup];

/// Looks; `timestamp` is that of the backup. The second answer is everything that is the project's.
///
/// # Errors
/// Also when a list cannot be had: what cannot be seen would be made a second time.
pub async fn look(
    cloud: &Cloud,
    saved: &Topology,
    (temp_prefix, wanted): (&str, &ProjectOptions),
    timestamp: i64,
) -> Result<(Target, Topology), CloudError> {
    let project = cloud.project_id().await?;
    let scope = Scope { project: &project, temp_prefix, own_container: None };
    let there = gather(cloud, &scope, saved.taken_at).await?;
    // Stacks are never made.
    let is_wanted =
        |kind: Kind| kind != Kind::Stack && saved.resources.iter().any(|resource| resource.id.kind == kind);
    if let Some(unseen) = there.missing.iter().find(|missing| is_wanted(missing.kind)) {
        let cause =
            format!("what of it is there cannot be seen, and would be made a second time: {}", unseen.reason);
        return Err(CloudError::Choice { what: format!("{} in project {project}", unseen.kind), cause });
    }
    check_mapped(cloud, wanted, &there).await?;
    let mut target = Target { project_id: project, mapped: wanted.mapped.clone(), ..Target::default() };
    for resource in &there.resources {
        note(&mut target, resource, timestamp);
    }
    target.restored = restored(saved, &there, timestamp);
    let has_no_keys = cloud.acts_for_another_user().await?;
    for resource in &saved.resources {
        if resource.id.kind == Kind::Keypair && has_no_keys {
            target.impossible.insert(resource.id.clone(), KEYS_ARE_ANOTHERS.to_owned());
        }
        if !resource.owned && FOREIGN.contains(&resource.id.kind) {
            look_for_foreign(cloud, resource, &mut target).await?;
        }
        if resource.id.kind == Kind::Keypair
            && let Some(other) = there.find(&resource.id)
            && other.document.get("public_key") != resource.document.get("public_key")
        {
            let why = format!(
                "there is another keypair of the name '{}'; map it, or remove that one",
                resource.name
            );
            target.present.remove(&resource.id);
            target.conflicts.insert(resource.id.clone(), why);
        }
    }
    look_for_flavors(cloud, saved, wanted, &mut target).await?;
    Ok((target, there))
}

/// What is to take an old one's place must be the project's or shown to it: an administrator's login could use what is others'.
async fn check_mapped(cloud: &Cloud, wanted: &ProjectOptions, there: &Topology) -> Result<(), CloudError> {
    for ((kind, old), new) in &wanted.mapped {
        let id = ResourceId::new(*kind, new.as_str());
        let is_shown = match kind {
            _ if there.find(&id).is_some() => true,
            Kind::Network | Kind::Subnet | Kind::SecurityGroup => foreign::show(cloud, &id).await?.is_some(),
            Kind::Image => is_image_shown(cloud, new, &there.project_id).await?,
            _ => false,
        };
        if !is_shown {
            let what = format!("{kind}/{old}={new} (project_map)");
            let cause = format!("project {} has no {kind} of the id {new}", there.project_id);
            return Err(CloudError::Choice { what, cause });
        }
    }
    Ok(())
}

async fn is_image_shown(cloud: &Cloud, id: &str, project: &str) -> Result<bool, CloudError> {
    match images::show(cloud, id).await {
        Ok(image) => images::is_for(cloud, &image, project).await,
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// A server whose flavor is not there is a conflict: somebody has to choose another.
async fn look_for_flavors(
    cloud: &Cloud,
    saved: &Topology,
    wanted: &ProjectOptions,
    target: &mut Target,
) -> Result<(), CloudError> {
    let is_server = |resource: &&Resource| resource.id.kind == Kind::Server && resource.is_saved();
    let servers: Vec<&Resource> = saved.resources.iter().filter(is_server).collect();
    if servers.is_empty() {
        return Ok(());
    }
    let flavors = match lookups::flavors(cloud).await {
        Err(CloudError::Aborted) => return Err(CloudError::Aborted),
        other => other,
    };
    for server in servers {
        let old = server.document.get("flavor").and_then(Value::as_object).cloned().unwrap_or_default();
        let wish = wanted.flavor_of(server);
        let found = flavors.as_ref().map_err(ToString::to_string).and_then(|flavors| {
            find_flavor(flavors, &old, wish.as_deref()).map_err(|error| error.to_string())
        });
        match found {
            Ok(flavor) => drop(target.flavors.insert(server.id.clone(), flavor.clone())),
            Err(why) => drop(target.conflicts.insert(server.id.clone(), why)),
        }
    }
    Ok(())
}

fn note(target: &mut Target, resource: &Resource, timestamp: i64) {
    if resource.id.kind == Kind::Container && Mark::is_begun(&resource.document, timestamp) {
        return;
    }
    target.present.insert(resource.id.clone());
    let attachments = resource.document.get("attachments").and_then(Value::as_array);
    let is_busy = match resource.id.kind {
        Kind::Port => !resource.text("device_id").is_empty(),
        Kind::Volume => attachments.is_some_and(|rows| !rows.is_empty()),
        _ => false,
    };
    if is_busy {
        target.busy.insert(resource.id.clone());
    }
    if resource.owned {
        let key = (resource.id.kind, resource.name.clone());
        target.named.entry(key).or_default().push(resource.id.id.clone());
    }
}

/// By the marks of what is there.
fn restored(saved: &Topology, there: &Topology, timestamp: i64) -> BTreeMap<ResourceId, String> {
    let keys: BTreeMap<(Kind, String), &ResourceId> =
        saved.resources.iter().map(|one| ((one.id.kind, Mark::key(&one.id.id)), &one.id)).collect();
    let made = there.resources.iter().filter(|resource| resource.owned).filter_map(|resource| {
        let key = Mark::old_of(&resource.document, timestamp)?;
        let old = *keys.get(&(resource.id.kind, key))?;
        Some((old.clone(), resource.id.id.clone()))
    });
    made.collect()
}

/// By its id, else by its name among all that can be seen.
async fn look_for_foreign(cloud: &Cloud, resource: &Resource, target: &mut Target) -> Result<(), CloudError> {
    if target.present.contains(&resource.id) {
        return Ok(());
    }
    if foreign::show(cloud, &resource.id).await?.is_some() {
        target.present.insert(resource.id.clone());
        return Ok(());
    }
    if resource.name.is_empty() {
        return Ok(());
    }
    let ids = foreign::named(cloud, resource.id.kind, &resource.name).await?;
    let own = target.named.entry((resource.id.kind, resource.name.clone())).or_default();
    for id in ids {
        if !own.contains(&id) {
            own.push(id);
        }
    }
    if own.is_empty() {
        target.named.remove(&(resource.id.kind, resource.name.clone()));
    }
    Ok(())
}
