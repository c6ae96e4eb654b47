//! The file that says where a MongoDB server is (`mongo_conf`).

use crate::databases::access::{Access, hide};
use std::path::Path;
use zeroize::Zeroizing;

const KEYS: [&str; 5] = ["uri", "password", "oplog", "dump_program", "restore_program"];
const SECRETS: [&str; 2] = ["uri", "password"];
const SCHEMES: [&str; 2] = ["mongodb://", "mongodb+srv://"];

/// A server, and how it is saved.
#[derive(Clone)]
pub(crate) struct MongoConf {
    uri: Zeroizing<String>,
    password: Option<Zeroizing<String>>,
    /// With the changes that come meanwhile, which only members of a replica set know.
    pub has_oplog: bool,
    pub dump_program: String,
    pub restore_program: String,
}

impl MongoConf {
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let access = Access::read("mongo_conf", path, &KEYS, &SECRETS)?;
        let uri = access.get("uri").ok_or_else(|| access.bad("uri is not set: mongodb://HOST"))?;
        if !SCHEMES.iter().any(|scheme| uri.starts_with(scheme)) {
            return Err(access.bad("uri is neither of mongodb:// nor of mongodb+srv://"));
        }
        Ok(Self {
            has_oplog: access.flag("oplog", true)?,
            uri: Zeroizing::new(uri),
            password: access.get("password").map(Zeroizing::new),
            dump_program: access.get("dump_program").unwrap_or_else(|| "mongodump".to_owned()),
            restore_program: access.get("restore_program").unwrap_or_else(|| "mongorestore".to_owned()),
        })
    }

    /// What MongoDB's tools take by `--config`: YAML, in which a text may be written as in JSON.
    pub(super) fn config_file(&self) -> Zeroizing<String> {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut lines = format!("uri: {}\n", quoted(&self.uri));
        if let Some(password) = &self.password {
            lines += &format!("password: {}\n", quoted(password));
        }
        Zeroizing::new(lines)
    }

    /// What a program said, without the login.
    pub(super) fn hide(&self, said: &str) -> String {
        // The password within the address stands there alone, too.
        let login =
            self.uri.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(login, _)| login);
        let inside = login.and_then(|login| login.split_once(':')).map_or("", |(_, password)| password);
        hide(said, &[&self.uri, self.password.as_deref().map_or("", String::as_str), inside])
    }
}
