//! Where a restore writes: into the target, or into a folder in it whose content is moved when all of it is there; and what
//! interrupted restores have left in the target.
//!
//! Levels above the first delete what they do not list, so several levels are restored beside, always: what somebody puts into
//! the target between two runs is never in their way.

use super::journal::{self, Found, Journal, Look, MergeStart, Resumed, SharedJournal};
use super::staging::Staging;
use super::{RestorePlan, RestoreRequest};
use crate::VaultError;
use crate::tar::Existing;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What a restore works with.
#[derive(Default)]
pub(super) struct Ground {
    /// Into this folder is restored; else into the target itself.
    pub staging: Option<Staging>,
    /// Where what is finished is noted.
    pub journal: Option<SharedJournal>,
    pub warnings: Vec<String>,
}

/// Whether a journal lies in the target, so that what else is there may be of an interrupted restore.
pub(super) fn has_journal(target: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(target)? {
        if entry?.file_name().to_str().is_some_and(journal::is_journal) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes ready, and refuses a target that holds something it may not hold. Blocking.
pub(super) fn prepare(request: &RestoreRequest, plan: &RestorePlan) -> Result<Ground, VaultError> {
    let target = &request.target;
    let local = |error: io::Error| VaultError::Local { path: target.clone(), cause: error.to_string() };
    let own = journal::identity(request, plan);
    let mut left = leftovers(target, own.as_deref()).map_err(local)?;
    if left.is_busy || (left.has_others_at_work && request.delete_foreign) {
        return Err(VaultError::TargetInUse { path: target.clone() });
    }
    let mut ground = Ground::default();
    let resumed = match left.own.take() {
        Some(found) => go_on(found, plan.levels.len(), &mut ground.warnings).map_err(local)?,
        None => None,
    };
    let knows = |name: &OsString| resumed.as_ref().is_some_and(|journal| journal.knows(name.as_bytes()));
    // What was begun over somebody's files goes on over them only where that is allowed again.
    let spares = |start: &MergeStart| start.is_alone || start.existing == Existing::Refuse;
    let begun = resumed.as_ref().and_then(|journal| journal.past().merging.as_ref());
    let is_merging = begun.is_some_and(spares);
    let is_occupied = !left.names.iter().all(knows);
    if is_occupied && !request.overwrite && !is_merging {
        return Err(VaultError::TargetNotEmpty { path: target.clone() });
    }
    for found in left.others {
        let what = found.describe();
        let text = format!("{what}, which was interrupted here, will not go on: another restore is made");
        tracing::warn!(path = %target.display(), "{text}");
        ground.warnings.push(text);
        found.discard().map_err(local)?;
    }
    if let Some(journal) = resumed {
        // One that is gone was empty: everything had been moved.
        let staging = journal.staging().map(|name| target.join(name)).filter(|path| journal::is_folder(path));
        ground.staging = staging.map(Staging::left);
        ground.journal = Some(Arc::new(Mutex::new(journal)));
        return Ok(ground);
    }
    begin(&mut ground, (request, plan), own.filter(|_| !left.is_blocked), is_occupied)?;
    Ok(ground)
}

/// A new restore. `own`: it can be gone on with, and by this its journal is found.
fn begin(
    ground: &mut Ground,
    (request, plan): (&RestoreRequest, &RestorePlan),
    own: Option<String>,
    is_occupied: bool,
) -> Result<(), VaultError> {
    let target = &request.target;
    // A rule about what is in the target must not be taken for one about what an earlier level has restored.
    let has_rules = request.delete_foreign
        || request.extract.existing != Existing::Replace
        || !request.extract.only.is_everything();
    let has_several = plan.levels.len() > 1;
    let is_staged = match &own {
        Some(_) => has_several || request.delete_foreign || (has_rules && is_occupied),
        None => is_occupied && (has_several || has_rules),
    };
    let staging = is_staged.then(journal::staging_name);
    let mut journal = None;
    if let Some(own) = own {
        let newest = plan.levels.last().map_or(0, |level| level.id.timestamp);
        let of = (own, plan.hbn.to_string(), newest);
        match Journal::create(target, of, staging.clone(), !is_staged && !is_occupied) {
            Ok(created) => journal = Some(created),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(VaultError::TargetInUse { path: target.clone() });
            }
            Err(error) => {
                let path = target.display();
                tracing::warn!(%path, %error, "no journal can be kept: an interrupted restore will begin anew");
            }
        }
    }
    let stays = journal.is_some();
    match staging.map(|name| Staging::make(target, &name, stays)).transpose() {
        Ok(staging) => ground.staging = staging,
        Err(error) => {
            // A journal of nothing would only be in the way.
            if let Some(journal) = &mut journal
                && let Err(cause) = journal.abandon()
            {
                tracing::warn!(%cause, "the journal of a restore that could not begin stays");
            }
            return Err(error);
        }
    }
    ground.journal = journal.map(|journal| Arc::new(Mutex::new(journal)));
    Ok(())
}

/// Goes on by the journal, or tidies up what cannot be believed.
fn go_on(found: Found, levels: usize, warnings: &mut Vec<String>) -> io::Result<Option<Journal>> {
    let what = found.describe();
    match found.resume(levels)? {
        Resumed::Journal(journal) => {
            let (levels, files) = (journal.past().first_level, journal.past().verified);
            tracing::info!(levels, files, "{what} was interrupted here and goes on");
            Ok(Some(*journal))
        }
        Resumed::Void(found, reason) => {
            let text = format!("{what} was interrupted here and begins anew: {reason}");
            tracing::warn!("{text}");
            warnings.push(text);
            found.discard()?;
            Ok(None)
        }
    }
}

/// What lies in a target.
#[derive(Default)]
struct Leftovers {
    /// What is no journal, and no folder that belongs to one.
    names: Vec<OsString>,
    /// The journal of the restore that is asked for.
    own: Option<Found>,
    /// Journals of others, which nobody works by.
    others: Vec<Found>,
    /// Somebody works by our journal.
    is_busy: bool,
    /// Somebody works by another one.
    has_others_at_work: bool,
    /// Something that is no journal has the name of ours.
    is_blocked: bool,
}

fn leftovers(target: &Path, own: Option<&str>) -> io::Result<Leftovers> {
    let own = own.map(journal::name_of);
    let mut left = Leftovers::default();
    for entry in std::fs::read_dir(target)? {
        let name = entry?.file_name();
        let text = name.to_str().unwrap_or_default().to_owned();
        if !journal::is_journal(&text) {
            left.names.push(name);
            continue;
        }
        let is_own = own.as_ref() == Some(&text);
        match journal::look(target, &text)? {
            Look::Nothing => {}
            Look::Found(found) if is_own => left.own = Some(*found),
            Look::Found(found) => left.others.push(*found),
            Look::Busy if is_own => left.is_busy = true,
            Look::Busy => {
                left.has_others_at_work = true;
                left.names.push(name);
            }
            Look::Foreign => {
                left.is_blocked |= is_own;
                left.names.push(name);
            }
        }
    }
    let folders = left.own.iter().chain(&left.others).filter_map(Found::staging).map(OsString::from);
    let folders: Vec<OsString> = folders.collect();
    left.names.retain(|name| !folders.contains(name));
    Ok(left)
}
