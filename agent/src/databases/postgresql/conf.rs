//! The file that says where a PostgreSQL server is. It lies on the agent's host: a job only names it (`postgresql_conf`). The
//! password is in a file of libpq's own forms, and goes to PostgreSQL's programs by its name.

use crate::options::ini;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Keys and the variables by which libpq takes them.
const VARIABLES: [(&str, &str); 11] = [
    ("host", "PGHOST"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("database", "PGDATABASE"),
    ("passfile", "PGPASSFILE"),
    ("service", "PGSERVICE"),
    ("service_file", "PGSERVICEFILE"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
];
const OTHERS: [&str; 3] = ["slot", "checkpoint", "bin_dir"];
/// Longest name of a replication slot.
const SLOT_CHARACTERS: usize = 63;

#[derive(Clone, Debug)]
pub struct PostgresqlConf {
    variables: Vec<(&'static str, String)>,
    bin_dir: Option<PathBuf>,
    /// The replication slot that keeps the log between two backups.
    pub slot: Option<String>,
    /// `spread`, which disturbs less, or `fast`.
    pub checkpoint: String,
}

impl PostgresqlConf {
    pub fn read(path: &Path) -> Result<Self, String> {
        let named = |error: String| format!("postgresql_conf {}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
        let values = ini::parse(&text, &format!("postgresql_conf {}", path.display()))?;
        Self::of(&values).map_err(named)
    }

    fn of(values: &Map<String, Value>) -> Result<Self, String> {
        let get = |key: &str| {
            values.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        if get("password").is_some() {
            return Err("a password does not belong here: put it into a file in the form of .pgpass, which only its owner can \
                        read, and name that by passfile"
                .to_owned());
        }
        let keys: Vec<&str> = VARIABLES.iter().map(|(key, _)| *key).chain(OTHERS).collect();
        if let Some(unknown) = values.keys().find(|key| !keys.contains(&key.as_str())) {
            return Err(format!("'{unknown}' is none of {}", keys.join(", ")));
        }
        let mut variables: Vec<(&'static str, String)> =
            VARIABLES.iter().filter_map(|(key, variable)| Some((*variable, get(key)?))).collect();
        if get("service").is_none() {
            if get("database").is_none() {
                variables.push(("PGDATABASE", "postgres".to_owned()));
            }
            // libpq verifies nobody unless it is told to.
            if get("sslmode").is_none() && get("host").is_some_and(|host| !is_here(&host)) {
                variables.push(("PGSSLMODE", "verify-full".to_owned()));
            }
        }
        let checkpoint = get("checkpoint").unwrap_or_else(|| "spread".to_owned());
        if !matches!(checkpoint.as_str(), "spread" | "fast") {
            return Err(format!("checkpoint: '{checkpoint}' is neither spread nor fast"));
        }
        let slot = get("slot");
        if let Some(bad) = slot.as_ref().filter(|slot| !is_slot(slot)) {
            return Err(format!("slot: '{bad}' is no name of a slot: lower-case letters, digits and _"));
        }
        Ok(Self { variables, bin_dir: get("bin_dir").map(PathBuf::from), slot, checkpoint })
    }

    /// A host's certificate is not verified because the file says so.
    pub fn warning(&self) -> Option<String> {
        let said =
            |name: &str| self.variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
        let mode = said("PGSSLMODE").filter(|mode| !mode.starts_with("verify-"))?;
        let host = said("PGHOST").filter(|host| !is_here(host))?;
        Some(format!(
            "sslmode {mode}: the certificate of {host} is not verified, so that whoever is on the way can read and change what is sent"
        ))
    }

    /// One of PostgreSQL's programs with this login, and nothing of the agent's own surroundings that leads elsewhere.
    pub fn command(&self, program: &str) -> Command {
        let path =
            self.bin_dir.as_ref().map_or_else(|| PathBuf::from(program), |folder| folder.join(program));
        let mut command = Command::new(path);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())));
        command.env("PGAPPNAME", "freezer").env("LC_ALL", "C");
        command
    }
}

fn is_here(host: &str) -> bool {
    host.starts_with('/') || host == "localhost" || host == "::1" || host.starts_with("127.")
}

fn is_slot(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=SLOT_CHARACTERS).contains(&name.len()) && name.bytes().all(inside)
}

/// The slot of backups of this name, when the file names none.
pub fn usual_slot(backup_name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' };
    let name: String = backup_name.chars().map(plain).collect();
    let own = if name.starts_with("freezer") { name } else { format!("freezer_{name}") };
    own.chars().take(SLOT_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(text: &str) -> Result<PostgresqlConf, String> {
        PostgresqlConf::of(&ini::parse(&format!("[default]\n{text}"), "test").unwrap())
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, word) in [
            ("password = p\n", "passfile"),
            ("pasfile = p\n", "'pasfile' is none of host"),
            ("slot = a-b\n", "no name of a slot"),
            ("checkpoint = soon\n", "neither spread nor fast"),
        ] {
            assert!(of(text).unwrap_err().contains(word), "{text}");
        }
    }

    #[test]
    fn who_is_not_here_is_verified() {
        let mode = |text: &str| {
            let conf = of(text).unwrap();
            let mode =
                conf.variables.iter().find(|(name, _)| *name == "PGSSLMODE").map(|(_, mode)| mode.clone());
            (mode, conf.warning().is_some())
        };
        assert_eq!(mode("host = db\n"), (Some("verify-full".to_owned()), false));
        assert_eq!(mode("host = db\nsslmode = require\n"), (Some("require".to_owned()), true));
        assert_eq!(mode("host = 127.0.0.1\n"), (None, false));
        assert_eq!(mode("host = /run/postgresql\nsslmode = disable\n"), (Some("disable".to_owned()), false));
        assert_eq!(mode("service = s\n"), (None, false));
    }

    #[test]
    fn slots_have_names_that_postgresql_takes() {
        assert_eq!(usual_slot("freezer_postgresql_Web-1"), "freezer_postgresql_web_1");
        assert_eq!(usual_slot("db"), "freezer_db");
        assert!(is_slot(&usual_slot(&"\u{e9}x/".repeat(60))));
    }
}
