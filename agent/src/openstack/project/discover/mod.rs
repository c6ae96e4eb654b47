//! What a project consists of at the moment, asked of every service that the catalogue has.
//!
//! Only what is the project's own is listed, whatever else the login can see; and of others' what the project's own
//! resources cannot do without, such as shared networks. A list that cannot be had is told as missing, and so is one row of it
//! that cannot: the others are there. A service that is not there is told as absent.

mod cinder;
pub mod foreign;
mod glance;
mod heat;
mod neutron;
mod nova;
mod swift;

pub use neutron::words as neutron_words;

use super::options::ProjectOptions;
use super::topology::{Kind, Missing, Resource, ResourceId, TOPOLOGY_VERSION, Topology};
use crate::openstack::cloud::{Cloud, Service};
use crate::openstack::error::CloudError;
use futures_util::future::join_all;
use keystone::KeystoneError;
use serde_json::{Value, json};

/// Whose resources are listed, and which are not.
pub struct Scope<'a> {
    pub project: &'a str,
    /// Beginning of the names of temporary resources.
    pub temp_prefix: &'a str,
    /// The container of this project that backups are kept in, if they are.
    pub own_container: Option<&'a str>,
}

/// Rows that are asked for more at a time.
const AT_ONCE: usize = 8;

/// Asks all services, all at the same time.
pub async fn gather(cloud: &Cloud, scope: &Scope<'_>, now_secs: i64) -> Result<Topology, CloudError> {
    let mut topology = Topology {
        version: TOPOLOGY_VERSION,
        project_id: scope.project.to_owned(),
        taken_at: now_secs,
        resources: Vec::new(),
        missing: Vec::new(),
        absent: Vec::new(),
        excluded: Vec::new(),
    };
    let on_the_network =
        join_all(neutron::KINDS.map(|kind| async move { (kind, neutron::list(cloud, scope, kind).await) }));
    let (on_the_network, keypairs, groups, servers, stacks, containers, images, volumes) = tokio::join!(
        on_the_network,
        nova::keypairs(cloud),
        nova::server_groups(cloud, scope),
        nova::servers(cloud, scope),
        heat::stacks(cloud),
        swift::containers(cloud, scope),
        glance::images(cloud, scope),
        cinder::volumes(cloud, scope),
    );
    topology.take(Service::Nova, Kind::Keypair, keypairs.map(Found::from))?;
    topology.take(Service::Nova, Kind::ServerGroup, groups.map(Found::from))?;
    for (kind, list) in on_the_network {
        topology.take(Service::Neutron, kind, list)?;
    }
    topology.take(Service::Glance, Kind::Image, images.map(Found::from))?;
    topology.take(Service::Cinder, Kind::Volume, volumes.map(Found::from))?;
    topology.take(Service::Nova, Kind::Server, servers.map(Found::from))?;
    topology.take(Service::Swift, Kind::Container, containers)?;
    topology.take(Service::Heat, Kind::Stack, stacks)?;
    tell_servers_what_is_theirs(&mut topology);
    foreign::add(cloud, &mut topology).await?;
    Ok(topology)
}

/// What a list holds, and what of its rows could not be had.
#[derive(Default)]
struct Found {
    resources: Vec<Resource>,
    missing: Vec<Missing>,
}

impl From<Vec<Resource>> for Found {
    fn from(resources: Vec<Resource>) -> Self {
        Self { resources, missing: Vec::new() }
    }
}

impl Found {
    fn extend(&mut self, rows: Vec<Self>) {
        for row in rows {
            self.resources.extend(row.resources);
            self.missing.extend(row.missing);
        }
    }

    /// Names what could not be had. An abort is no row's: it ends all.
    fn lacks(&mut self, id: &ResourceId, error: CloudError) -> Result<(), CloudError> {
        if matches!(error, CloudError::Aborted) {
            return Err(error);
        }
        let (kind, reason) = (id.kind, error.to_string());
        self.missing.push(Missing { kind, id: Some(id.id.clone()), reason });
        Ok(())
    }

    /// A row of which nothing is kept.
    fn lost(id: &ResourceId, error: CloudError) -> Result<Self, CloudError> {
        let mut found = Self::default();
        found.lacks(id, error)?;
        Ok(found)
    }
}

impl Topology {
    fn take(
        &mut self,
        service: Service,
        kind: Kind,
        list: Result<Found, CloudError>,
    ) -> Result<(), CloudError> {
        match list {
            Ok(found) => {
                self.resources.extend(found.resources);
                self.missing.extend(found.missing);
            }
            Err(CloudError::Aborted) => return Err(CloudError::Aborted),
            Err(CloudError::Session { cause: KeystoneError::NoEndpoint { .. }, .. }) => {
                if !self.absent.iter().any(|name| name == service.name()) {
                    self.absent.push(service.name().to_owned());
                }
            }
            Err(error) => self.missing.push(Missing { kind, id: None, reason: error.to_string() }),
        }
        Ok(())
    }

    /// Leaves out what the user does not want, and says so.
    pub fn exclude(&mut self, options: &ProjectOptions) {
        let is_out = |resource: &Resource| options.exclude.iter().any(|pattern| pattern.fits(resource));
        let (out, kept): (Vec<Resource>, _) =
            std::mem::take(&mut self.resources).into_iter().partition(is_out);
        self.resources = kept;
        self.excluded = out.into_iter().map(|resource| resource.id).collect();
        // Nor is it missed.
        let is_out = |missing: &Missing| options.exclude.iter().any(|pattern| pattern.names(missing));
        self.missing.retain(|missing| !is_out(missing));
    }
}

/// Ports know their server and groups their members; a server is made with both.
fn tell_servers_what_is_theirs(topology: &mut Topology) {
    let of = |kind: Kind| topology.resources.iter().filter(move |resource| resource.id.kind == kind);
    let ports: Vec<(String, String)> =
        of(Kind::Port).map(|port| (port.text("device_id").to_owned(), port.id.id.clone())).collect();
    let mut groups = Vec::new();
    for group in of(Kind::ServerGroup) {
        for member in super::requests::texts(group.document.get("members")) {
            groups.push((member.to_owned(), group.id.id.clone()));
        }
    }
    for server in topology.resources.iter_mut().filter(|resource| resource.id.kind == Kind::Server) {
        let own = |pairs: &[(String, String)]| -> Vec<String> {
            let theirs = pairs.iter().filter(|(owner, _)| *owner == server.id.id);
            theirs.map(|(_, id)| id.clone()).collect()
        };
        let (ports, groups) = (own(&ports), own(&groups));
        if let Some(document) = server.document.as_object_mut() {
            document.insert("port_ids".into(), json!(ports));
            document.insert("server_groups".into(), json!(groups));
        }
    }
}

fn resource(kind: Kind, id: &str, document: Value) -> Resource {
    let name = document.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Resource { id: ResourceId::new(kind, id), name, owned: true, document, backup: None }
}

/// A row of a list, by its own id. Rows without one are no resources.
fn by_id(kind: Kind, row: Value) -> Option<Resource> {
    let id = row.get("id").and_then(Value::as_str)?.to_owned();
    Some(resource(kind, &id, row))
}

fn id_of(row: &Value) -> Option<String> {
    row.get("id").and_then(Value::as_str).map(str::to_owned)
}

/// Whether a row is the project's; rows that do not say are.
fn is_of(row: &Value, project: &str) -> bool {
    let owner = ["project_id", "tenant_id"].iter().find_map(|key| row.get(key).and_then(Value::as_str));
    owner.is_none_or(|owner| owner.is_empty() || owner == project)
}
