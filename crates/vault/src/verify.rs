//! Reading backups again and checking every hash and code, without restoring anything.

use crate::Sample;
use crate::VaultError;
use crate::backup::{attachment_fault, contents_within, index_within};
use crate::catalogue::{self, Catalogue, Chain, Level, Standing, read_whole};
use crate::encryption::{KeyRing, MacKey, PassPhrase};
use crate::layout::{CONTENTS, DATA, ENGINE_METADATA, Hbn, INDEX, LevelId};
use crate::manifest::{Manifest, Piece};
use crate::monitor::{Monitor, Phase};
use crate::restore::{fetch_piece, name_chunks};
use freezer_model::clock::time_text;
use freezer_storage::{ObjectName, Store};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Longest small object that is read for verification.
const MOST_ATTACHMENT_BYTES: u64 = 16 << 30;

/// How much to check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The newest state (of each folder, where the name has backups of several) and all it is built on.
    #[default]
    Newest,
    /// The state of this time (the level's timestamp) and all it is built on.
    State(i64),
    /// The newest state not after this time, and all it is built on.
    AsOf(i64),
    /// Every level of every chain.
    All,
}

#[derive(Clone, Debug)]
pub struct VerifyRequest {
    pub hbn: Hbn,
    pub scope: Scope,
    /// Without it encrypted backups are checked by their SHA-256 only.
    pub pass_phrase: Option<PassPhrase>,
    /// Read only a part of the payload; that all of it is there with its sizes is looked at in any case.
    pub sample: Option<Sample>,
}

impl VerifyRequest {
    /// All of the newest state.
    pub fn new(hbn: Hbn) -> Self {
        Self { hbn, scope: Scope::Newest, pass_phrase: None, sample: None }
    }
}

/// What was found about one level.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    pub level: u32,
    pub timestamp: i64,
    pub chain_timestamp: i64,
    pub bytes_checked: u64,
    /// Everything that is not as it was written; empty: all is well as far as it could be checked.
    pub faults: Vec<String>,
    /// What could not be checked, and why.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    pub hbn: String,
    pub levels: Vec<Verdict>,
}

impl VerifyReport {
    pub fn is_sound(&self) -> bool {
        self.levels.iter().all(|verdict| verdict.faults.is_empty())
    }
}

/// Checks. Damage is a finding, not an error; errors are stores that do not answer and the like.
pub async fn verify(
    store: Arc<dyn Store>,
    request: VerifyRequest,
    monitor: Arc<Monitor>,
) -> Result<VerifyReport, VaultError> {
    let work = run(&store, &request, &monitor);
    let result = monitor.token().run_until_cancelled(work).await.unwrap_or(Err(VaultError::Cancelled));
    monitor.set_phase(Phase::Finished);
    result
}

async fn run(
    store: &Arc<dyn Store>,
    request: &VerifyRequest,
    monitor: &Monitor,
) -> Result<VerifyReport, VaultError> {
    monitor.set_phase(Phase::Planning);
    let catalogue = catalogue::list(store, &request.hbn).await?;
    let finished = |level: &&Level| level.standing != Standing::Uncommitted;
    let all = catalogue.chains.iter().flat_map(|chain| chain.levels.iter().map(move |level| (chain, level)));
    let mut wanted: Vec<(&Chain, &Level)> = all.filter(|(_, level)| finished(level)).collect();
    wanted.retain(|(_, level)| match request.scope {
        Scope::State(timestamp) => level.id.timestamp == timestamp,
        Scope::AsOf(limit) => level.id.timestamp <= limit,
        Scope::Newest | Scope::All => true,
    });
    if wanted.is_empty() {
        let before = match request.scope {
            Scope::State(timestamp) => format!(" of {}", time_text(timestamp)),
            Scope::AsOf(limit) => format!(" up to {}", time_text(limit)),
            Scope::Newest | Scope::All => String::new(),
        };
        let hbn = request.hbn.to_string();
        return Err(VaultError::NoBackup { hbn, before, store: store.describe() });
    }
    if request.scope != Scope::All {
        let newest = newest_of_each(&catalogue, &wanted);
        wanted = newest
            .into_iter()
            .flat_map(|(chain, level)| {
                let lineage = chain.lineage(level).unwrap_or_else(|_| vec![level]);
                lineage.into_iter().map(move |level| (chain, level))
            })
            .collect();
    }
    let bytes = wanted.iter().filter_map(|(_, level)| level.stored_bytes()).sum();
    monitor.set_totals(bytes, wanted.len() as u64);
    monitor.set_phase(Phase::Transferring);
    let keys = request.pass_phrase.clone().map(KeyRing::new);
    let mut levels = Vec::new();
    for (chain, level) in wanted {
        monitor.set_current(&level.id.to_string());
        let level = level.whole(store, &request.hbn).await?;
        levels.push(check_level(store, request, chain, &level, keys.as_ref(), monitor).await?);
        monitor.add_file();
    }
    Ok(VerifyReport { hbn: request.hbn.to_string(), levels })
}

/// The newest of the levels for each folder that the name has backups of.
fn newest_of_each<'a>(
    catalogue: &Catalogue,
    levels: &[(&'a Chain, &'a Level)],
) -> Vec<(&'a Chain, &'a Level)> {
    let chains = catalogue.chains.iter().map(|chain| chain.timestamp);
    let sources: BTreeMap<i64, Option<&str>> = chains
        .zip(catalogue.sources().into_iter().map(|source| source.map(|source| source.id.as_str())))
        .collect();
    let mut newest: BTreeMap<Option<&str>, (&Chain, &Level)> = BTreeMap::new();
    for &(chain, level) in levels {
        let source = sources.get(&chain.timestamp).copied().flatten();
        let best = newest.entry(source).or_insert((chain, level));
        if best.1.id.timestamp <= level.id.timestamp {
            *best = (chain, level);
        }
    }
    newest.into_values().collect()
}

async fn check_level(
    store: &Arc<dyn Store>,
    request: &VerifyRequest,
    chain: &Chain,
    level: &Level,
    keys: Option<&KeyRing>,
    monitor: &Monitor,
) -> Result<Verdict, VaultError> {
    let id = level.id;
    let mut verdict = Verdict {
        level: id.level,
        timestamp: id.timestamp,
        chain_timestamp: id.chain_timestamp,
        bytes_checked: 0,
        faults: Vec::new(),
        notes: Vec::new(),
    };
    if let Standing::Damaged(cause) = &level.standing {
        verdict.faults.push(cause.clone());
        return Ok(verdict);
    }
    if let Err(cause) = chain.lineage(level) {
        verdict.faults.push(cause);
    }
    let key = match authentic_key(level, keys, &mut verdict).await? {
        Ok(key) => key,
        Err(cause) => {
            verdict.faults.push(cause);
            return Ok(verdict);
        }
    };
    let Some(manifest) = level.manifest() else {
        verdict.notes.push("made by upstream's agent: there are no checksums".into());
        let presence = catalogue::check_presence(store, &request.hbn, level).await?;
        verdict.faults.extend(presence);
        return Ok(verdict);
    };
    check_attachments(store, (&request.hbn, &id), manifest, key.as_ref(), &mut verdict).await?;
    check_pieces(store, (request, &id), manifest, key.as_ref(), (monitor, &mut verdict)).await?;
    if verdict.faults.is_empty() {
        // Every piece that was read is right; what was lost, or added behind the last one shows in the sizes.
        verdict.faults.extend(catalogue::check_presence(store, &request.hbn, level).await?);
    }
    Ok(verdict)
}

/// What is kept beside the payload.
async fn check_attachments(
    store: &Arc<dyn Store>,
    (hbn, id): (&Hbn, &LevelId),
    manifest: &Manifest,
    key: Option<&MacKey>,
    verdict: &mut Verdict,
) -> Result<(), VaultError> {
    let mut parts = vec![
        (id.object(hbn, ENGINE_METADATA)?, &manifest.engine_metadata, None),
        (id.object(hbn, INDEX)?, &manifest.index, index_within(manifest)),
        (id.metadata(hbn)?, &manifest.metadata, None),
    ];
    if let Some(contents) = &manifest.contents {
        parts.push((id.object(hbn, CONTENTS)?, contents, contents_within(manifest)));
    }
    for (name, expected, within) in parts {
        let body = match within {
            Some(body) => Some(body),
            None => read_whole(store, &name, MOST_ATTACHMENT_BYTES).await?,
        };
        let fault = attachment_fault(body.as_deref(), expected, key)?;
        verdict.faults.extend(fault.map(|cause| fault_text(&name, &cause)));
    }
    Ok(())
}

/// The payload, or the sample of it that is asked for.
async fn check_pieces(
    store: &Arc<dyn Store>,
    (request, id): (&VerifyRequest, &LevelId),
    manifest: &Manifest,
    key: Option<&MacKey>,
    (monitor, verdict): (&Monitor, &mut Verdict),
) -> Result<(), VaultError> {
    let chosen = chosen(request, id, manifest);
    let left_out = chosen.iter().filter(|chosen| !**chosen).count();
    if left_out > 0 {
        let (read, all) = (chosen.len() - left_out, chosen.len());
        verdict.notes.push(format!("a sample: {read} of {all} pieces were read"));
    }
    for piece in manifest.pieces.iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(piece, _)| piece) {
        let fetched = fetch_piece(store, &request.hbn, id, piece, key).await;
        match fetched.map_err(|error| name_chunks(error, manifest, piece)) {
            Ok(_) => {
                verdict.bytes_checked = verdict.bytes_checked.saturating_add(piece.size_bytes);
                monitor.add_read(piece.size_bytes);
                monitor.add_stored(piece.size_bytes);
            }
            Err(VaultError::Damaged { place, cause }) => {
                monitor.add_errors(1);
                verdict.faults.push(format!("{place}: {cause}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Which pieces are read.
fn chosen(request: &VerifyRequest, id: &LevelId, manifest: &Manifest) -> Vec<bool> {
    let Some(sample) = &request.sample else { return vec![true; manifest.pieces.len()] };
    let name = |piece: &Piece| {
        let object = piece.object.as_deref().unwrap_or(DATA);
        format!("{}\0{}\0{object}\0{}", request.hbn, id.timestamp, piece.offset_bytes)
    };
    sample.choose(&manifest.pieces.iter().map(name).collect::<Vec<_>>())
}

fn fault_text(name: &ObjectName, cause: &str) -> String {
    format!("{name}: {cause}")
}

/// The authentication key, or why this level is not authentic. Without pass phrase there is none.
async fn authentic_key(
    level: &Level,
    keys: Option<&KeyRing>,
    verdict: &mut Verdict,
) -> Result<Result<Option<MacKey>, String>, VaultError> {
    let Some(sealed) = &level.sealed else { return Ok(Ok(None)) };
    let Some(record) = &sealed.manifest.encryption else { return Ok(Ok(None)) };
    let Some(keys) = keys else {
        verdict.notes.push("no pass phrase: the authentication codes were not checked".into());
        return Ok(Ok(None));
    };
    if let Err(cause) = record.mac.checked_salt() {
        return Ok(Err(cause));
    }
    let key = keys.key(&record.mac).await?;
    if sealed.is_authentic(&key)? {
        return Ok(Ok(Some(key)));
    }
    Ok(Err("wrong pass phrase, or its manifest was forged".into()))
}
