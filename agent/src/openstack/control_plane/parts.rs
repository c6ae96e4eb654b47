//! All parts of a control plane, one after the other, and the document that names them. A part that fails is told and makes the
//! backup partial; the others go on.

use super::conf::{ControlPlaneConf, DatabaseConf};
use super::small::Small;
use super::trees;
use freezer_vault::backup::{Feed, Members, Owner, TarError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;

/// Name of the document, the last member.
pub const DOCUMENT: &str = "control-plane.json";

/// The same of a database server's backup.
pub const SERVER_DOCUMENT: &str = "databases.json";

/// Where databases are that were dumped in one transaction.
const TOGETHER: &str = "databases/together";

pub struct Parts {
    pub conf: ControlPlaneConf,
    pub small: Vec<Small>,
    pub hostname: String,
    pub now_secs: i64,
    /// Without a server there is no backup, instead of a partial one.
    pub is_server: bool,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in it is secret.
        f.debug_struct("Parts").field("hostname", &self.hostname).finish_non_exhaustive()
    }
}

impl Feed for Parts {
    fn give(&self, members: &mut Members<'_>) -> Result<(), TarError> {
        let owner = Owner::private(self.now_secs);
        let mut parts = Vec::new();
        let folders =
            if self.is_server { &["databases"][..] } else { &["databases", "files", "rabbitmq", "ceph"] };
        for folder in folders {
            members.directory(folder, Owner { mode: 0o700, ..owner })?;
        }
        if let Some(databases) = &self.conf.databases {
            self.databases(databases, members, &mut parts)?;
        }
        for path in &self.conf.trees {
            let saved = trees::save(Path::new(path), members)?;
            let error = (saved.missing > 0).then(|| format!("{} of it could not be read", saved.missing));
            parts.push(json!({"kind": "files", "name": path, "member": format!("files{path}"), "files": saved.files, "bytes": saved.bytes, "error": error}));
        }
        for small in &self.small {
            parts.push(one_small(small, owner, members)?);
        }
        let document =
            json!({"version": 1, "hostname": self.hostname, "time_stamp": self.now_secs, "parts": parts});
        let text = serde_json::to_vec_pretty(&document).unwrap_or_default();
        members.document(if self.is_server { SERVER_DOCUMENT } else { DOCUMENT }, owner, &text)
    }
}

impl Parts {
    fn databases(
        &self,
        conf: &DatabaseConf,
        members: &mut Members<'_>,
        parts: &mut Vec<Value>,
    ) -> Result<(), TarError> {
        let (names, has_log) = match conf.survey() {
            Ok(found) => found,
            Err(error) if self.is_server => return Err(TarError::Stream(error)),
            Err(error) => {
                members.missing("databases", &error);
                parts.push(json!({"kind": "database", "name": null, "member": "databases", "error": error}));
                return Ok(());
            }
        };
        // Not side by side: a dump that waits for its turn is given up by the server after net_write_timeout.
        let at_once = if conf.one_transaction { names.len().max(1) } else { 1 };
        for names in names.chunks(at_once) {
            parts.push(self.dumped(conf, names, has_log, members)?);
        }
        Ok(())
    }

    /// Databases that are dumped in one transaction.
    fn dumped(
        &self,
        conf: &DatabaseConf,
        names: &[String],
        has_log: bool,
        members: &mut Members<'_>,
    ) -> Result<Value, TarError> {
        let name = names.join(",");
        let member = if names.len() > 1 { TOGETHER.to_owned() } else { format!("databases/{name}") };
        let outcome = match conf.dump(names, has_log) {
            Ok(mut dump) => {
                let streamed = members.stream(&member, Owner::private(self.now_secs), &mut dump)?;
                streamed.map_err(|error| error.to_string()).and_then(|streamed| Ok((streamed, dump.end()?)))
            }
            Err(error) => Err(error),
        };
        Ok(match outcome {
            Ok((streamed, position)) => json!({
                "kind": "database", "name": name, "member": member, "bytes": streamed.bytes, "sha256": streamed.sha256,
                "parts": streamed.parts, "position": position, "error": null,
            }),
            Err(error) => {
                members.missing(&member, &error);
                json!({"kind": "database", "name": name, "member": member, "error": error})
            }
        })
    }
}

fn one_small(small: &Small, owner: Owner, members: &mut Members<'_>) -> Result<Value, TarError> {
    let Small { name, kind, body } = small;
    match body {
        Ok(body) => {
            members.document(name, owner, body)?;
            let sha256: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(
                json!({"kind": kind, "name": name, "member": name, "bytes": body.len(), "sha256": sha256, "error": null}),
            )
        }
        Err(error) => {
            members.missing(name, error);
            Ok(json!({"kind": kind, "name": name, "member": name, "error": error}))
        }
    }
}
