//! Backups of Cinder's own backup service: thin typed calls, nothing decided here.

use super::super::cloud::{Cloud, Service, Version, checked_id, text_at};
use super::super::error::CloudError;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SERVICE: Service = Service::Cinder;
/// Since when backups carry metadata, and since when an availability zone may be named.
const METADATA_SINCE: Version = (3, 43);
const ZONE_SINCE: Version = (3, 51);
/// Backups asked for at a time; Cinder may answer fewer.
const PAGE: &str = "200";

/// Times are epoch seconds; Cinder tells them in UTC, to the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CinderBackup {
    pub id: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub status: String,
    pub volume_id: String,
    pub container: Option<String>,
    pub is_incremental: bool,
    pub fail_reason: Option<String>,
    pub size_gib: u64,
    pub object_count: u64,
    pub created_secs: i64,
    /// When its data were on the volume: of a backup of a snapshot, the snapshot's time.
    pub data_secs: i64,
    pub metadata: BTreeMap<String, String>,
}

impl CinderBackup {
    pub fn is_available(&self) -> bool {
        self.status == "available"
    }

    /// Whether increments may have been based on it.
    pub fn may_be_parent(&self) -> bool {
        !matches!(self.status.as_str(), "error" | "creating")
    }

    /// Sorts by the time of the data, as Cinder does when it looks for a parent.
    pub fn age_key(&self) -> (i64, i64, &str) {
        (self.data_secs, self.created_secs, &self.id)
    }

    fn of(document: &Value) -> Option<Self> {
        let text = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &str| document.get(key).and_then(Value::as_u64).unwrap_or_default();
        let created_secs = seconds(document.get("created_at"))?;
        let metadata = document.get("metadata").and_then(Value::as_object);
        let pairs = metadata.into_iter().flatten();
        Some(Self {
            id: text("id")?,
            name: text("name"),
            description: text("description"),
            status: text("status")?,
            volume_id: text("volume_id")?,
            container: text("container"),
            is_incremental: document.get("is_incremental").and_then(Value::as_bool).unwrap_or_default(),
            fail_reason: text("fail_reason").filter(|reason| !reason.is_empty()),
            size_gib: number("size"),
            object_count: number("object_count"),
            created_secs,
            data_secs: seconds(document.get("data_timestamp")).unwrap_or(created_secs),
            metadata: pairs
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
        })
    }
}

fn seconds(value: Option<&Value>) -> Option<i64> {
    let text = value?.as_str()?.trim_end_matches('Z');
    let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    Some(time.and_utc().timestamp())
}

/// What a new backup is made from.
#[derive(Clone, Debug)]
pub struct NewBackup {
    pub volume_id: String,
    pub name: String,
    pub description: String,
    /// None leaves it to Cinder.
    pub container: Option<String>,
    pub availability_zone: Option<String>,
    pub is_incremental: bool,
    /// Left out where Cinder is too old for it.
    pub metadata: BTreeMap<String, String>,
}

/// Calls in one project.
pub struct Backups<'a> {
    cloud: &'a Cloud,
}

impl<'a> Backups<'a> {
    pub fn new(cloud: &'a Cloud) -> Self {
        Self { cloud }
    }

    /// All backups of a volume, with metadata. The volume itself may be gone.
    pub async fn list(&self, volume_id: &str) -> Result<Vec<CinderBackup>, CloudError> {
        let mut backups = Vec::new();
        let mut marker = String::new();
        loop {
            let query = [("volume_id", volume_id), ("limit", PAGE), ("marker", &marker)];
            let used = if marker.is_empty() { query.get(..2) } else { query.get(..) };
            let page = self
                .cloud
                .get(SERVICE, "/backups/detail", used.unwrap_or_default(), "the list of backups")
                .await?;
            let listed = page.get("backups").and_then(Value::as_array).cloned().unwrap_or_default();
            let found: Vec<_> = listed.iter().filter_map(CinderBackup::of).collect();
            let has_more =
                page.get("backups_links").and_then(Value::as_array).is_some_and(|links| !links.is_empty());
            match found.last() {
                Some(last) if has_more => marker.clone_from(&last.id),
                _ => {
                    backups.extend(found);
                    return Ok(backups);
                }
            }
            backups.extend(found);
        }
    }

    /// None when this project has no such backup.
    pub async fn get(&self, id: &str) -> Result<Option<CinderBackup>, CloudError> {
        let id = checked_id(SERVICE, "backup", id)?;
        match self.cloud.get(SERVICE, &format!("/backups/{id}"), &[], &format!("backup {id}")).await {
            Ok(document) => {
                let Some(backup) = document.get("backup") else { return Ok(None) };
                // Whoever may see those of all projects is told whose it is.
                let owner = backup.get("os-backup-project-attr:project_id").and_then(Value::as_str);
                let project = self.cloud.project_id().await?;
                let is_own = owner.is_none_or(|owner| owner.is_empty() || owner == project);
                Ok(CinderBackup::of(backup).filter(|_| is_own))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Orders a backup, of a volume in use too; answers its id.
    pub async fn create(&self, new: &NewBackup) -> Result<String, CloudError> {
        let mut backup = json!({
            "volume_id": new.volume_id,
            "name": new.name,
            "description": new.description,
            "container": new.container,
            "incremental": new.is_incremental,
            "force": true,
        });
        let mut put = |key: &str, value: Value| {
            if let Some(fields) = backup.as_object_mut() {
                fields.insert(key.to_owned(), value);
            }
        };
        if self.cloud.version(SERVICE).await? >= METADATA_SINCE {
            put("metadata", json!(new.metadata));
        }
        if let Some(zone) = &new.availability_zone {
            self.cloud.needs(SERVICE, ZONE_SINCE, "an availability zone for a backup").await?;
            put("availability_zone", json!(zone));
        }
        let what = format!("to back up volume {}", new.volume_id);
        let made = self.cloud.post(SERVICE, "/backups", &json!({"backup": backup}), &what).await?;
        text_at(SERVICE, &made, "/backup/id")
    }

    /// Gives a backup exactly this metadata, where Cinder keeps any.
    pub async fn set_metadata(
        &self,
        id: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), CloudError> {
        if self.cloud.version(SERVICE).await? < METADATA_SINCE {
            return Ok(());
        }
        let id = checked_id(SERVICE, "backup", id)?;
        let body = json!({"backup": {"metadata": metadata}});
        self.cloud
            .put(SERVICE, &format!("/backups/{id}"), &body, &format!("metadata of backup {id}"))
            .await
            .map(|_| ())
    }

    /// Orders the removal. A backup that is gone already is no error.
    pub async fn delete(&self, id: &str) -> Result<(), CloudError> {
        let id = checked_id(SERVICE, "backup", id)?;
        self.cloud.delete(SERVICE, &format!("/backups/{id}"), &format!("to delete backup {id}")).await
    }

    /// Orders a restore, over `volume_id` or into a new volume of this name; answers the volume's id.
    pub async fn restore(&self, id: &str, target: &RestoreTarget) -> Result<String, CloudError> {
        let body = match target {
            RestoreTarget::Volume(volume_id) => json!({"restore": {"volume_id": volume_id}}),
            RestoreTarget::New { name } => json!({"restore": {"name": name}}),
        };
        let id = checked_id(SERVICE, "backup", id)?;
        let what = format!("to restore backup {id}");
        let answer = self.cloud.post(SERVICE, &format!("/backups/{id}/restore"), &body, &what).await?;
        text_at(SERVICE, &answer, "/restore/volume_id")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreTarget {
    Volume(String),
    New { name: String },
}
