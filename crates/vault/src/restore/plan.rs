//! Choosing what to restore, and proving that it can be before anything is written.

use super::{Authenticity, RestoreRequest, sniff_upstream};
use crate::VaultError;
use crate::catalogue::{self, Catalogue, Chain, Level, Standing, check_presence};
use crate::codecs::Compression;
use crate::encryption::{KeyDerivation, KeyRing, MacKey};
use crate::layout::{Engine, Hbn, LevelId};
use crate::lock::time_text;
use freezer_storage::Store;
use std::fmt;
use std::sync::Arc;

/// One level that will be replayed.
#[derive(Clone, Debug)]
pub struct PlannedLevel {
    pub id: LevelId,
    pub compression: Compression,
    pub encrypted: bool,
    /// When it is recorded.
    pub stored_bytes: Option<u64>,
    /// File content it holds, when it is recorded.
    pub content_bytes: Option<u64>,
    pub files: Option<u64>,
    pub(crate) level: Level,
    pub(crate) key: Option<MacKey>,
    pub(crate) derivation: Option<KeyDerivation>,
}

/// What a restore will do. Print it with `{}`.
#[derive(Clone, Debug)]
pub struct RestorePlan {
    pub hbn: Hbn,
    /// Level 0 first.
    pub levels: Vec<PlannedLevel>,
    pub warnings: Vec<String>,
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} levels to replay", self.hbn, self.levels.len())?;
        for level in &self.levels {
            let size = level
                .stored_bytes
                .map_or_else(|| "size not recorded".into(), |bytes| format!("{bytes} bytes"));
            let secret = if level.encrypted { ", encrypted" } else { "" };
            let (at, codec) = (time_text(level.id.timestamp), level.compression);
            writeln!(
                f,
                "  level {} of {at} ({}): {codec}{secret}, {size}",
                level.id.level, level.id.timestamp
            )?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "  note: {warning}"))
    }
}

/// Chooses the newest state not after the wanted time and checks, without reading payloads, that every
/// level it needs is there and can be decrypted.
pub async fn plan(store: &Arc<dyn Store>, request: &RestoreRequest) -> Result<RestorePlan, VaultError> {
    plan_of(store, Engine::Tar, request).await
}

/// The same for the backups of any engine.
pub(crate) async fn plan_of(
    store: &Arc<dyn Store>,
    engine: Engine,
    request: &RestoreRequest,
) -> Result<RestorePlan, VaultError> {
    let catalogue = find_catalogue(store, engine, request).await?;
    let hbn = catalogue.hbn.clone();
    let mut warnings = Vec::new();
    let (chain, newest) = select(store, &catalogue, request, &mut warnings)?;
    let broken = |cause: String| VaultError::BrokenChain { hbn: hbn.to_string(), cause };
    let lineage = chain.lineage(newest).map_err(broken)?;
    for level in &lineage {
        if let Some(cause) = check_presence(store, &hbn, level).await? {
            return Err(broken(format!("{}: {cause}", level.id)));
        }
    }
    let keys = request.pass_phrase.clone().map(KeyRing::new);
    let mut levels = Vec::new();
    for level in lineage {
        let level = level.whole(store, &hbn).await?;
        levels.push(unlock(store, &hbn, &level, keys.as_ref(), request, &mut warnings).await?);
    }
    Ok(RestorePlan { hbn, levels, warnings })
}

/// The first spelling of the name that has a backup.
async fn find_catalogue(
    store: &Arc<dyn Store>,
    engine: Engine,
    request: &RestoreRequest,
) -> Result<Catalogue, VaultError> {
    let mut first = None;
    for name in std::iter::once(&request.backup_name).chain(&request.also_named) {
        let catalogue = catalogue::list(store, &Hbn::of(engine, &request.hostname, name)?).await?;
        if catalogue.has_backup() {
            return Ok(catalogue);
        }
        first.get_or_insert(catalogue);
    }
    first.ok_or_else(|| VaultError::BadRequest { cause: "no backup name was given".into() })
}

/// The newest level not after the wanted time. A damaged one is not passed over in silence: whoever
/// wants an older state says so with a date.
fn select<'a>(
    store: &Arc<dyn Store>,
    catalogue: &'a Catalogue,
    request: &RestoreRequest,
    warnings: &mut Vec<String>,
) -> Result<(&'a Chain, &'a Level), VaultError> {
    let in_time = |level: &Level| request.not_after_secs.is_none_or(|limit| level.id.timestamp <= limit);
    let all = catalogue.chains.iter().flat_map(|chain| chain.levels.iter().map(move |level| (chain, level)));
    let mut candidates: Vec<_> = all.filter(|(_, level)| in_time(level)).collect();
    candidates.sort_by_key(|(_, level)| std::cmp::Reverse(level.id.timestamp));
    for (chain, level) in candidates {
        match &level.standing {
            Standing::Complete | Standing::Upstream => return Ok((chain, level)),
            Standing::Uncommitted => {
                warnings.push(format!("{} was passed over: it was never finished", level.id));
            }
            Standing::Damaged(cause) => {
                let hbn = catalogue.hbn.to_string();
                return Err(VaultError::BrokenChain {
                    hbn,
                    cause: format!("{} is damaged: {cause}", level.id),
                });
            }
        }
    }
    let before = request.not_after_secs.map(|secs| format!(" up to {}", time_text(secs))).unwrap_or_default();
    Err(VaultError::NoBackup { hbn: catalogue.hbn.to_string(), before, store: store.describe() })
}

/// Keys and formats of a level; a wrong pass phrase shows here.
async fn unlock(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &Level,
    keys: Option<&KeyRing>,
    request: &RestoreRequest,
    warnings: &mut Vec<String>,
) -> Result<PlannedLevel, VaultError> {
    let backup = format!("{hbn}, {}", level.id);
    let encrypted = level.is_encrypted();
    if !encrypted && keys.is_some() {
        warnings.push(format!("{} is not encrypted although a pass phrase was given", level.id));
    }
    let unlocked = unlock_keys(level, keys, &backup).await?;
    if request.authenticity == Authenticity::Required && unlocked.is_none() {
        return Err(VaultError::NotAuthenticated { backup });
    }
    let planned = PlannedLevel {
        id: level.id,
        compression: level.compression().unwrap_or(request.compression_fallback),
        encrypted,
        stored_bytes: level.stored_bytes(),
        content_bytes: level.manifest().map(|manifest| manifest.totals.read_bytes),
        files: level.manifest().map(|manifest| manifest.totals.files),
        level: level.clone(),
        key: unlocked,
        derivation: None,
    };
    if let Some(manifest) = level.manifest() {
        let derivation = manifest.encryption.as_ref().map(|record| record.derivation);
        return Ok(PlannedLevel { derivation, ..planned });
    }
    warnings.push(format!("{} was made by upstream's agent: there are no checksums to verify", level.id));
    let sniffed = sniff_upstream(store, hbn, level, keys.map(KeyRing::pass_phrase)).await?;
    let compression = sniffed.compression.unwrap_or(planned.compression);
    Ok(PlannedLevel {
        compression,
        encrypted: sniffed.derivation.is_some(),
        derivation: sniffed.derivation,
        ..planned
    })
}

/// The authentication key of a level of ours, proved against its manifest. `None`: nothing to prove.
async fn unlock_keys(
    level: &Level,
    keys: Option<&KeyRing>,
    backup: &str,
) -> Result<Option<MacKey>, VaultError> {
    let keys = require_pass_phrase(level, keys, backup)?;
    let Some((sealed, keys)) = level.sealed.as_ref().zip(keys) else { return Ok(None) };
    let Some(record) = &sealed.manifest.encryption else { return Ok(None) };
    if let Err(cause) = record.mac.checked_salt() {
        return Err(VaultError::BadManifest { object: backup.to_owned(), cause });
    }
    let key = keys.key(&record.mac).await?;
    if sealed.is_authentic(&key)? {
        return Ok(Some(key));
    }
    // Whoever forges a manifest makes its SHA-256 fit; without the pass phrase its code never does.
    Err(VaultError::WrongPassPhrase { backup: backup.to_owned() })
}

/// The keys, unless the level needs some and there are none.
fn require_pass_phrase<'a>(
    level: &Level,
    keys: Option<&'a KeyRing>,
    backup: &str,
) -> Result<Option<&'a KeyRing>, VaultError> {
    if level.is_encrypted() && keys.is_none() {
        return Err(VaultError::PassPhraseMissing { backup: backup.to_owned() });
    }
    Ok(keys)
}
