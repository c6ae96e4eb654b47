//! Configuration trees: files, folders and links as they are, with owners and permissions.

use freezer_vault::backup::{Members, Owner, TarError};
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// No file of a configuration is longer; what is, is named and left out.
const LONGEST_BYTES: u64 = 64 << 20;

/// What was saved of a tree.
#[derive(Default)]
pub struct Saved {
    pub files: u64,
    pub bytes: u64,
    /// What could not be read.
    pub missing: u64,
}

/// Saves a path below `files/`, under its full name.
pub fn save(path: &Path, members: &mut Members<'_>) -> Result<Saved, TarError> {
    let mut saved = Saved::default();
    enter(path, members, &mut saved)?;
    Ok(saved)
}

fn enter(path: &Path, members: &mut Members<'_>, saved: &mut Saved) -> Result<(), TarError> {
    let name = format!("files{}", path.display());
    let mut lacks = |members: &mut Members<'_>, why: String| {
        saved.missing += 1;
        members.missing(&name, why);
    };
    if path.to_str().is_none() {
        lacks(members, "its name is no text".to_owned());
        return Ok(());
    }
    let facts = match path.symlink_metadata() {
        Ok(facts) => facts,
        Err(error) => {
            lacks(members, error.to_string());
            return Ok(());
        }
    };
    let owner = owner(&facts);
    if facts.is_dir() {
        members.directory(&name, owner)?;
        let listed = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut entries = match listed {
            Ok(entries) => entries,
            Err(error) => {
                lacks(members, error.to_string());
                return Ok(());
            }
        };
        entries.sort_by_key(std::fs::DirEntry::file_name);
        return entries.iter().try_for_each(|entry| enter(&entry.path(), members, saved));
    }
    if facts.is_symlink() {
        match std::fs::read_link(path) {
            Ok(target) => members.symlink(&name, owner, target.as_os_str().as_bytes())?,
            Err(error) => lacks(members, error.to_string()),
        }
        return Ok(());
    }
    if !facts.is_file() || facts.len() > LONGEST_BYTES {
        lacks(members, format!("no regular file of at most {LONGEST_BYTES} bytes"));
        return Ok(());
    }
    match std::fs::read(path) {
        Ok(body) => {
            saved.files += 1;
            saved.bytes += body.len() as u64;
            members.document(&name, owner, &body)
        }
        Err(error) => {
            lacks(members, error.to_string());
            Ok(())
        }
    }
}

fn owner(facts: &Metadata) -> Owner {
    Owner { mode: facts.mode() & 0o7777, uid: facts.uid(), gid: facts.gid(), mtime_secs: facts.mtime() }
}
