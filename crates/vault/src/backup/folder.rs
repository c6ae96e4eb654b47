//! The tar engine's part of a backup.

use super::fed::FedWork;
use super::stages::archive;
use super::work::{BesidePayload, Outcome, Settings, StoredIndex, Work};
use super::{BackupReport, BackupRequest, run, scan};
use crate::VaultError;
use crate::catalogue::source_of_path;
use crate::codecs::Compressor;
use crate::layout::Hbn;
use crate::manifest::{MOST_PIECE_BYTES, ProblemSummary};
use crate::monitor::Monitor;
use crate::problem::FileProblem;
use crate::tar::{Index, Source, Written};
use freezer_storage::Store;
use std::io::{self, Write};
use std::sync::Arc;

/// So many problems are kept in the manifest.
const MOST_PROBLEMS: usize = 1000;

/// Makes a backup of a folder or file. When the returned future is dropped, the backup is cancelled and tidies up behind
/// itself, as it does after [`Monitor::cancel`].
pub async fn backup(
    store: Arc<dyn Store>,
    request: BackupRequest,
    monitor: Arc<Monitor>,
) -> Result<BackupReport, VaultError> {
    backup_to_all(vec![store], request, monitor).await
}

/// The same onto several stores, each of which gets all of it; the source is read once. Stores that fail are named in
/// [`BackupReport::copies`]; it is an error when all do.
pub async fn backup_to_all(
    stores: Vec<Arc<dyn Store>>,
    request: BackupRequest,
    monitor: Arc<Monitor>,
) -> Result<BackupReport, VaultError> {
    let settings = Settings {
        hbn: Hbn::new(&request.hostname, &request.backup_name)?,
        compression: request.compression,
        encryption: request.encryption,
        max_segment_size_bytes: request.max_segment_size_bytes,
        levels: request.levels,
        now_secs: request.now_secs,
        began: request.began,
        lock_expiry: request.lock_expiry,
        dry_run: request.dry_run,
        memory: request.memory,
        part_of: None,
        source: Some(match &request.feed {
            Some(_) => request.fed_from,
            None => source_of_path(request.source.path()),
        }),
    };
    match request.feed {
        Some(feed) => run::course(stores, settings, FedWork { feed }, monitor).await,
        None => {
            let work = Folder { source: request.source, scan_totals: request.scan_totals };
            run::course(stores, settings, work, monitor).await
        }
    }
}

struct Folder {
    source: Source,
    scan_totals: bool,
}

impl Work for Folder {
    type Index = Index;
    // Upstream's agent must be able to read it.
    const PACKS_METADATA: bool = false;
    const LISTS_MEMBERS: bool = true;

    fn piece_bytes(_: u32) -> u64 {
        MOST_PIECE_BYTES
    }

    fn read_index(stored: StoredIndex) -> Result<Index, String> {
        match stored {
            StoredIndex::Ours(body) => Index::from_bytes(&body).map_err(|error| error.to_string()),
            StoredIndex::Upstream(body) => Index::from_snar(&body).map_err(|error| error.to_string()),
        }
    }

    async fn open(&mut self, _: Option<&Index>) -> Result<(), VaultError> {
        Ok(())
    }

    fn write(
        self,
        base: Option<Index>,
        out: Compressor,
        monitor: Arc<Monitor>,
    ) -> Result<Outcome, VaultError> {
        let base = base.map(Arc::new);
        let scanning =
            if self.scan_totals { scan::start(&self.source, base.clone(), monitor.clone()) } else { None };
        let written = archive(&self.source, base.as_deref(), out, monitor);
        if let Some(scanning) = scanning {
            scanning.stop();
        }
        // Of a large tree it takes as much memory as the new index.
        drop(base);
        let (written, members_list) = written?;
        if let Some(snapshot) = &self.source.snapshot {
            snapshot.witness.vouch().map_err(|cause| VaultError::Source { cause })?;
        }
        let mut outcome = outcome(written, members_list);
        let leaves_out = !self.source.excludes.is_empty() || !self.source.rules.is_empty();
        outcome.problems.leaves_out = Some(leaves_out);
        Ok(outcome)
    }
}

impl BesidePayload for Index {
    fn write_index(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.write_to(out)
    }

    fn engine_metadata(self: Box<Self>) -> Vec<u8> {
        self.to_snar()
    }
}

pub(super) fn outcome(written: Written, members_list: Option<Vec<u8>>) -> Outcome {
    Outcome {
        members: written.members,
        content_bytes: written.content_bytes,
        archive_bytes: written.archive_bytes,
        problems: summarise(&written),
        is_partial: written.is_partial(),
        beside: Box::new(written.index),
        members_list,
        image_bytes: None,
        set_members: Vec::new(),
    }
}

/// Problems in their stored form, and how many there are.
fn summarise(written: &Written) -> ProblemSummary {
    let listed = written.problems.len() as u64;
    ProblemSummary {
        count: listed.saturating_add(written.unlisted_problems),
        first: written.problems.iter().take(MOST_PROBLEMS).map(FileProblem::from).collect(),
        leaves_out: Some(false),
    }
}
