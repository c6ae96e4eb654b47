//! Options of mode project: what of it is saved or restored, where to, and what takes the place of what.

use super::topology::{Kind, Missing, Resource};
use crate::options::typed::ActionKind;
use crate::options::values::{OptionsError, Values};
use serde_json::Value;
use std::collections::BTreeMap;

/// The word in `project_exclude` for the content of all containers.
const OBJECTS: &str = "objects";
/// Kinds that are mapped by names, beside those of a topology.
const VOLUME_TYPE: &str = "volume_type";
const FLAVOR: &str = "flavor";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectOptions {
    /// Restore these and what they need; empty: everything.
    pub select: Vec<Pattern>,
    /// Not saved.
    pub exclude: Vec<Pattern>,
    /// Containers are saved with their metadata only.
    pub without_objects: bool,
    /// What takes the place of an old resource, by kind and old id or name.
    pub mapped: BTreeMap<(Kind, String), String>,
    /// Volume types by the old ones.
    pub volume_types: BTreeMap<String, String>,
    /// Flavors, by id or name, by the names of the old ones.
    pub flavors: BTreeMap<String, String>,
    /// Id of the project to restore into, when it is not the login's.
    pub restore_to: Option<String>,
}

/// `volume`, or `volume/<id or name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pub kind: Kind,
    pub which: Option<String>,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let (kind, which) = match text.split_once('/') {
            Some((_, "")) => return Err(format!("'{text}' names nothing behind the slash")),
            Some((kind, which)) => (kind, Some(which.to_owned())),
            None => (text, None),
        };
        Ok(Self { kind: kind.parse()?, which })
    }

    pub fn fits(&self, resource: &Resource) -> bool {
        let is_it = |which: &String| *which == resource.id.id || *which == resource.name;
        self.kind == resource.id.kind && self.which.as_ref().is_none_or(is_it)
    }

    /// Of what is missing no name is known, but of containers, whose id it is.
    pub fn names(&self, missing: &Missing) -> bool {
        self.kind == missing.kind && (self.which.is_none() || self.which == missing.id)
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.which {
            Some(which) => write!(f, "{}/{which}", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}

impl ProjectOptions {
    pub fn from_values(values: &Values, action: ActionKind) -> Result<Self, OptionsError> {
        let only = |key: &str, wanted: ActionKind| match values.is_set(key) && action != wanted {
            true => Err(OptionsError::Conflict(format!("{key} is an option of action {}", wanted.as_str()))),
            false => Ok(()),
        };
        only("project_exclude", ActionKind::Backup)?;
        for key in ["project_select", "project_map", "project_restore_to"] {
            only(key, ActionKind::Restore)?;
        }
        let mut options = Self {
            select: patterns(values, "project_select")?,
            restore_to: project(values)?,
            ..Self::default()
        };
        for word in words(values, "project_exclude")? {
            match word.as_str() {
                OBJECTS => options.without_objects = true,
                text => options
                    .exclude
                    .push(Pattern::parse(text).map_err(|cause| OptionsError::bad("project_exclude", cause))?),
            }
        }
        for word in words(values, "project_map")? {
            options.map(&word).map_err(|cause| OptionsError::bad("project_map", cause))?;
        }
        Ok(options)
    }

    /// What takes the place of the flavor of a server.
    pub fn flavor_of(&self, server: &Resource) -> Option<String> {
        let name = server.document.pointer("/flavor/original_name").and_then(Value::as_str)?;
        self.flavors.get(name).cloned()
    }

    /// `network/<old id or name>=<new id>`.
    fn map(&mut self, word: &str) -> Result<(), String> {
        let wrong = || format!("'{word}' is not <kind>/<old id or name>=<new id>");
        let (old, new) = word.split_once('=').ok_or_else(wrong)?;
        let (kind, old) = old.split_once('/').ok_or_else(wrong)?;
        let (old, new) = (old.trim().to_owned(), new.trim().to_owned());
        if old.is_empty() || new.is_empty() {
            return Err(wrong());
        }
        let known = match kind {
            VOLUME_TYPE => self.volume_types.insert(old, new),
            FLAVOR => self.flavors.insert(old, new),
            kind => {
                let parsed = kind.parse().map_err(|cause| format!("{cause}, {VOLUME_TYPE}, {FLAVOR}"))?;
                self.mapped.insert((parsed, old), new)
            }
        };
        match known {
            Some(_) => Err(format!("'{word}' is mapped twice")),
            None => Ok(()),
        }
    }
}

/// Commas or line ends between the words: names may hold blanks.
fn words(values: &Values, key: &str) -> Result<Vec<String>, OptionsError> {
    let text = values.text(key)?.unwrap_or_default();
    let words = text.split([',', '\n']).map(str::trim).filter(|word| !word.is_empty());
    Ok(words.map(str::to_owned).collect())
}

fn patterns(values: &Values, key: &str) -> Result<Vec<Pattern>, OptionsError> {
    let words = words(values, key)?;
    words.iter().map(|word| Pattern::parse(word).map_err(|cause| OptionsError::bad(key, cause))).collect()
}

fn project(values: &Values) -> Result<Option<String>, OptionsError> {
    let Some(id) = values.text("project_restore_to")? else { return Ok(None) };
    if values.is_set("os_trust_id") {
        let cause = "project_restore_to cannot be reached under a trust, which is for one project; run the restore \
                     with a login of the other project";
        return Err(OptionsError::Conflict(cause.to_owned()));
    }
    Ok(Some(id))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn read(action: ActionKind, job: Value) -> Result<ProjectOptions, String> {
        let mut values = Values::default();
        values.fill(job.as_object().unwrap());
        ProjectOptions::from_values(&values, action).map_err(|error| error.to_string())
    }

    #[test]
    fn parts_and_maps_are_read() {
        let job = json!({
            "project_select": "volume/my data, network",
            "project_map": "network/public=n-2\nvolume_type/fast=slow,flavor/big=small",
        });
        let options = read(ActionKind::Restore, job).unwrap();
        let words: Vec<String> = options.select.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["volume/my data", "network"]);
        assert_eq!(options.mapped[&(Kind::Network, "public".into())], "n-2");
        assert_eq!(options.volume_types["fast"], "slow");
        assert_eq!(options.flavors["big"], "small");
        let options = read(ActionKind::Backup, json!({"project_exclude": "objects, image/iso"})).unwrap();
        assert!(options.without_objects && options.exclude.len() == 1);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        use ActionKind::{Backup, Restore};
        for (action, job, word) in [
            (Backup, json!({"project_select": "volume"}), "option of action restore"),
            (Restore, json!({"project_exclude": "volume"}), "option of action backup"),
            (Restore, json!({"project_select": "disk/x"}), "no kind of resource"),
            (Restore, json!({"project_select": "volume/"}), "names nothing"),
            (Restore, json!({"project_map": "network/a"}), "is not <kind>"),
            (Restore, json!({"project_map": "network/a=b,network/a=c"}), "mapped twice"),
            (Restore, json!({"project_map": "nets/a=b"}), "volume_type, flavor"),
            (Restore, json!({"project_restore_to": "p", "os_trust_id": "t"}), "under a trust"),
        ] {
            let error = read(action, job.clone()).unwrap_err();
            assert!(error.contains(word), "{job}: {error}");
        }
    }
}
