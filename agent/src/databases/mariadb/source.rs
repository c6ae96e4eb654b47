//! A server's files as the source of a chain.

use super::server::{Log, Server};
use crate::databases::program::{Ending, Program};
use crate::openstack::control_plane::DatabaseConf;
use freezer_vault::Monitor;
use freezer_vault::backup::{Feed, Members, Owner, TarError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Folder of the stream's parts.
pub(super) const BASE: &str = "base";
/// Folder of the binary logs.
pub(super) const LOGS: &str = "binlog";
/// Where the backup stands in the binary log.
const POSITION: &str = "position.json";

/// What a level leaves for the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    server: String,
    /// First log that no level has.
    next: String,
    /// The transactions before it.
    before: String,
}

pub struct Files {
    server: Server,
    now_secs: i64,
    /// Set when there are to be increments.
    going_on: Option<GoingOn>,
    /// What whoever asked for the backup should know of it.
    doubts: Mutex<Vec<String>>,
}

struct GoingOn {
    identity: String,
    logs: Vec<Log>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

impl Files {
    /// Looks at the server, if there are to be increments.
    pub async fn look(
        conf: DatabaseConf,
        is_incremental: bool,
        now_secs: i64,
        monitor: &Arc<Monitor>,
    ) -> Result<Self, String> {
        let server = Server { conf, ending: Ending::with(monitor) };
        let asked = server.clone();
        let look = move || -> Result<Option<GoingOn>, String> {
            if !is_incremental {
                return Ok(None);
            }
            Ok(Some(GoingOn { identity: asked.identity()?, logs: asked.logs()? }))
        };
        let going_on = tokio::task::spawn_blocking(look).await.map_err(|error| error.to_string())??;
        Ok(Self { server, now_secs, going_on, doubts: Mutex::default() })
    }

    /// What was found while the backup was made.
    pub fn warnings(&self) -> Vec<String> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn owner(&self) -> Owner {
        Owner::private(self.now_secs)
    }

    /// What the next level begins with, when the current log has just begun.
    fn note(&self, identity: &str, logs: &[Log]) -> Result<Vec<u8>, String> {
        let next = logs.last().ok_or("the server has no binary log")?.file.clone();
        let note = Note { server: identity.to_owned(), before: self.server.before(&next)?, next };
        Ok(serde_json::to_vec(&note).unwrap_or_default())
    }

    /// How a program that gave a part of the archive has ended; answers what it said.
    fn ended<T>(&self, saved: Result<T, TarError>, program: Program) -> Result<(T, String), TarError> {
        match (saved, program.end_saying()) {
            (Err(TarError::Cancelled), _) => Err(TarError::Cancelled),
            (_, Err(_)) if self.server.ending.is_due() => Err(TarError::Cancelled),
            (_, Err(cause)) => Err(TarError::Stream(cause)),
            (Err(error), Ok(_)) => Err(error),
            (Ok(saved), Ok(said)) => Ok((saved, said)),
        }
    }

    fn base(&self, members: &mut Members<'_>) -> Result<(), TarError> {
        let (mut program, _scratch) = self.server.base().map_err(TarError::Stream)?;
        let saved = members.stream(BASE, self.owner(), &mut program);
        let saved = saved.and_then(|read| read.map_err(|error| TarError::Stream(error.to_string())));
        let (_, said) = self.ended(saved, program)?;
        if !said.contains("completed OK!") {
            return Err(TarError::Stream("mariadb-backup does not say that it is complete".to_owned()));
        }
        let line = position(&said);
        if line.is_none() {
            let doubts = self.doubt_position();
            self.doubts.lock().unwrap_or_else(PoisonError::into_inner).extend(doubts);
        }
        let document = serde_json::to_vec(&json!({"binlog": line})).unwrap_or_default();
        members.document(POSITION, self.owner(), &document)
    }

    /// Nobody said where the files stand in the log: nothing to worry about where the server keeps none.
    fn doubt_position(&self) -> Option<String> {
        let why = match self.server.has_log() {
            Ok(false) => return None,
            Ok(true) => String::new(),
            Err(cause) => format!(" (whether the server keeps one could not be asked: {cause})"),
        };
        Some(format!(
            "mariadb-backup did not say where in the binary log the files are{why}, so {POSITION} does not know it; a \
             restore looks for it in the files themselves, and says what it found: try one before you rely on the logs"
        ))
    }

    fn log(&self, log: &Log, members: &mut Members<'_>) -> Result<(), TarError> {
        let (mut program, _scratch) = self.server.read_log(&log.file).map_err(TarError::Stream)?;
        let saved = members.file(&format!("{LOGS}/{}", log.file), self.owner(), log.bytes, &mut program);
        let saved = saved.and_then(|()| {
            let more = std::io::copy(&mut program, &mut std::io::sink());
            match more.map_err(|error| TarError::Stream(error.to_string()))? {
                0 => Ok(()),
                more => Err(TarError::Stream(format!("{} is {more} bytes too long", log.file))),
            }
        });
        self.ended(saved, program).map(drop)
    }
}

/// Where the files stand in the log, as mariadb-backup says it at its end.
fn position(said: &str) -> Option<&str> {
    said.lines().find_map(|line| line.split_once("binlog position: ")).map(|(_, place)| place.trim())
}

impl Feed for Files {
    fn give(&self, members: &mut Members<'_>) -> Result<(), TarError> {
        if let Some(GoingOn { identity, .. }) = &self.going_on {
            let logs = self.server.end_log().map_err(TarError::Stream)?;
            members.leave_note(self.note(identity, &logs).map_err(TarError::Stream)?);
        }
        self.base(members)
    }

    fn refuses(&self, note: &[u8]) -> Option<String> {
        let Some(GoingOn { identity, logs }) = &self.going_on else {
            return Some("not incremental".to_owned());
        };
        let Ok(note) = serde_json::from_slice::<Note>(note) else {
            return Some("it was not made to be continued".to_owned());
        };
        if note.server != *identity {
            return Some(format!("it is of another server, {}", note.server));
        }
        if !logs.iter().any(|log| log.file == note.next) {
            return Some(format!("the server has no {} any more, so the logs have a gap", note.next));
        }
        match self.server.before(&note.next) {
            Ok(before) if before == note.before => None,
            Ok(_) => Some(format!("{} is another log now", note.next)),
            Err(cause) => Some(cause),
        }
    }

    fn go_on(&self, note: &[u8], members: &mut Members<'_>) -> Result<(), TarError> {
        let note: Note = serde_json::from_slice(note).map_err(|error| TarError::Stream(error.to_string()))?;
        let logs = self.server.end_log().map_err(TarError::Stream)?;
        let start = logs.iter().position(|log| log.file == note.next);
        let start =
            start.ok_or_else(|| TarError::Stream(format!("the server has just removed {}", note.next)))?;
        let complete = logs.get(start..logs.len().saturating_sub(1)).unwrap_or_default();
        members.directory(LOGS, Owner { mode: 0o700, ..self.owner() })?;
        for log in complete {
            self.log(log, members)?;
        }
        members.leave_note(self.note(&note.server, &logs).map_err(TarError::Stream)?);
        Ok(())
    }
}
