//! What a restore of a project would do, resource by resource, before it does anything.
//!
//! Nothing that exists is changed or removed: what is still there is used or kept, what is gone is created, and what
//! was asked for by name is created beside the old one under a new name.

use super::needs::{can_be_done_without, needs};
use super::topology::{Kind, Resource, ResourceId, Topology};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What of the project is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everything; what still exists is kept.
    Everything,
    /// These and what they need. They are created even when they still exist.
    Chosen(BTreeSet<ResourceId>),
}

/// What the project restored into has, and what its user can see.
#[derive(Clone, Debug, Default)]
pub struct Target {
    pub project_id: String,
    /// Of all resources in the topology, those that can be seen there under their old ids.
    pub present: BTreeSet<ResourceId>,
    /// Of the ports and volumes present, those that a server has.
    pub busy: BTreeSet<ResourceId>,
    /// Ids there by kind and name, for what is found by its name: shared networks, the default security group, keypairs.
    pub named: BTreeMap<(Kind, String), Vec<String>>,
    /// What an earlier restore from the same backup has made, by the old ids.
    pub restored: BTreeMap<ResourceId, String>,
    /// Why the data of a resource cannot be had any more.
    pub damaged: BTreeMap<ResourceId, String>,
    /// Why a resource cannot be there.
    pub conflicts: BTreeMap<ResourceId, String>,
    /// Why this login brings a resource back nowhere, whatever is decided: the rest comes back without it.
    pub impossible: BTreeMap<ResourceId, String>,
    /// The flavor that each server would have there, as Nova lists it.
    pub flavors: BTreeMap<ResourceId, Value>,
    /// The user's own choice of what takes the place of an old resource, by old id or name.
    pub mapped: BTreeMap<(Kind, String), String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    Create {
        /// Name of the new resource.
        name: String,
    },
    /// The place of the old one is taken by this.
    Use { id: String },
    /// Still there, and not touched.
    Keep,
    /// Kept in the backup for reading; no service takes it back.
    Note,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub resource: ResourceId,
    pub name: String,
    pub deed: Deed,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// In the order of doing.
    pub steps: Vec<Step>,
    /// What cannot be restored, with the cause.
    pub refused: Vec<Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub resource: ResourceId,
    pub name: String,
    pub reason: String,
    /// The backup does not have it, or the login may never make it: the rest is restored all the same. Else the user has to decide something, and nothing is
    /// begun before.
    pub is_lost: bool,
}

/// Plans without asking anybody. `suffix` ends the name of what is made beside its older self: `~<time>`.
///
/// # Errors
/// When a chosen resource is not in the topology.
pub fn plan(
    topology: &Topology,
    selection: &Selection,
    target: &Target,
    suffix: &str,
) -> Result<Plan, String> {
    let wanted = wanted(topology, selection)?;
    let chosen = chosen(topology, selection, &wanted, target);
    let mut plan = Plan { steps: Vec::new(), refused: Vec::new() };
    let mut resources: Vec<&Resource> =
        topology.resources.iter().filter(|resource| wanted.contains(&resource.id)).collect();
    resources.sort_by(|a, b| a.id.cmp(&b.id));
    for resource in resources {
        let decided = match missing_need(topology, resource, target, &plan.refused) {
            Some(refusal) => Err(refusal),
            None => decide(topology, resource, target, chosen.contains(&resource.id), suffix),
        };
        match decided {
            Ok((deed, reason)) => plan.steps.push(Step {
                resource: resource.id.clone(),
                name: resource.name.clone(),
                deed,
                reason: reason.to_owned(),
            }),
            Err((reason, is_lost)) => plan.refused.push(Refusal {
                resource: resource.id.clone(),
                name: resource.name.clone(),
                reason,
                is_lost,
            }),
        }
    }
    Ok(plan)
}

/// Why, and whether nobody can decide anything about it ([`Refusal::is_lost`]).
type Why = (String, bool);

/// A resource that is not there and cannot be, and which this one cannot be without.
fn missing_need(
    topology: &Topology,
    resource: &Resource,
    target: &Target,
    refused: &[Refusal],
) -> Option<Why> {
    if target.present.contains(&resource.id) || target.restored.contains_key(&resource.id) {
        return None;
    }
    needs(resource).into_iter().filter(|need| !is_there(need, target)).find_map(|need| {
        if let Some(cause) = refused.iter().find(|refusal| refusal.resource == need) {
            if cause.is_lost && can_be_done_without(topology, resource, &need) {
                return None;
            }
            return Some((format!("it needs {need}, which cannot be restored"), cause.is_lost));
        }
        let is_nowhere = topology.find(&need).is_none() && !can_be_done_without(topology, resource, &need);
        is_nowhere.then(|| match could_not_be_saved(topology, &need) {
            true => (
                format!("it needs {need}, which could not be saved and is not there; map it to another"),
                true,
            ),
            false => (
                format!("it needs {need}, which is neither in the backup nor there; map it to another"),
                false,
            ),
        })
    })
}

fn could_not_be_saved(topology: &Topology, id: &ResourceId) -> bool {
    let is_it = |one: &str| one == id.id;
    topology.missing.iter().any(|missing| missing.kind == id.kind && missing.id.as_deref().is_none_or(is_it))
}

fn wanted(topology: &Topology, selection: &Selection) -> Result<BTreeSet<ResourceId>, String> {
    let Selection::Chosen(chosen) = selection else {
        return Ok(topology.resources.iter().map(|resource| resource.id.clone()).collect());
    };
    let mut wanted = BTreeSet::new();
    let mut open: Vec<ResourceId> = chosen.iter().cloned().collect();
    while let Some(id) = open.pop() {
        match topology.find(&id) {
            Some(resource) if wanted.insert(id.clone()) => open.extend(needs(resource)),
            Some(_) => {}
            None if chosen.contains(&id) => {
                return Err(format!("{id} is not in this backup; its plan lists what is"));
            }
            None => {}
        }
    }
    Ok(wanted)
}

/// What is made even when it exists: what was asked for, and of a server that is made its volumes and ports; but those of one
/// that is gone only when another server has them.
fn chosen(
    topology: &Topology,
    selection: &Selection,
    wanted: &BTreeSet<ResourceId>,
    target: &Target,
) -> BTreeSet<ResourceId> {
    let mut chosen = match selection {
        Selection::Chosen(asked) => asked.clone(),
        Selection::Everything => BTreeSet::new(),
    };
    let servers = wanted.iter().filter(|id| id.kind == Kind::Server).filter_map(|id| topology.find(id));
    for server in servers {
        let is_asked = chosen.contains(&server.id);
        let is_there = target.present.contains(&server.id)
            || target.restored.contains_key(&server.id)
            || mapped(server, target).is_some();
        if !is_asked && is_there {
            continue;
        }
        let parts = needs(server).into_iter().filter(|id| matches!(id.kind, Kind::Port | Kind::Volume));
        chosen.extend(parts.filter(|id| is_asked || target.busy.contains(id)));
    }
    chosen
}

fn decide(
    topology: &Topology,
    resource: &Resource,
    target: &Target,
    is_chosen: bool,
    suffix: &str,
) -> Result<(Deed, &'static str), Why> {
    let kind = resource.id.kind;
    if let Some(id) = mapped(resource, target) {
        return Ok((Deed::Use { id }, "as mapped"));
    }
    if kind == Kind::Stack {
        return Ok((Deed::Note, "its template is kept; its resources are restored as such"));
    }
    if let Some(why) = target.impossible.get(&resource.id) {
        return Err((why.clone(), true));
    }
    if let Some(id) = target.restored.get(&resource.id) {
        return Ok((Deed::Use { id: id.clone() }, "restored before"));
    }
    let is_home = target.project_id == topology.project_id;
    let is_present = target.present.contains(&resource.id) && (is_home || !resource.owned);
    if resource.expects_data() && !resource.is_saved() && (is_chosen || !is_present) {
        let damage = target.damaged.get(&resource.id).cloned();
        return Err((damage.unwrap_or_else(|| "its data could not be saved".to_owned()), true));
    }
    if is_present {
        if kind.has_data() && is_chosen {
            if let Some(conflict) = target.conflicts.get(&resource.id) {
                return Err((conflict.clone(), false));
            }
            let name = format!("{}{suffix}", resource.name);
            return Ok((Deed::Create { name }, "beside the one that is there"));
        }
        if kind == Kind::Port && is_chosen && target.busy.contains(&resource.id) {
            let name = resource.name.clone();
            return Ok((Deed::Create { name }, "the old one is in use: with another address"));
        }
        return Ok(match kind.has_data() && resource.owned {
            true => (Deed::Keep, "still there"),
            false => (Deed::Use { id: resource.id.id.clone() }, "still there"),
        });
    }
    if let Some(conflict) = target.conflicts.get(&resource.id) {
        return Err((conflict.clone(), false));
    }
    if kind == Kind::Container && target.named.contains_key(&(kind, resource.name.clone())) {
        let name = format!("{}{suffix}", resource.name);
        return Ok((Deed::Create { name }, "beside the one of that name"));
    }
    if is_found_by_name(resource)
        && let Some(id) = named(resource, target)?
    {
        return Ok((Deed::Use { id }, "the one of that name"));
    }
    Ok((Deed::Create { name: resource.name.clone() }, "gone"))
}

/// The one of the resource's name; `None`: there is none, and one can be made.
fn named(resource: &Resource, target: &Target) -> Result<Option<String>, Why> {
    let name = &resource.name;
    match target.named.get(&(resource.id.kind, name.clone())).map(Vec::as_slice) {
        Some([id]) => Ok(Some(id.clone())),
        Some([_, ..]) => Err((format!("there are several of the name '{name}'; map it"), false)),
        _ if !resource.owned => {
            let why = format!("it is not this project's, and there is none of the name '{name}'; map it");
            Err((why, false))
        }
        _ => Ok(None),
    }
}

/// What there is one of in each project or cloud.
fn is_found_by_name(resource: &Resource) -> bool {
    !resource.owned
        || matches!(resource.id.kind, Kind::Keypair | Kind::ServerGroup)
        || (resource.id.kind == Kind::SecurityGroup && resource.name == "default")
}

fn mapped(resource: &Resource, target: &Target) -> Option<String> {
    let of = |text: &str| target.mapped.get(&(resource.id.kind, text.to_owned())).cloned();
    of(&resource.id.id).or_else(|| of(&resource.name))
}

fn is_mapped(id: &ResourceId, target: &Target) -> bool {
    target.mapped.contains_key(&(id.kind, id.id.clone()))
}

fn is_there(id: &ResourceId, target: &Target) -> bool {
    target.present.contains(id) || is_mapped(id, target)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let deed = match &step.deed {
                Deed::Create { name } if *name != step.name => format!("create as {name}"),
                Deed::Create { .. } => "create".to_owned(),
                Deed::Use { id } if *id == step.resource.id => "use".to_owned(),
                Deed::Use { id } => format!("use {id}"),
                Deed::Keep => "keep".to_owned(),
                Deed::Note => "note".to_owned(),
            };
            let kind = step.resource.kind.as_str();
            let name = if step.name.is_empty() { &step.resource.id } else { &step.name };
            writeln!(f, "{kind:<14} {name:<28} {deed:<24} {}", step.reason)?;
        }
        for refusal in &self.refused {
            let Refusal { resource, name, reason, .. } = refusal;
            let name = if name.is_empty() { &resource.id } else { name };
            writeln!(f, "{:<14} {name:<28} {:<24} {reason}", resource.kind.as_str(), "REFUSED")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
