//! How the data of each kind of resource are saved, and come back: the one place where the other modes plug in; servers in
//! [`super::servers`].
//!
//! Each resource has a chain of its own, named after the set, so that each is incremental for itself: a volume keeps its chain
//! whichever server it is attached to.

use super::container::{self, Lost, PartsLists};
use super::marks::Mark;
use super::requests::Mapping;
use super::servers;
use super::topology::{Kind, Member, Resource, ResourceId};
use crate::actions::ActionError;
use crate::openstack::cinder::volumes::Volume;
use crate::openstack::cloud::Cloud;
use crate::openstack::server::description::ServerDescription;
use crate::openstack::swift::containers;
use crate::openstack::{image, volume};
use crate::options::medium::{ImagePick, Medium, Pick};
use crate::options::typed::ActionOptions;
use crate::storages::Surroundings;
use freezer_storage::Store;
use freezer_vault::set::NewMember;
use freezer_vault::{BackupReport, Engine, FileProblem, Monitor};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Longer names, and such as no folder should have, are told by their hash.
const MOST_NAME_BYTES: usize = 80;

/// What all members are saved with, or come back with.
pub struct Work<'a> {
    pub options: &'a ActionOptions,
    pub around: &'a Surroundings,
    pub cloud: Cloud,
    pub store: Arc<dyn Store>,
}

/// One resource that is saved.
#[derive(Default)]
pub struct SavedMember {
    /// None: a server that boots from a volume has no data of its own.
    pub data: Option<Data>,
    pub server: Option<ServerDescription>,
    /// What of it is missing.
    pub lost: Vec<Lost>,
    /// What is not in the backup, though one might think so.
    pub warnings: Vec<FileProblem>,
    /// What could not be tidied up.
    pub left: Vec<String>,
    /// What it took, of a server with its volumes.
    pub took: Option<Duration>,
}

/// The data of one resource in the storage.
pub struct Data {
    pub member: Member,
    pub named: NewMember,
    pub report: BackupReport,
}

impl Data {
    pub fn of(id: &ResourceId, report: BackupReport) -> Result<Self, ActionError> {
        let engine = Engine::Image;
        let member =
            Member { hbn: report.hbn.clone(), timestamp: report.timestamp, engine: engine.name().to_owned() };
        let named = NewMember::of(engine, &report, &id.to_string())?;
        Ok(Self { member, named, report })
    }
}

/// A resource that has come back.
#[derive(Debug, Default)]
pub struct Restored {
    pub id: String,
    /// What of it did not.
    pub notes: Vec<String>,
    /// What is otherwise than it was, and as good.
    pub remarks: Vec<String>,
    pub lists: Option<PartsLists>,
}

impl Work<'_> {
    /// Figures of its own; an abort ends all.
    pub(super) fn cloud(&self) -> Cloud {
        let monitor = Monitor::with_token(self.cloud.monitor().token().child_token());
        self.cloud.watched_by(&Arc::new(monitor))
    }

    /// The figures of one resource are the action's when it is done.
    pub(super) fn include(&self, part: &Cloud) {
        self.cloud.monitor().include(&part.monitor().progress());
    }

    /// Saves a resource for itself; servers are saved with their volumes, by [`super::servers`].
    pub async fn save(&self, resource: &Resource) -> Result<SavedMember, ActionError> {
        let cloud = self.cloud();
        let saved = self.save_in(&cloud, resource).await;
        self.include(&cloud);
        saved
    }

    async fn save_in(&self, cloud: &Cloud, resource: &Resource) -> Result<SavedMember, ActionError> {
        let options = self.options_of(resource);
        let (around, store) = (self.around, &self.store);
        let (mut lost, mut left) = (Vec::new(), Vec::new());
        let report = match resource.id.kind {
            Kind::Volume => {
                let document = resource.document.clone();
                let saved = volume::save(&options, around, cloud, store, &Volume { document }).await?;
                left = saved.left;
                saved.report
            }
            Kind::Image => image::save(&options, around, cloud, store, &resource.document).await?,
            Kind::Container => {
                let (report, gone) = container::save(&options, around, cloud, store, &resource.id.id).await?;
                lost = gone;
                report
            }
            kind => return Err(ActionError::Failed(format!("the data of a {kind} cannot be saved"))),
        };
        let data = Some(Data::of(&resource.id, report)?);
        Ok(SavedMember { data, lost, left, ..SavedMember::default() })
    }

    /// Makes `resource` anew as `name` from its backup.
    pub async fn restore(
        &self,
        resource: &Resource,
        name: &str,
        new: &Mapping,
        mark: &Mark,
    ) -> Result<Restored, ActionError> {
        let cloud = self.cloud();
        let restored = match resource.id.kind {
            Kind::Server => servers::restore(self, &cloud, resource, name, (new, mark)).await,
            _ => self.restore_in(&cloud, resource, name, mark).await,
        };
        self.include(&cloud);
        restored
    }

    async fn restore_in(
        &self,
        cloud: &Cloud,
        resource: &Resource,
        name: &str,
        mark: &Mark,
    ) -> Result<Restored, ActionError> {
        let mut options = self.options_of(resource);
        options.cloud.restore_name = Some(name.to_owned());
        options.restore_from_date = resource.backup.as_ref().map(|member| member.timestamp);
        let (around, store) = (self.around, &self.store);
        match resource.id.kind {
            Kind::Volume => {
                let (id, notes) =
                    volume::restore_one(&options, around, cloud, store, &mark.metadata()).await?;
                Ok(Restored { id, notes, ..Restored::default() })
            }
            Kind::Image => {
                let (id, notes) = image::restore_one(&options, around, cloud, store, &mark.tag()).await?;
                Ok(Restored { id, notes, ..Restored::default() })
            }
            Kind::Container => self.restore_container(&options, cloud, resource, name, mark).await,
            kind => Err(ActionError::Failed(format!("the data of a {kind} cannot be restored"))),
        }
    }

    async fn restore_container(
        &self,
        options: &ActionOptions,
        cloud: &Cloud,
        resource: &Resource,
        name: &str,
        mark: &Mark,
    ) -> Result<Restored, ActionError> {
        let headers = resource.document.get("headers").and_then(Value::as_object).cloned();
        let mut headers: Map<String, Value> = headers.unwrap_or_default();
        headers.retain(|key, _| !Mark::is_header(key));
        headers.extend(mark.headers(true));
        containers::create(cloud, name, &headers).await?;
        let (notes, lists) = match &resource.backup {
            None => (Vec::new(), Vec::new()),
            Some(_) => {
                let lost: BTreeSet<&str> =
                    super::requests::texts(resource.document.get("lost_objects")).into_iter().collect();
                container::restore(options, cloud, &self.store, name, &lost).await?
            }
        };
        // What has failed may be tried again by the next restore; then it is not whole. Nor is it before its lists of parts are there.
        let whole = notes.is_empty().then(|| mark.headers(false));
        let lists = match (lists.is_empty(), whole) {
            (true, None) => None,
            (true, Some(whole)) => {
                containers::create(cloud, name, &whole).await?;
                None
            }
            (false, whole) => Some(PartsLists { container: name.to_owned(), whole, lists }),
        };
        Ok(Restored { id: name.to_owned(), notes, lists, ..Restored::default() })
    }

    /// The action's options for the chain of one resource.
    pub(super) fn options_of(&self, resource: &Resource) -> ActionOptions {
        let medium = match resource.id.kind {
            Kind::Image => Medium::Images(ImagePick::One(Pick::Unnamed)),
            _ => Medium::Volume(Pick::Unnamed),
        };
        let backup_name = match &resource.backup {
            // As the set names it.
            Some(member) => {
                let host = format!("{}_", self.options.hostname);
                member.hbn.strip_prefix(&host).unwrap_or(&member.hbn).to_owned()
            }
            None => format!("{}_{}", self.options.backup_name, chain_of(resource)),
        };
        let part_of = Some(format!("{}_{}", self.options.hostname, self.options.backup_name));
        ActionOptions { medium, backup_name, part_of, ..self.options.clone() }
    }
}

fn chain_of(resource: &Resource) -> String {
    let (kind, id) = (resource.id.kind, resource.id.id.as_str());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if id.len() <= MOST_NAME_BYTES && id.bytes().all(is_plain) {
        return format!("{kind}_{id}");
    }
    let hash: String = Sha256::digest(id).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    // No plain name holds a tilde.
    format!("{kind}_~{hash}")
}

/// How a member stands in the result of the action.
pub fn describe(resource: &Resource, saved: &SavedMember) -> Value {
    let mut row = json!({
        "kind": resource.id.kind,
        "id": resource.id.id,
        "name": resource.name,
        "left": saved.left,
    });
    let Some(fields) = row.as_object_mut() else { return row };
    if let Some(Data { member, report, .. }) = &saved.data {
        fields.insert("backup".into(), json!(member.hbn));
        fields.insert("level".into(), json!(report.level));
        fields.insert("bytes_read".into(), json!(report.bytes_read));
        fields.insert("bytes_stored".into(), json!(report.bytes_stored));
    }
    if let Some(server) = &saved.server {
        fields.insert("consistency".into(), json!(server.consistency));
    }
    if let Some(took) = saved.took {
        // Nobody wants to know it to the millisecond.
        fields.insert("seconds".into(), json!((took.as_secs_f64() * 10.0).round() / 10.0));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openstack::project::topology::ResourceId;

    #[test]
    fn every_resource_has_a_chain_that_is_a_name() {
        let chain = |id: &str| {
            let document = Value::Null;
            let id = ResourceId::new(Kind::Container, id);
            chain_of(&Resource { id, name: String::new(), owned: true, document, backup: None })
        };
        assert_eq!(chain("photos-2024"), "container_photos-2024");
        for odd in ["..", "a b", "ü", &"x".repeat(200)] {
            let name = chain(odd);
            assert!(name.starts_with("container_~") && name.len() == 43, "{name}");
        }
        assert_ne!(chain("a b"), chain("a  b"));
    }
}
