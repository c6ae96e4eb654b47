//! The file that says where a server is, and the login. It lies on the agent's host: a job only names it.

use crate::options::ini;
use serde_json::{Map, Value};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// What an access file says under its sections, read strictly: a key that nobody knows is an error.
pub(super) struct Access {
    /// For messages: the option and the file.
    pub name: String,
    values: Map<String, Value>,
}

impl Access {
    /// Reads the file that `option` names. `secrets` are keys that only its owner may read.
    pub(super) fn read(option: &str, path: &Path, keys: &[&str], secrets: &[&str]) -> Result<Self, String> {
        let name = format!("{option} {}", path.display());
        let named = |cause: String| format!("{name}: {cause}");
        let text =
            std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| named(error.to_string()))?;
        let values = ini::parse(&text, &name)?;
        if let Some(unknown) = values.keys().find(|key| !keys.contains(&key.as_str())) {
            return Err(named(format!("'{unknown}' is none of {}", keys.join(", "))));
        }
        let access = Self { name: name.clone(), values };
        let mode = std::fs::metadata(path).map_err(|error| named(error.to_string()))?.mode();
        let is_secret = secrets.iter().any(|key| access.get(key).is_some());
        if is_secret && mode & 0o007 != 0 {
            return Err(named(format!(
                "it holds a login, and everybody on this host can use it: chmod 600 {}",
                path.display()
            )));
        }
        Ok(access)
    }

    pub(super) fn get(&self, key: &str) -> Option<String> {
        let text = self.values.get(key).and_then(Value::as_str).map(str::trim);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// Several, with commas between.
    pub(super) fn list(&self, key: &str) -> Vec<String> {
        let text = self.get(key).unwrap_or_default();
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    pub(super) fn flag(&self, key: &str, usual: bool) -> Result<bool, String> {
        match self.get(key).map(|text| text.to_ascii_lowercase()).as_deref() {
            None => Ok(usual),
            Some("true" | "yes" | "on" | "1") => Ok(true),
            Some("false" | "no" | "off" | "0") => Ok(false),
            Some(other) => Err(self.bad(&format!("{key}: '{other}' is neither true nor false"))),
        }
    }

    pub(super) fn bad(&self, cause: &str) -> String {
        format!("{}: {cause}", self.name)
    }
}

/// A program's words without what is secret in them.
pub(super) fn hide(said: &str, secrets: &[&str]) -> String {
    secrets
        .iter()
        .filter(|secret| !secret.is_empty())
        .fold(said.to_owned(), |said, secret| said.replace(secret, "***"))
}
