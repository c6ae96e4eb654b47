//! Servers that are saved by their vendors' own tools, and whether a restore goes back into one.

use super::medium::Medium;
use super::typed::{ActionKind, expand_home};
use super::values::{OptionsError, Values};
use crate::databases::mongo::OplogPlace;
use std::path::PathBuf;

/// What modes mongo and sqlserver are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerOptions {
    /// Where the server is, and the login.
    pub mongo_conf: Option<PathBuf>,
    pub sql_server_conf: Option<PathBuf>,
    /// A restore goes into that server, not only into files.
    pub loads: bool,
    /// What is in the server under the same names is replaced.
    pub replaces: bool,
    pub recovery_target_oplog: Option<OplogPlace>,
}

impl ServerOptions {
    pub(super) fn from_values(
        values: &Values,
        action: ActionKind,
        medium: &Medium,
    ) -> Result<Self, OptionsError> {
        let path = |key: &str| values.text(key).map(|text| text.map(|text| expand_home(&text)));
        let place = values.text("recovery_target_oplog")?.map(|text| OplogPlace::parse(&text)).transpose();
        let is_restore = action == ActionKind::Restore && is_loaded(medium);
        let options = Self {
            mongo_conf: path("mongo_conf")?,
            sql_server_conf: path("sql_server_conf")?,
            loads: values.flag("load_into_server")? && is_restore,
            replaces: values.flag("replace_databases")?,
            recovery_target_oplog: place
                .map_err(|cause| OptionsError::bad("recovery_target_oplog", cause))?,
        };
        if is_restore {
            options.check(values, medium)?;
        }
        Ok(options)
    }

    fn check(&self, values: &Values, medium: &Medium) -> Result<(), OptionsError> {
        if !self.loads {
            let needs = [
                ("replace_databases", self.replaces),
                ("recovery_target_oplog", self.recovery_target_oplog.is_some() && *medium == Medium::Mongo),
            ];
            return match needs.iter().find(|(_, is_said)| *is_said) {
                Some((key, _)) => {
                    Err(OptionsError::bad(key, "goes with load_into_server: without it files are restored"))
                }
                None => Ok(()),
            };
        }
        let (key, is_there) = match medium {
            Medium::Mongo => ("mongo_conf", self.mongo_conf.is_some()),
            _ => ("sql_server_conf", self.sql_server_conf.is_some()),
        };
        if !is_there {
            return Err(OptionsError::bad(key, "is needed by load_into_server"));
        }
        if values.is_set("restore_paths") {
            let text =
                "restore_paths and load_into_server exclude each other: a server takes its backup as a whole";
            return Err(OptionsError::Conflict(text.to_owned()));
        }
        Ok(())
    }
}

fn is_loaded(medium: &Medium) -> bool {
    matches!(medium, Medium::Mongo | Medium::SqlServer)
}

/// Options that nobody looks at, and why.
pub(super) fn useless(action: ActionKind, medium: &Medium) -> Vec<(&'static str, &'static str)> {
    let mut useless = Vec::new();
    if *medium != Medium::Mongo {
        useless.extend(["mongo_conf", "recovery_target_oplog"].map(|key| (key, "it is of mode mongo")));
    }
    if *medium != Medium::SqlServer {
        useless.push(("sql_server_conf", "it is of mode sqlserver"));
    }
    if action != ActionKind::Restore || !is_loaded(medium) {
        let why = "it is of restores of modes mongo and sqlserver";
        useless.extend(["load_into_server", "replace_databases"].map(|key| (key, why)));
    }
    useless
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(action: ActionKind, medium: &Medium, options: Value) -> Result<ServerOptions, String> {
        let mut values = Values::default();
        values.fill(options.as_object().unwrap());
        ServerOptions::from_values(&values, action, medium).map_err(|error| error.to_string())
    }

    #[test]
    fn a_server_is_loaded_only_when_that_is_said() {
        let job = json!({"mongo_conf": "/m", "sql_server_conf": "/s"});
        for medium in [Medium::Mongo, Medium::SqlServer] {
            assert!(!read(ActionKind::Restore, &medium, job.clone()).unwrap().loads);
            let mut said = job.clone();
            said["load_into_server"] = json!(true);
            assert!(read(ActionKind::Restore, &medium, said.clone()).unwrap().loads);
            assert!(!read(ActionKind::Backup, &medium, said.clone()).unwrap().loads);
            assert!(!read(ActionKind::Restore, &Medium::Files, said).unwrap().loads);
        }
    }

    #[test]
    fn what_goes_together_is_asked_for() {
        for (options, word) in [
            (json!({"load_into_server": true}), "mongo_conf"),
            (json!({"mongo_conf": "/m", "replace_databases": true}), "load_into_server"),
            (json!({"mongo_conf": "/m", "recovery_target_oplog": "5:1"}), "load_into_server"),
            (json!({"mongo_conf": "/m", "recovery_target_oplog": "noon"}), "SECONDS:ORDINAL"),
            (json!({"mongo_conf": "/m", "load_into_server": true, "restore_paths": ["x"]}), "restore_paths"),
        ] {
            let error = read(ActionKind::Restore, &Medium::Mongo, options.clone()).unwrap_err();
            assert!(error.contains(word), "{options}: {error}");
        }
    }
}
