//! A saved archive into a server that runs.

use super::conf::MongoConf;
use super::dump::{DOCUMENT, FOLDER, Saved};
use super::place::OplogPlace;
use crate::databases::program::{Ending, Program};
use crate::databases::scratch::Scratch;
use freezer_vault::Monitor;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::sync::Arc;

/// Loads what was restored into `folder`; answers what is worth knowing. Blocking, where tokio runs.
pub(crate) fn load(
    conf: &MongoConf,
    folder: &Path,
    limit: Option<OplogPlace>,
    replaces: bool,
    monitor: &Arc<Monitor>,
) -> Result<Vec<String>, String> {
    let document = folder.join(DOCUMENT);
    let read = std::fs::read(&document).map_err(|error| format!("{}: {error}", document.display()))?;
    let saved: Saved =
        serde_json::from_slice(&read).map_err(|error| format!("{}: {error}", document.display()))?;
    let warnings = limit.map(|limit| reached(&saved, limit)).transpose()?.flatten();
    let scratch = Scratch::new().map_err(|error| format!("a temporary folder: {error}"))?;
    let config = config_file(conf, &scratch).map_err(|error| format!("a temporary file: {error}"))?;
    let mut command = Command::new(&conf.restore_program);
    command.arg(format!("--config={}", config.display())).args(["--archive", "--stopOnError"]);
    if saved.oplog_end.is_some() {
        command.arg("--oplogReplay");
    }
    if let Some(limit) = limit {
        command.arg(format!("--oplogLimit={limit}"));
    }
    if replaces {
        command.arg("--drop");
    }
    let (program, input) = Program::start_fed(command, &Ending::with(monitor))?;
    let fed = feed(folder, input);
    let said = program.end_saying().map_err(|cause| told(conf, &cause, replaces))?;
    fed?;
    match failed(&said) {
        0 => Ok(warnings.into_iter().collect()),
        count => Err(format!("mongorestore could not restore {count} documents: {}", conf.hide(&said))),
    }
}

/// Whether the place can be reached: before the last change a dump is of no one time.
fn reached(saved: &Saved, limit: OplogPlace) -> Result<Option<String>, String> {
    let (Some(start), Some(end)) = (saved.oplog_start, saved.oplog_end) else {
        return Err("recovery_target_oplog: the backup was made without an oplog".to_owned());
    };
    if limit <= start {
        return Err(format!(
            "recovery_target_oplog {limit}: this backup was begun at {start}; restore an older one (restore_from_date)"
        ));
    }
    Ok((limit <= end).then(|| {
        format!(
            "changes from {limit} on were not replayed, but collections that were read after it have them: all is as of one time only \
             from {end} on"
        )
    }))
}

/// In a folder that only its owner sees.
fn config_file(conf: &MongoConf, scratch: &Scratch) -> std::io::Result<PathBuf> {
    let path = scratch.path().join("mongo.yaml");
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(conf.config_file().as_bytes())?;
    Ok(path)
}

/// The parts, one after the other. A program that has ended says itself why.
fn feed(folder: &Path, mut input: ChildStdin) -> Result<(), String> {
    let parts = folder.join(FOLDER);
    let fail = |error: std::io::Error| format!("{}: {error}", parts.display());
    let names: Result<Vec<PathBuf>, _> =
        std::fs::read_dir(&parts).map_err(fail)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut names = names.map_err(fail)?;
    names.sort();
    for name in names {
        let mut part = File::open(&name).map_err(fail)?;
        match std::io::copy(&mut part, &mut input) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                return Err("mongorestore ended before the end of the archive".to_owned());
            }
            copied => copied.map_err(fail)?,
        };
    }
    Ok(())
}

fn told(conf: &MongoConf, cause: &str, replaces: bool) -> String {
    let cause = conf.hide(cause);
    if !replaces && cause.contains("duplicate key") {
        return format!(
            "{cause}; the server has these documents already: replace_databases drops a collection before it is restored"
        );
    }
    cause
}

/// How many documents mongorestore says that it could not restore: it ends well all the same.
fn failed(said: &str) -> u64 {
    let before =
        said.split(" document(s) failed to restore").next().filter(|before| before.len() < said.len());
    before.and_then(|before| before.rsplit([' ', '\n', '\t']).next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_documents_are_counted() {
        let line = |count| {
            format!(
                "2026-01-01T00:00:00.000+0000\t12 document(s) restored successfully. {count} document(s) failed to restore."
            )
        };
        assert_eq!((failed(&line(0)), failed(&line(3)), failed("done")), (0, 3, 0));
    }

    #[test]
    fn a_place_is_within_the_dump_or_after_it() {
        let at = |seconds| OplogPlace { seconds, ordinal: 0 };
        let (oplog_start, oplog_end) = (Some(at(10)), Some(at(20)));
        let saved = Saved { oplog_start, oplog_end, collections: 1, bytes: 1, sha256: String::new() };
        assert!(reached(&saved, at(10)).unwrap_err().contains("older"));
        assert!(reached(&saved, at(15)).unwrap().unwrap().contains("from 20:0 on"));
        assert_eq!(reached(&saved, at(21)), Ok(None));
        let without = Saved { oplog_start: None, oplog_end: None, ..saved };
        assert!(reached(&without, at(21)).is_err());
    }
}
