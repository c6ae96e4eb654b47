//! A server's databases as a stream.

use super::archive::{Archive, Held};
use super::conf::MongoConf;
use super::place::OplogPlace;
use crate::databases::program::{Ending, Program};
use freezer_vault::Monitor;
use freezer_vault::backup::{Feed, Members, Owner, Streamed, TarError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::ErrorKind;
use std::process::Command;
use std::sync::Arc;

/// Folder of the archive's parts.
pub(super) const FOLDER: &str = "mongo";
/// What the archive is of.
pub(super) const DOCUMENT: &str = "mongo.json";

/// Says what a dump is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// First and last change that came while the databases were read; the backup is as of the last. Without them each collection is
    /// as of the time when it was read.
    pub oplog_start: Option<OplogPlace>,
    pub oplog_end: Option<OplogPlace>,
    pub collections: u64,
    pub bytes: u64,
    pub sha256: String,
}

pub(crate) struct Dump {
    conf: MongoConf,
    now_secs: i64,
    ending: Ending,
}

impl fmt::Debug for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dump").finish_non_exhaustive()
    }
}

impl Dump {
    pub(crate) fn new(conf: MongoConf, now_secs: i64, monitor: &Arc<Monitor>) -> Self {
        Self { conf, now_secs, ending: Ending::with(monitor) }
    }

    /// What the one who restores should know.
    pub(crate) fn warning(&self) -> Option<String> {
        let text = "mongo_conf has oplog=false: each collection is as of the time when it was read, and not all as of one time";
        (!self.conf.has_oplog).then(|| text.to_owned())
    }

    fn start(&self) -> Result<Program, String> {
        let mut command = Command::new(&self.conf.dump_program);
        command.args(["--config=/dev/stdin", "--archive"]);
        if self.conf.has_oplog {
            command.arg("--oplog");
        }
        Program::start(command, Some(self.conf.config_file().as_bytes()), &self.ending)
    }

    fn archive(&self, members: &mut Members<'_>) -> Result<(Streamed, Held), TarError> {
        let mut archive = Archive::new(self.start().map_err(TarError::Stream)?);
        let streamed = members.stream(FOLDER, Owner::private(self.now_secs), &mut archive);
        let held = archive.held();
        // The program's own words come first: it knows why its archive is none.
        let ended = archive.into_inner().end();
        match (streamed, ended) {
            (Err(error), _) => Err(error),
            (_, Err(_)) if self.ending.is_due() => Err(TarError::Cancelled),
            // What was not read on ended the program.
            (Ok(Err(error)), _) if error.kind() == ErrorKind::InvalidData => {
                Err(TarError::Stream(format!("mongodump: {error}")))
            }
            (Ok(_), Err(cause)) => Err(TarError::Stream(self.told(&cause))),
            (Ok(Err(error)), Ok(())) => Err(TarError::Stream(format!("mongodump: {error}"))),
            (Ok(Ok(streamed)), Ok(())) => {
                let held = held.map_err(|cause| TarError::Stream(format!("mongodump: {cause}")))?;
                Ok((streamed, held))
            }
        }
    }

    /// A failure, and what may be done about it.
    fn told(&self, cause: &str) -> String {
        let cause = self.conf.hide(cause);
        if self.conf.has_oplog && cause.contains("oplog") {
            return format!(
                "{cause}; mode mongo saves a member of a replica set, with its oplog: where there is none, oplog=false in mongo_conf \
                 saves each collection as of the time when it is read"
            );
        }
        cause
    }
}

impl Feed for Dump {
    fn give(&self, members: &mut Members<'_>) -> Result<(), TarError> {
        let (streamed, held) = self.archive(members)?;
        if self.conf.has_oplog && held.oplog.is_none() {
            return Err(TarError::Stream(
                "mongodump --oplog has given an archive without an oplog".to_owned(),
            ));
        }
        let saved = Saved {
            oplog_start: held.oplog.map(|(first, _)| first),
            oplog_end: held.oplog.map(|(_, last)| last),
            collections: held.collections,
            bytes: streamed.bytes,
            sha256: streamed.sha256,
        };
        let body = serde_json::to_vec(&saved).map_err(|error| TarError::Stream(error.to_string()))?;
        members.document(DOCUMENT, Owner::private(self.now_secs), &body)
    }
}
