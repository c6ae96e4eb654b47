//! A server's databases as the source of a chain.

use super::conf::SqlServerConf;
use super::sqlcmd::{Database, Sqlcmd, name, text};
use super::staged::Staged;
use crate::databases::program::Ending;
use freezer_vault::Monitor;
use freezer_vault::backup::{Feed, Members, Owner, TarError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// What the backup holds.
pub(super) const DOCUMENT: &str = "sqlserver.json";
/// Folder with one folder a database.
pub(super) const FOLDER: &str = "databases";
/// A database's own backup in its folder; beside it the backups of its log.
pub(super) const FULL: &str = "full.bak";

/// What a level leaves for the next one, and for the one who restores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub server: String,
    pub databases: Vec<Kept>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub name: String,
    /// Below [`FOLDER`].
    pub folder: String,
    pub recovery_model: String,
    fork: String,
    /// Up to here the chain holds the database. Digits: longer than a number of JSON.
    last_lsn: String,
}

pub(crate) struct Databases {
    server: Sqlcmd,
    now_secs: i64,
    is_incremental: bool,
    /// Nothing is asked of the server that changes it: a backup of the log ends that part of the log.
    is_dry: bool,
    identity: String,
    chosen: Vec<Database>,
}

impl fmt::Debug for Databases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Databases").finish_non_exhaustive()
    }
}

impl Databases {
    /// Asks the server what there is.
    pub(crate) async fn look(
        conf: SqlServerConf,
        (is_incremental, is_dry): (bool, bool),
        now_secs: i64,
        monitor: &Arc<Monitor>,
    ) -> Result<Self, String> {
        if !conf.agent_folder.is_dir() {
            let folder = conf.agent_folder.display();
            return Err(format!("{folder} is no folder of this host; see agent_folder in sql_server_conf"));
        }
        let server = Sqlcmd { conf, ending: Ending::with(monitor) };
        let asked = server.clone();
        let listed =
            tokio::task::spawn_blocking(move || asked.list()).await.map_err(|error| error.to_string())??;
        let chosen = choose(&server.conf, listed.databases)?;
        if is_incremental {
            chosen
                .iter()
                .filter(|database| database.is_online)
                .try_for_each(|it| has_log(&server.conf, it))?;
        }
        Ok(Self { server, now_secs, is_incremental, is_dry, identity: listed.server, chosen })
    }

    /// What whoever asked for the backup should know.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let dry = "dry run: the server was asked for its databases, and made no backup; sizes are not known"
            .to_owned();
        self.server.conf.warning().into_iter().chain(self.is_dry.then_some(dry)).collect()
    }

    fn owner(&self) -> Owner {
        Owner::private(self.now_secs)
    }

    fn ask(&self, statement: &str) -> Result<(), TarError> {
        self.server.ask(statement).map(drop).map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: String) -> TarError {
        if self.server.ending.is_due() { TarError::Cancelled } else { TarError::Stream(cause) }
    }

    /// A backup that the server makes and checks, as a member; answers which part of the log it holds.
    fn save(
        &self,
        members: &mut Members<'_>,
        database: &str,
        (what, with): (&str, &str),
        member: impl FnOnce(u128) -> String,
    ) -> Result<(u128, u128), TarError> {
        if self.is_dry {
            return Ok((0, 0));
        }
        let staged = Staged::new(&self.server.conf);
        let (disk, called) = (text(&staged.server_path), text(&staged.name));
        let database = name(database);
        self.ask(&format!(
            "BACKUP {what} {database} TO DISK = {disk} WITH {with}CHECKSUM, FORMAT, NAME = {called}"
        ))?;
        self.ask(&format!("RESTORE VERIFYONLY FROM DISK = {disk} WITH CHECKSUM"))?;
        let reach = self.server.reach(&staged.name).map_err(|cause| self.failed(cause))?;
        let (mut file, bytes) = staged.open().map_err(TarError::Stream)?;
        members.file(&member(reach.1), self.owner(), bytes, &mut file)?;
        staged.remove().map_err(TarError::Stream)?;
        Ok(reach)
    }

    fn full(&self, members: &mut Members<'_>, database: &Database) -> Result<Kept, TarError> {
        let folder = folder_of(&database.name);
        members.directory(&format!("{FOLDER}/{folder}"), Owner { mode: 0o700, ..self.owner() })?;
        let with = if self.server.conf.copy_only { "COPY_ONLY, " } else { "" };
        let path = format!("{FOLDER}/{folder}/{FULL}");
        let (_, last) = self.save(members, &database.name, ("DATABASE", with), |_| path)?;
        let (name, recovery_model) = (database.name.clone(), database.recovery_model.clone());
        Ok(Kept { name, folder, recovery_model, fork: database.fork.clone(), last_lsn: last.to_string() })
    }

    fn log(&self, members: &mut Members<'_>, kept: &Kept) -> Result<Kept, TarError> {
        let (folder, now) = (&kept.folder, self.now_secs);
        let member = |last: u128| format!("{FOLDER}/{folder}/log-{last:025}-{now:012}.trn");
        let (first, last) = self.save(members, &kept.name, ("LOG", ""), member)?;
        if kept.lsn().is_none_or(|before| first > before) {
            return Err(TarError::Stream(format!(
                "the log of database {} was backed up by somebody else since the last level, which lacks that part: the next backup \
                 begins a new chain",
                kept.name
            )));
        }
        Ok(Kept { last_lsn: last.to_string(), ..kept.clone() })
    }

    fn leave(&self, members: &mut Members<'_>, note: &Note) -> Result<(), TarError> {
        let body = serde_json::to_vec(note).map_err(|error| TarError::Stream(error.to_string()))?;
        members.document(DOCUMENT, self.owner(), &body)?;
        if self.is_incremental {
            members.leave_note(body);
        }
        Ok(())
    }

    /// Why there can be no log since the level that left this.
    fn gap(&self, kept: &Kept) -> Option<String> {
        let name = &kept.name;
        let Some(now) = self.chosen.iter().find(|database| database.name == *name && database.is_online)
        else {
            return Some(format!("database {name} is not to be saved any more"));
        };
        if now.fork != kept.fork {
            return Some(format!("database {name} has been restored since"));
        }
        match (now.log_lsn, kept.lsn()) {
            (Some(now), Some(before)) if now <= before => None,
            (None, _) => Some(format!("the log of database {name} was not backed up since it was made")),
            _ => {
                Some(format!("the log of database {name} was backed up by somebody else, so there is a gap"))
            }
        }
    }
}

impl Kept {
    fn lsn(&self) -> Option<u128> {
        self.last_lsn.parse().ok()
    }
}

impl Feed for Databases {
    fn give(&self, members: &mut Members<'_>) -> Result<(), TarError> {
        members.directory(FOLDER, Owner { mode: 0o700, ..self.owner() })?;
        let mut note = Note { server: self.identity.clone(), databases: Vec::new() };
        for database in &self.chosen {
            if database.is_online {
                note.databases.push(self.full(members, database)?);
            } else {
                members.missing(&database.name, "the database is not online");
            }
        }
        self.leave(members, &note)
    }

    fn refuses(&self, note: &[u8]) -> Option<String> {
        if !self.is_incremental {
            return Some("not incremental".to_owned());
        }
        let Ok(note) = serde_json::from_slice::<Note>(note) else {
            return Some("it was not made to be continued".to_owned());
        };
        if note.server != self.identity {
            return Some(format!("it is of another server, {}", note.server));
        }
        let is_known = |database: &&Database| note.databases.iter().any(|kept| kept.name == database.name);
        if let Some(new) = self.chosen.iter().find(|database| !is_known(database)) {
            return Some(format!("database {} is not in it", new.name));
        }
        note.databases.iter().find_map(|kept| self.gap(kept))
    }

    fn go_on(&self, note: &[u8], members: &mut Members<'_>) -> Result<(), TarError> {
        let mut note: Note =
            serde_json::from_slice(note).map_err(|error| TarError::Stream(error.to_string()))?;
        members.directory(FOLDER, Owner { mode: 0o700, ..self.owner() })?;
        for kept in &mut note.databases {
            let folder = format!("{FOLDER}/{}", kept.folder);
            members.directory(&folder, Owner { mode: 0o700, ..self.owner() })?;
            *kept = self.log(members, kept)?;
        }
        self.leave(members, &note)
    }
}

/// Those that are to be saved.
fn choose(conf: &SqlServerConf, databases: Vec<Database>) -> Result<Vec<Database>, String> {
    if let Some(missing) = conf.names.iter().find(|name| !databases.iter().any(|it| it.name == **name)) {
        return Err(format!("the server has no database {missing}, which sql_server_conf names"));
    }
    let is_wanted =
        |name: &String| (conf.names.is_empty() || conf.names.contains(name)) && !conf.exclude.contains(name);
    let chosen: Vec<Database> = databases.into_iter().filter(|database| is_wanted(&database.name)).collect();
    if let Some(bad) = chosen.iter().find(|database| database.name.contains(char::is_control)) {
        let name = bad.name.escape_debug();
        return Err(format!("the name of database '{name}' has control characters; leave it out by names"));
    }
    if chosen.is_empty() {
        return Err("the server has no database to save".to_owned());
    }
    Ok(chosen)
}

/// Increments are backups of the log, and want one.
fn has_log(conf: &SqlServerConf, database: &Database) -> Result<(), String> {
    let name = &database.name;
    if database.recovery_model == "SIMPLE" {
        return Err(format!(
            "database {name} has recovery model SIMPLE, so its log cannot be saved: set it to FULL, leave it out by exclude, or take \
             whole backups (incremental=false)"
        ));
    }
    if conf.copy_only && database.log_lsn.is_none() {
        return Err(format!(
            "the log of database {name} does not begin before its first full backup, and those of copy_only are none: take one, or set \
             copy_only=false in sql_server_conf"
        ));
    }
    Ok(())
}

/// A name that every file system takes, and that tells databases apart.
fn folder_of(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    let short: String = name.chars().take(60).map(plain).collect();
    let hash = Sha256::digest(name.as_bytes());
    let tail: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{short}-{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_tell_databases_apart() {
        assert!(folder_of("bank").starts_with("bank-"));
        assert_ne!(folder_of("a/b"), folder_of("a_b"));
        assert!(folder_of("../..").starts_with("_____-"), "{}", folder_of("../.."));
        assert!(folder_of(&"\u{e9}".repeat(128)).len() < 80);
    }
}
