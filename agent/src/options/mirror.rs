//! Several storages for one backup: option `storages`, a list of objects that say of each storage what the options of the same names say
//! of one. What an object does not say is as the action itself says it, but for `storage` and `container`.

use super::ini::STORAGES;
use super::keys;
use super::typed::{ActionKind, ActionOptions, Secret, StorageOptions};
use super::values::{OptionsError, Values};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// More are a mistake: each costs memory, and the slowest one sets the pace.
const MOST: usize = 8;

/// One storage of several.
#[derive(Clone, Debug)]
pub struct Place {
    storage: StorageOptions,
    container: String,
    insecure: bool,
    storage_secret: Option<String>,
    ssh_password: Option<Secret>,
    ssh_password_file: Option<PathBuf>,
    ssh_key_passphrase_file: Option<PathBuf>,
}

impl Place {
    pub(crate) fn of(options: &ActionOptions) -> Self {
        Self {
            storage: options.storage.clone(),
            container: options.container.clone(),
            insecure: options.insecure,
            storage_secret: options.storage_secret.clone(),
            ssh_password: options.ssh_password.clone(),
            ssh_password_file: options.ssh_password_file.clone(),
            ssh_key_passphrase_file: options.ssh_key_passphrase_file.clone(),
        }
    }

    /// For people: `ssh backup.example /srv/backups`.
    pub fn name(&self) -> String {
        let parts = [self.storage.kind(), self.storage.machine(), &self.container];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// What a record says of it, without what says nothing.
    pub fn record(&self) -> Map<String, Value> {
        let mut record = self.storage.place();
        record.retain(|_, value| *value != "");
        record.insert("storage".into(), json!(self.storage.kind()));
        record.insert("container".into(), json!(self.container));
        record
    }
}

impl ActionOptions {
    /// Checks and converts the merged values. `hostname` is this machine's.
    pub fn from_values(values: &Values, hostname: &str) -> Result<Self, OptionsError> {
        let mut each = Vec::new();
        for values in &split(values)? {
            each.push(Self::of_one_storage(values, hostname)?);
        }
        let places: Vec<Place> = each.iter().map(Place::of).collect();
        let told: Vec<Vec<String>> = each.iter().map(|one| one.notes.clone()).collect();
        let mut each = each.into_iter();
        let Some(mut options) = each.next() else { return Self::of_one_storage(values, hostname) };
        if places.len() < 2 {
            return Ok(options);
        }
        for (position, place) in places.iter().enumerate() {
            let is_same = |other: &Place| other.record() == place.record();
            if places.iter().take(position).any(is_same) {
                let cause = format!("names {} twice; each storage gets one copy", place.name());
                return Err(OptionsError::bad(STORAGES, cause));
            }
        }
        let is_for_several = options.medium.is_archive()
            || matches!(options.action, ActionKind::Info | ActionKind::Adopt | ActionKind::Exec);
        if !is_for_several {
            let text = format!(
                "storages is of modes fs, mysql, postgresql, mongo, sqlserver, cloud and stream, not of {}: make a job for each \
                 storage, or let the storage copy itself",
                options.medium.mode()
            );
            return Err(OptionsError::Conflict(text));
        }
        options.notes = notes(&told);
        options.storages = places;
        Ok(options)
    }

    /// The same for one of several storages.
    pub fn at(&self, place: &Place) -> Self {
        let place = place.clone();
        Self {
            storage: place.storage,
            container: place.container,
            insecure: place.insecure,
            storage_secret: place.storage_secret,
            ssh_password: place.ssh_password,
            ssh_password_file: place.ssh_password_file,
            ssh_key_passphrase_file: place.ssh_key_passphrase_file,
            storages: Vec::new(),
            ..self.clone()
        }
    }

    /// All storages, also when it is one.
    pub fn places(&self) -> Vec<Place> {
        if self.storages.is_empty() { vec![Place::of(self)] } else { self.storages.clone() }
    }
}

/// What has no effect with any of the storages, and all other remarks.
fn notes(told: &[Vec<String>]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for note in told.iter().flatten() {
        let is_common = told.iter().all(|of_one| of_one.contains(note));
        if (is_common || !note.starts_with("option ")) && !notes.contains(note) {
            notes.push(note.clone());
        }
    }
    notes
}

/// The action's values for each of its storages; nothing when it has one.
fn split(values: &Values) -> Result<Vec<Values>, OptionsError> {
    let entries = values.objects(STORAGES)?;
    if entries.len() > MOST {
        return Err(OptionsError::bad(
            STORAGES,
            format!("names {} storages; {MOST} are the most", entries.len()),
        ));
    }
    let mut each = Vec::new();
    for (number, entry) in (1..).zip(&entries) {
        let bad = |cause: String| OptionsError::bad(STORAGES, format!("number {number}: {cause}"));
        for key in entry.keys() {
            if !keys::find(key).is_some_and(keys::Key::is_of_storage) {
                return Err(bad(format!("{key} is no option of a storage")));
            }
        }
        let mut own = Values::default();
        own.fill(entry);
        if !own.is_set("storage") {
            return Err(bad("it does not say which storage it is (storage)".to_owned()));
        }
        own.fill_from(values, &["storage", "container", STORAGES]);
        each.push(own);
    }
    Ok(each)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(options: Value) -> Result<ActionOptions, OptionsError> {
        let mut values = Values::default();
        values.fill(options.as_object().unwrap());
        ActionOptions::from_values(&values, "host")
    }

    #[test]
    fn each_storage_has_its_own_and_shares_the_rest() {
        let options = read(json!({"action": "info", "ssh_key": "/key", "container": "/not/this", "storages": [
            {"storage": "local", "container": "/srv/backups"},
            {"storage": "ssh", "ssh-host": "far", "container": "backups"},
            {"storage": "ssh", "ssh_host": "farther", "container": "backups", "ssh_key": "/other", "insecure": true},
            {"storage": "swift"}]}))
        .unwrap();
        let names: Vec<String> = options.storages.iter().map(Place::name).collect();
        assert_eq!(
            names,
            ["local /srv/backups", "ssh far backups", "ssh farther backups", "swift freezer_backups"]
        );
        let keys: Vec<String> = options.storages[1..3]
            .iter()
            .filter_map(|place| match &options.at(place).storage {
                StorageOptions::Ssh { key, .. } => Some(key.display().to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(keys, ["/key", "/other"]);
        assert_eq!(
            options.storages.iter().map(|place| options.at(place).insecure).collect::<Vec<_>>(),
            [false, false, true, false]
        );
        // The first one stands for all where one is asked for.
        assert_eq!((options.storage.kind(), options.container.as_str()), ("local", "/srv/backups"));
        assert!(!options.notes.iter().any(|note| note.contains("ssh_")), "{:?}", options.notes);
        assert_eq!(options.storages[1].record()["ssh_host"], "far");
    }

    #[test]
    fn one_is_as_without_the_list() {
        let text = r#"[{"storage": "local", "container": "/srv"}]"#;
        let options = read(json!({"action": "info", "storages": text})).unwrap();
        assert!(options.storages.is_empty() && options.container == "/srv");
    }

    #[test]
    fn what_is_wrong_names_the_entry() {
        let local = json!({"storage": "local", "container": "/srv"});
        for (storages, words) in [
            (json!([local, {"container": "x"}]), vec!["number 2", "storage"]),
            (
                json!([local, {"storage": "local", "container": "/x", "max_level": 3}]),
                vec!["number 2", "max_level"],
            ),
            (json!([local, {"storage": "local", "storages": []}]), vec!["number 2", "storages"]),
            (json!([local, {"storage": "ssh"}]), vec!["ssh_host"]),
            (json!([local, local]), vec!["local /srv", "twice"]),
            (json!([local, "swift"]), vec!["storages", "objects"]),
            (json!("local"), vec!["storages", "objects"]),
            (json!(vec![local.clone(); 9]), vec!["9", "8"]),
        ] {
            let error = read(json!({"action": "info", "storages": storages})).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
        let two = json!([local, {"storage": "swift"}]);
        let error =
            read(json!({"mode": "cinder", "cinder_vol_id": "v", "storages": two})).unwrap_err().to_string();
        assert!(error.contains("not of cinder"), "{error}");
        // It names those that can have several.
        let (_, named) = error.split_once("of modes ").unwrap();
        let (named, _) = named.split_once(", not of").unwrap();
        for mode in named.split(", ").flat_map(|words| words.split(" and ")) {
            let read = read(json!({"action": "verify", "mode": mode, "storages": two})).unwrap();
            assert_eq!(read.storages.len(), 2, "{mode}");
        }
    }
}
