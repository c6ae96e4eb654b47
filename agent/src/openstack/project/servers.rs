//! Servers of a project: each is saved by mode nova together with the volumes attached to it, all at one point in time; and is
//! made again from the volumes, ports and keys that the restore of the project has made before it.
//!
//! A volume is saved once: by the first server it is attached to, or for itself when it is attached to none, or when its server
//! could not be saved.

use super::marks::Mark;
use super::members::{Data, Restored, SavedMember, Work};
use super::requests::Mapping;
use super::topology::{Kind, Resource, ResourceId, SAVED_SERVER, Topology};
use crate::actions::{ActionError, backup as action};
use crate::openstack::cloud::Cloud;
use crate::openstack::server::description::{ROOT, ServerDescription};
use crate::openstack::server::{self, BringingBack, DiskChain, DiskLevel, Given, Saving, Volumes, Wishes};
use crate::openstack::volume::chain;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Instant;

const GIB: u64 = 1 << 30;

/// What is saved in one go.
pub struct Unit<'a> {
    pub resource: &'a Resource,
    /// Of a server, those that it saves.
    pub volumes: Vec<&'a Resource>,
}

/// What became of each resource.
pub type Outcomes = Vec<(ResourceId, Result<SavedMember, ActionError>)>;

/// Everything that has data, the largest first: then the last ones to end are small.
pub fn units(topology: &Topology) -> Vec<Unit<'_>> {
    let mut open: BTreeMap<&ResourceId, &Resource> =
        topology.resources.iter().filter(|one| one.expects_data()).map(|one| (&one.id, one)).collect();
    let servers: Vec<&Resource> = open.values().filter(|one| one.id.kind == Kind::Server).copied().collect();
    let mut units = Vec::new();
    for resource in servers {
        open.remove(&resource.id);
        let volumes = attached(resource).iter().filter_map(|id| open.remove(id)).collect();
        units.push(Unit { resource, volumes });
    }
    units.extend(open.into_values().map(|resource| Unit { resource, volumes: Vec::new() }));
    units.sort_by_key(|unit| std::cmp::Reverse(unit.bytes()));
    units
}

fn attached(server: &Resource) -> Vec<ResourceId> {
    let rows = server.document.get("os-extended-volumes:volumes_attached").and_then(Value::as_array);
    let ids = rows.into_iter().flatten().filter_map(|row| row.get("id")?.as_str());
    ids.map(|id| ResourceId::new(Kind::Volume, id)).collect()
}

impl Unit<'_> {
    /// As much as there can be to move.
    fn bytes(&self) -> u64 {
        let of = |resource: &Resource| {
            let number = |pointer: &str| resource.document.pointer(pointer).and_then(Value::as_u64);
            match resource.id.kind {
                Kind::Volume => number("/size").unwrap_or_default().saturating_mul(GIB),
                Kind::Server => number("/flavor/disk").unwrap_or_default().saturating_mul(GIB),
                Kind::Image => number("/size").unwrap_or_default(),
                _ => number("/bytes").unwrap_or_default(),
            }
        };
        self.volumes.iter().map(|volume| of(volume)).fold(of(self.resource), u64::saturating_add)
    }

    /// Saves all of it; one that fails takes as few others with it as can be.
    pub async fn save(&self, work: &Work<'_>) -> Outcomes {
        let began = Instant::now();
        let mut outcomes = self.each(work).await;
        for (id, outcome) in &mut outcomes {
            if let (true, Ok(saved)) = (*id == self.resource.id, outcome) {
                saved.took = Some(began.elapsed());
            }
        }
        outcomes
    }

    async fn each(&self, work: &Work<'_>) -> Outcomes {
        if self.resource.id.kind != Kind::Server {
            return vec![(self.resource.id.clone(), work.save(self.resource).await)];
        }
        let cloud = work.cloud();
        let mut outcomes = match together(work, &cloud, self).await {
            Ok(outcomes) => outcomes,
            Err(error) => vec![(self.resource.id.clone(), Err(error))],
        };
        work.include(&cloud);
        for volume in &self.volumes {
            if !outcomes.iter().any(|(id, _)| *id == volume.id) && !work.cloud.monitor().is_cancelled() {
                outcomes.push((volume.id.clone(), work.save(volume).await));
            }
        }
        outcomes
    }
}

async fn together(work: &Work<'_>, cloud: &Cloud, unit: &Unit<'_>) -> Result<Outcomes, ActionError> {
    let own = work.options_of(unit.resource);
    let mut chains = BTreeMap::new();
    for (role, resource) in std::iter::once((ROOT, unit.resource))
        .chain(unit.volumes.iter().map(|one| (one.id.id.as_str(), *one)))
    {
        let options = work.options_of(resource);
        let in_cluster = chain(&options, cloud).await?;
        chains.insert(role.to_owned(), DiskChain { backup_name: options.backup_name, in_cluster });
    }
    let other = own.backup_name.clone();
    // It is asked for those alone.
    let chain_of = move |role: &str| {
        let strange = || DiskChain { backup_name: format!("{other}_{role}"), in_cluster: other.clone() };
        chains.get(role).cloned().unwrap_or_else(strange)
    };
    let saving = Saving {
        cloud: cloud.clone(),
        store: work.store.clone(),
        monitor: cloud.monitor().clone(),
        ceph: work.around.ceph.clone(),
        disks: action::image_request(&own, work.around)?,
        chain_of: Box::new(chain_of),
        temp_prefix: own.cloud.temp_prefix.clone(),
        group_types: own.cloud.group_types.clone(),
        run_id: work.around.run_id.clone(),
    };
    let wanted = Volumes::Only(unit.volumes.iter().map(|volume| volume.id.id.clone()).collect());
    let saved = server::save(&saving, &unit.resource.id.id, &wanted).await?;
    let mut server = SavedMember {
        server: Some(saved.description),
        warnings: saved.problems,
        left: saved.left,
        ..SavedMember::default()
    };
    let mut outcomes = Vec::new();
    for (role, report) in saved.disks {
        if role == ROOT {
            server.data = Some(Data::of(&unit.resource.id, report)?);
            continue;
        }
        let id = ResourceId::new(Kind::Volume, role);
        let data = Some(Data::of(&id, report)?);
        outcomes.push((id, Ok(SavedMember { data, ..SavedMember::default() })));
    }
    outcomes.push((unit.resource.id.clone(), Ok(server)));
    Ok(outcomes)
}

/// Volumes that a saved server had by then and that are not in the topology, though nobody left them out.
pub fn strangers(server: &ServerDescription, topology: &Topology) -> Vec<String> {
    let ids = server.disks.iter().filter_map(|disk| disk.volume_id.as_ref());
    let is_known = |id: &ResourceId| topology.find(id).is_some() || topology.excluded.contains(id);
    ids.filter(|id| !is_known(&ResourceId::new(Kind::Volume, id.as_str()))).cloned().collect()
}

/// Makes a server anew as `name`, from what has taken the place of its parts.
pub async fn restore(
    work: &Work<'_>,
    cloud: &Cloud,
    resource: &Resource,
    name: &str,
    (new, mark): (&Mapping, &Mark),
) -> Result<Restored, ActionError> {
    let saved = resource.document.get(SAVED_SERVER).cloned().map(serde_json::from_value::<ServerDescription>);
    let Some(Ok(saved)) = saved else {
        let cause = format!("what the backup says of {} is not understood", resource.id);
        return Err(ActionError::Failed(cause));
    };
    let disk = resource.backup.iter().map(|member| DiskLevel {
        role: ROOT.to_owned(),
        hbn: member.hbn.clone(),
        timestamp: member.timestamp,
    });
    let pass_phrase = work.options.pass_phrase()?;
    let bringing = BringingBack {
        cloud: cloud.clone(),
        store: work.store.clone(),
        monitor: cloud.monitor().clone(),
        ceph: work.around.ceph.clone(),
        hostname: work.options.hostname.clone(),
        pass_phrase,
        temp_prefix: work.options.cloud.temp_prefix.clone(),
        run_id: work.around.run_id.clone(),
    };
    let wishes = Wishes {
        name: name.to_owned(),
        flavor: work.options.project.as_ref().and_then(|wanted| wanted.flavor_of(resource)),
        marks: mark.metadata(),
        given: Some(given(&saved, new)),
        ..Wishes::default()
    };
    let made = server::bring_back(&bringing, &saved, &disk.collect::<Vec<_>>(), &wishes).await?;
    let lacks = made.missing.into_iter().map(|what| format!("it lacks {what}"));
    let notes = lacks.chain(made.left).collect();
    Ok(Restored { id: made.server_id, notes, remarks: made.notes, ..Restored::default() })
}

fn given(saved: &ServerDescription, new: &Mapping) -> Given {
    let find = |kind: Kind, ids: &mut dyn Iterator<Item = &str>| -> BTreeMap<String, String> {
        ids.filter_map(|id| Some((id.to_owned(), new.get(kind, id).ok()?.to_owned()))).collect()
    };
    Given {
        ports: find(Kind::Port, &mut saved.ports.iter().map(|port| port.id.as_str())),
        volumes: find(Kind::Volume, &mut saved.disks.iter().filter_map(|disk| disk.volume_id.as_deref())),
        keypairs: find(Kind::Keypair, &mut saved.key_name.as_deref().into_iter()),
        server_groups: find(
            Kind::ServerGroup,
            &mut saved.server_groups.iter().map(|group| group.id.as_str()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn resource(kind: Kind, id: &str, document: Value) -> Resource {
        Resource { id: ResourceId::new(kind, id), name: String::new(), owned: true, document, backup: None }
    }

    fn server(id: &str, volumes: &[&str]) -> Resource {
        let rows: Vec<Value> = volumes.iter().map(|id| json!({ "id": id })).collect();
        resource(Kind::Server, id, json!({"os-extended-volumes:volumes_attached": rows}))
    }

    #[test]
    fn a_volume_is_saved_once_and_the_largest_go_first() {
        let volume = |id: &str, gib: u64| resource(Kind::Volume, id, json!({ "size": gib }));
        let topology = Topology {
            version: 1,
            project_id: "p".into(),
            taken_at: 0,
            resources: vec![
                volume("alone", 5),
                volume("shared", 4),
                volume("second", 9),
                server("s1", &["shared", "gone"]),
                server("s2", &["shared", "second"]),
                resource(Kind::Port, "port", json!({})),
            ],
            missing: Vec::new(),
            absent: Vec::new(),
            excluded: vec![ResourceId::new(Kind::Volume, "unwanted")],
        };
        let units = units(&topology);
        let told: Vec<(&str, Vec<&str>)> = units
            .iter()
            .map(|unit| {
                let volumes = unit.volumes.iter().map(|volume| volume.id.id.as_str()).collect();
                (unit.resource.id.id.as_str(), volumes)
            })
            .collect();
        assert_eq!(told, [("s2", vec!["second"]), ("alone", vec![]), ("s1", vec!["shared"])]);
        let disk = |id: &str| crate::openstack::server::description::DiskDescription {
            role: id.into(),
            volume_id: Some(id.into()),
            ..Default::default()
        };
        let saved = ServerDescription {
            disks: vec![disk("shared"), disk("unwanted"), disk("new")],
            ..ServerDescription::default()
        };
        assert_eq!(strangers(&saved, &topology), ["new"]);
    }
}
