//! Action adopt: what the storage holds is described as records of backups, for a service that has lost them or never had them.
//!
//! Only the storage is asked, so a record says less than that of the run that made the backup; what it takes to restore is
//! there. The conductor writes those that are missing. Backups that are part of a set have no record of their own. What cannot be
//! told stays out of a record, and the result says so; it also says what gets no record at all.

use super::info::{all, is_meant, only_read};
use super::{ActionError, Done, chains};
use crate::options::medium::Medium;
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_model::backup::ADOPTED;
use freezer_storage::Store;
use freezer_vault::catalogue::{self, Chain, Level, Teller, Told};
use freezer_vault::encryption::PassPhrase;
use freezer_vault::manifest::{Manifest, Totals};
use freezer_vault::set::{self, SetReadRequest};
use freezer_vault::{Engine, Hbn, LevelId, image};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A report has to reach the conductor in one piece.
const MOST_RECORD_BYTES: usize = 512 << 10;
/// Why backups of upstream's get no record.
const ONLY_READ: &str = "they can be restored, but are not kept account of: action info lists them, and docs/migration.md says \
     how they are restored";

pub async fn adopt(options: &ActionOptions, around: &Surroundings) -> Result<Done, ActionError> {
    let store = open_store(options, around).await?;
    let pass = options.pass_phrase()?;
    let teller = Teller::new(pass.clone());
    let mut search = Search { options, store: &store, pass, teller, parts: BTreeMap::new() };
    let mut records = Vec::new();
    // Sets come last: what they name is known by then.
    for hbn in all(&store).await?.into_iter().filter(|hbn| is_meant(options, hbn.as_str())) {
        let found = catalogue::list(&store, &hbn).await?;
        for chain in &found.chains {
            for level in chain.existing() {
                if let Some(manifest) = level.manifest().filter(|_| hbn.engine() != Engine::Set) {
                    search.parts.insert((hbn.clone(), level.id), manifest.totals);
                }
                if level.manifest().is_none_or(|manifest| manifest.part_of.is_none()) {
                    records.push(search.record(&hbn, chain, level).await);
                }
            }
        }
    }
    // Of too many the newest count.
    records.sort_by_key(|record| std::cmp::Reverse(record.get("time_stamp").and_then(Value::as_i64)));
    let (mut bytes, found) = (0usize, records.len());
    records.retain(|record| {
        bytes = bytes.saturating_add(json!(record).to_string().len());
        bytes <= MOST_RECORD_BYTES
    });
    let mut summary = vec![format!("Adopted      {} backups in {}", records.len(), store.describe())];
    if records.len() < found {
        let left = found - records.len();
        summary.push(format!(
            "PARTIAL      {left} older ones were left out: there are too many for one run, choose by hostname and backup_name"
        ));
    }
    let partial = records.len() < found;
    let without_mode = search.without_mode(&records);
    let mut result = Map::new();
    // First: it is the document that is written of the action.
    result.insert(ADOPTED.into(), json!(records));
    if let Some(note) = without_mode {
        tracing::warn!("{note}");
        summary.push(format!("UNKNOWN      {note}"));
        result.insert("notes".into(), json!([note]));
    }
    let mut done = Done { result, summary, partial };
    tell_left_alone(&mut done, left_alone(options, &store).await?);
    Ok(done)
}

fn tell_left_alone(done: &mut Done, counts: BTreeMap<String, usize>) {
    let mut told = Vec::new();
    for (kind, count) in counts {
        let text = format!("{count} backups of {kind} get no record: {ONLY_READ}");
        tracing::warn!("{text}");
        done.summary.push(format!("Left alone   {text}"));
        told.push(json!({"kind": kind, "backups": count, "reason": ONLY_READ}));
    }
    if !told.is_empty() {
        done.result.insert("skipped".into(), json!(told));
    }
}

/// How many backups there are that get no record, by kind.
async fn left_alone(
    options: &ActionOptions,
    store: &Arc<dyn Store>,
) -> Result<BTreeMap<String, usize>, ActionError> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (hbn, store) in only_read(options, store).await? {
        let kind = match hbn.engine() {
            Engine::Tar => "Freezer 1.x and 2.0".to_owned(),
            Engine::Cinder => "volumes, made by Freezer in Python".to_owned(),
            engine => format!("engine {engine}, made by Freezer in Python"),
        };
        let found = catalogue::list(&store, &hbn).await?;
        let count = found.chains.iter().flat_map(|chain| chain.existing()).count();
        if count > 0 {
            *counts.entry(kind).or_default() += count;
        }
    }
    Ok(counts)
}

struct Search<'a> {
    options: &'a ActionOptions,
    store: &'a Arc<dyn Store>,
    pass: Option<PassPhrase>,
    teller: Teller,
    /// What was read and stored of each backup that a set may name.
    parts: BTreeMap<(Hbn, LevelId), Totals>,
}

impl Search<'_> {
    async fn record(&self, hbn: &Hbn, chain: &Chain, level: &Level) -> Map<String, Value> {
        let (hostname, backup_name) = names(self.options, hbn.as_str());
        let mut record = self.place();
        let mut add = |key: &str, value: Value| record.insert(key.to_owned(), value);
        add("hostname", json!(hostname));
        add("backup_name", json!(backup_name));
        add("time_stamp", json!(level.id.timestamp));
        add("chain_time_stamp", json!(level.id.chain_timestamp));
        add("curr_backup_level", json!(level.id.level));
        add("compression", json!(level.compression().map_or("", |codec| codec.name())));
        add("encrypted", json!(level.is_encrypted()));
        let parts = level.manifest().map(|manifest| self.parts_of(manifest)).unwrap_or_default();
        if let Some(manifest) = level.manifest() {
            // A quota counts what is stored.
            add("bytes_read", json!(manifest.totals.read_bytes.saturating_add(parts.read_bytes)));
            add("bytes_stored", json!(manifest.totals.stored_bytes.saturating_add(parts.stored_bytes)));
            add("files", json!(manifest.totals.files));
            add("problem_count", json!(manifest.problems.count));
        }
        let of_kind = match hbn.engine() {
            Engine::Tar
            | Engine::Rsync
            | Engine::Osbrick
            | Engine::Nova
            | Engine::Glance
            | Engine::Cinder => self.of_archive(hbn, chain, level).await,
            Engine::Image => of_image(self.image(hbn, level).await),
            Engine::Set => of_set(self.topology(&hostname, &backup_name, level).await, &parts),
        };
        record.extend(of_kind);
        record
    }

    /// All backups that a set names, together; nothing of one that is not there.
    fn parts_of(&self, set: &Manifest) -> Parts {
        let mut parts = Parts::default();
        for link in &set.members {
            let totals = link.hbn().ok().and_then(|hbn| self.parts.get(&(hbn, link.id())));
            parts.level = parts.level.max(link.level);
            parts.read_bytes += totals.map_or(0, |totals| totals.read_bytes);
            parts.stored_bytes += totals.map_or(0, |totals| totals.stored_bytes);
        }
        parts
    }

    /// What all records of this storage say.
    fn place(&self) -> Map<String, Value> {
        let place = json!({
            "action": "backup",
            "storage": self.options.storage.kind(),
            "container": self.options.container,
            "is_adopted": true,
        });
        let mut place = place.as_object().cloned().unwrap_or_default();
        place.extend(self.options.storage.place());
        place
    }

    /// Folders, and what was handed in; an encrypted one tells it to the pass phrase alone. What upstream made is files.
    async fn of_archive(&self, hbn: &Hbn, chain: &Chain, level: &Level) -> Fields {
        let sources: Vec<&str> = Medium::fed().map(|(_, source)| source).collect();
        let told = self.teller.tell(self.store, hbn, chain, level, &sources).await;
        let cause = match told {
            Ok(Told::Source(source)) => match Medium::of_source(&source) {
                Some(medium) => return of_fed(medium),
                None if source.starts_with('/') => return of_folder(&source),
                None => format!("it is of {source}, which this agent does not know"),
            },
            // An encrypted backup does not say which folder it is of.
            Ok(Told::Other) => return of_folder(""),
            Ok(Told::Unknown(_)) if level.manifest().is_none() => return of_folder(""),
            Ok(Told::Unknown(cause)) => cause,
            Err(error) => error.to_string(),
        };
        tracing::warn!(%hbn, id = %level.id, "what this backup is of cannot be told: {cause}");
        fields("", "tar", &[])
    }

    /// Says so where records do not say what their backups are of, and what to do about it.
    fn without_mode(&self, records: &[Map<String, Value>]) -> Option<String> {
        let is_without = |record: &&Map<String, Value>| record.get("mode").is_some_and(|mode| mode == "");
        let count = records.iter().filter(is_without).count();
        let cause = match &self.pass {
            None => {
                "encrypted ones say it to their pass phrase alone, give encrypt_pass_file or encrypt_secret_ref"
            }
            Some(_) => "encrypted ones say it to their own pass phrase alone",
        };
        let text = || {
            format!(
                "{count} records have no mode, as nobody can tell what their backups are of ({cause}; the log has \
                 the cause of each): delete these records before you adopt again, as what has a record gets no other one"
            )
        };
        (count > 0).then(text)
    }

    /// What the image is of; nothing without the pass phrase of an encrypted one.
    async fn image(&self, hbn: &Hbn, level: &Level) -> Value {
        image::describe(self.store, hbn, level, self.pass.as_ref()).await.unwrap_or_else(|error| {
            tracing::warn!(%hbn, id = %level.id, "what this image is of cannot be read: {error}");
            Value::Null
        })
    }

    async fn topology(&self, hostname: &str, backup_name: &str, level: &Level) -> Value {
        let wanted = SetReadRequest {
            not_after_secs: Some(level.id.timestamp),
            pass_phrase: self.pass.clone(),
            ..SetReadRequest::new(hostname, backup_name)
        };
        match set::read(self.store, &wanted).await {
            Ok(content) if content.timestamp == level.id.timestamp => content.topology,
            Ok(_) => Value::Null,
            Err(error) => {
                tracing::warn!(%hostname, %backup_name, id = %level.id, "what this set is of cannot be read: {error}");
                Value::Null
            }
        }
    }
}

/// Sums over the backups that a set names.
#[derive(Default)]
struct Parts {
    /// The highest of them.
    level: u32,
    read_bytes: u64,
    stored_bytes: u64,
}

/// Host and name of `<hostname>_<backup_name>`: names of hosts hold no `_`, unless the action says so.
fn names(options: &ActionOptions, hbn: &str) -> (String, String) {
    let given = chains::own_name(options, hbn).filter(|_| !options.is_own_hostname);
    let (host, name) = match given {
        Some(name) => (options.hostname.as_str(), name),
        None => hbn.split_once('_').unwrap_or((hbn, "")),
    };
    (host.to_owned(), name.to_owned())
}

type Fields = Vec<(String, Value)>;

fn fields(mode: &str, engine: &str, more: &[(&str, Value)]) -> Fields {
    let usual = [("mode", json!(mode)), ("backup_media", json!(mode)), ("engine_name", json!(engine))];
    usual.iter().chain(more).map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn of_folder(path: &str) -> Fields {
    fields("fs", "tar", &[("path_to_backup", json!(path)), ("fs_real_path", json!(path))])
}

/// As the run says it.
fn of_fed(medium: &Medium) -> Fields {
    let form = medium.form().map(|form| ("mysql_form", json!(form)));
    fields(medium.mode(), "tar", form.as_slice())
}

fn of_image(description: Value) -> Fields {
    let text = |pointer: &str| description.pointer(pointer).cloned().unwrap_or_default();
    match description.get("kind").and_then(Value::as_str) {
        Some("volume") => {
            let (id, name) = (text("/volume/id"), text("/volume/name"));
            fields("cinder", "image", &[("cinder_vol_id", id), ("volume_name", name)])
        }
        Some("image") => {
            let (id, name) = (text("/image/id"), text("/image/name"));
            fields("glance", "image", &[("glance_image_id", id), ("image_name", name)])
        }
        Some("rbd") => {
            let (pool, name) = (text("/image/pool"), text("/image/name"));
            fields("rbd", "image", &[("rbd_pool", pool), ("rbd_image", name)])
        }
        _ => fields("", "image", &[]),
    }
}

fn of_set(topology: Value, disks: &Parts) -> Fields {
    let text = |pointer: &str| topology.pointer(pointer).cloned().unwrap_or_default();
    if topology.get("kind").and_then(Value::as_str) == Some("server") {
        // Its disks are all there is of it, as its run counts.
        let of_server = [
            ("nova_inst_id", text("/server/id")),
            ("server_name", text("/server/name")),
            ("consistency", text("/server/consistency")),
            ("curr_backup_level", json!(disks.level)),
            ("bytes_read", json!(disks.read_bytes)),
            ("bytes_stored", json!(disks.stored_bytes)),
        ];
        return fields("nova", "nova", &of_server);
    }
    match (topology.get("project_id"), topology.get("resources").and_then(Value::as_array)) {
        (Some(id), Some(resources)) => {
            let count = json!(resources.len());
            fields("project", "set", &[("project_id", id.clone()), ("files", count)])
        }
        _ => fields("", "set", &[]),
    }
}
