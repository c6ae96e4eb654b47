//! Finding the backup a new one is built on, and proving that it can be restored with it.

use super::index::load;
use super::work::{Settings, Work};
use crate::VaultError;
use crate::catalogue::{Catalogue, Chain, Level, check_presence};
use crate::encryption::{KeyDerivation, KeyRing, MacKey, MacParameters};
use crate::layout::LevelId;
use crate::levels::{Candidate, LevelChoice, choose};
use crate::manifest::ParentLink;
use freezer_storage::Store;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The level to build on, and what the new manifest says of it.
#[derive(Clone, Debug)]
pub(super) struct Parent {
    pub link: ParentLink,
    /// As in the manifest: of the level to build on and all below it.
    pub ancestors_sha256: Option<String>,
    /// How its keys came from the pass phrase; nothing when it is not encrypted.
    pub derivation: Option<KeyDerivation>,
}

pub(super) struct Base<I> {
    pub parent: Parent,
    /// The same on another storage means the same content; nothing for backups of upstream.
    pub identity: Option<String>,
    pub index: I,
}

/// What the backups that are there mean for the new one.
pub(super) struct Found<I> {
    pub choice: LevelChoice,
    pub base: Option<Base<I>>,
    /// Whose authentication key the new backup shares, so that restoring many levels does not derive as many keys.
    pub mac: Option<MacParameters>,
    /// Mark of clear backups of the same source, which an encrypted one takes the place of.
    pub succeeds: Option<String>,
    pub warnings: Vec<String>,
}

/// Chooses the level. Only levels that can be restored count; whatever makes the chosen base useless
/// leads to another base or a new chain, never to a chain with a hole, and never to an increment of something else.
/// Only a store that does not answer is an error. Levels of the timestamps in `excluded` do not count, for the cause there.
pub(super) async fn choose_base<W: Work>(
    store: &Arc<dyn Store>,
    catalogue: &Catalogue,
    (request, work): (&Settings, &mut W),
    keys: Option<&KeyRing>,
    excluded: &BTreeMap<i64, String>,
) -> Result<Found<W::Index>, VaultError> {
    let foreign = match &request.source {
        Some(source) => catalogue.foreign(store, source, keys).await?,
        None => vec![None; catalogue.chains.len()],
    };
    // Newest first.
    let mut existing: Vec<(&Chain, Option<String>)> = Vec::new();
    for (chain, foreign) in catalogue.chains.iter().zip(foreign).rev() {
        if chain.existing().next().is_some() {
            existing.push((chain, foreign));
        }
    }
    let warnings = match existing.first() {
        Some((_, Some(other))) => vec![format!(
            "{} holds backups of {other} too, and its newest is of that; give each folder a backup_name of its own",
            catalogue.hbn
        )],
        _ => Vec::new(),
    };
    let newest: Option<&Level> = existing.first().and_then(|(chain, _)| chain.existing().next_back());
    let mac = match newest {
        Some(newest) => proven(&newest.whole(store, &catalogue.hbn).await?, keys).await?,
        None => None,
    };
    let own: Option<&Chain> = existing.iter().find(|(_, foreign)| foreign.is_none()).map(|(chain, _)| *chain);
    let (choice, base) = match own.filter(|_| request.levels.incremental) {
        Some(chain) => base_in(store, catalogue, chain, (request, work), (keys, excluded)).await?,
        None => (choose(&request.levels, &[], request.now_secs), None),
    };
    let succeeds = match request.source.as_ref().filter(|_| request.encryption.is_some()) {
        Some(source) => catalogue.clear_mark(source)?,
        None => None,
    };
    Ok(Found { choice, base, mac, succeeds, warnings })
}

/// The parameters of a level's authentication key, if the pass phrase is the same.
async fn proven(level: &Level, keys: Option<&KeyRing>) -> Result<Option<MacParameters>, VaultError> {
    let Some(keys) = keys.filter(|_| level.is_encrypted()) else { return Ok(None) };
    let key = unlock(level, Some(keys)).await?;
    let record = level.manifest().and_then(|manifest| manifest.encryption.as_ref());
    Ok(record.filter(|_| matches!(key, Ok(Some(_)))).map(|record| record.mac.clone()))
}

type Chosen<I> = (LevelChoice, Option<Base<I>>);

/// The choice among the levels of one chain.
async fn base_in<W: Work>(
    store: &Arc<dyn Store>,
    catalogue: &Catalogue,
    chain: &Chain,
    (request, work): (&Settings, &mut W),
    (keys, excluded): (Option<&KeyRing>, &BTreeMap<i64, String>),
) -> Result<Chosen<W::Index>, VaultError> {
    // Levels found to be useless, with the cause.
    let mut useless = excluded.clone();
    loop {
        let sound = chain.existing().filter(|level| is_sound(chain, level, &useless));
        let sound: Vec<Candidate> = sound.map(|level| candidate(&level.id)).collect();
        let mut choice = choose(&request.levels, &sound, request.now_secs);
        let level =
            choice.base.and_then(|base| chain.existing().find(|level| level.id.timestamp == base.timestamp));
        let Some(level) = level else {
            let causes: Vec<String> = useless.into_values().collect();
            if !causes.is_empty() {
                choice.reason = format!("{} ({})", choice.reason, causes.join("; "));
            }
            return Ok((LevelChoice { base: None, level: 0, ..choice }, None));
        };
        let proven = prove::<W>(store, catalogue, chain, level, keys).await?;
        let wanted = proven.and_then(|index| match work.refuses(&index) {
            Some(cause) => Err((level.id.timestamp, cause)),
            None => Ok(index),
        });
        match wanted {
            Ok(index) => {
                let manifest_sha256 = level.sealed.as_ref().map(|sealed| sealed.sha256.clone());
                let link =
                    ParentLink { level: level.id.level, timestamp: level.id.timestamp, manifest_sha256 };
                let parent = Parent { link, ancestors_sha256: None, derivation: derivation(level) };
                return Ok((choice, Some(Base { parent, identity: identity(level), index })));
            }
            Err((timestamp, cause)) => {
                tracing::warn!(hbn = %catalogue.hbn, %cause, "this level cannot be built on");
                useless.insert(timestamp, cause);
            }
        }
    }
}

/// What only backups of one run have in common: the state that the next level compares with, and the payload's size.
pub(super) fn identity(level: &Level) -> Option<String> {
    let manifest = level.manifest()?;
    let (index, metadata) = (&manifest.index.sha256, &manifest.engine_metadata.sha256);
    Some(format!("{index} {metadata} {}", manifest.totals.stored_bytes))
}

/// As the manifest says, which [`unlock`] has proved.
pub(super) fn derivation(level: &Level) -> Option<KeyDerivation> {
    let record = level.manifest()?.encryption.as_ref()?;
    Some(record.derivation)
}

pub(super) fn candidate(id: &LevelId) -> Candidate {
    Candidate { level: id.level, timestamp: id.timestamp, chain_timestamp: id.chain_timestamp }
}

fn is_sound(chain: &Chain, level: &Level, useless: &BTreeMap<i64, String>) -> bool {
    let lineage = chain.lineage(level);
    lineage.is_ok_and(|lineage| lineage.iter().all(|level| !useless.contains_key(&level.id.timestamp)))
}

/// The index of `level`, or which level cannot be used and why.
async fn prove<W: Work>(
    store: &Arc<dyn Store>,
    catalogue: &Catalogue,
    chain: &Chain,
    level: &Level,
    keys: Option<&KeyRing>,
) -> Result<Result<W::Index, (i64, String)>, VaultError> {
    let lineage = match chain.lineage(level) {
        Ok(lineage) => lineage,
        Err(cause) => return Ok(Err((level.id.timestamp, cause))),
    };
    let mut base_key = None;
    for ancestor in lineage {
        let at = ancestor.id.timestamp;
        let ancestor = &ancestor.whole(store, &catalogue.hbn).await?;
        match unlock(ancestor, keys).await? {
            Ok(key) => base_key = key,
            Err(cause) => return Ok(Err((at, cause))),
        }
        if let Some(cause) = check_presence(store, &catalogue.hbn, ancestor).await? {
            return Ok(Err((at, cause)));
        }
    }
    let pass = keys.map(|keys| keys.pass_phrase().clone());
    let loaded = load::<W>(store, &catalogue.hbn, level, base_key, pass).await?;
    Ok(loaded.map_err(|cause| (level.id.timestamp, cause)))
}

/// A chain must be restorable with one pass phrase, and must not mix clear and encrypted levels.
pub(super) async fn unlock(
    level: &Level,
    keys: Option<&KeyRing>,
) -> Result<Result<Option<MacKey>, String>, VaultError> {
    match (keys, level.is_encrypted()) {
        (None, false) => Ok(Ok(None)),
        (None, true) => Ok(Err(format!("{} is encrypted and the new backup is not", level.id))),
        (Some(_), false) => Ok(Err(format!("{} is not encrypted and the new backup is", level.id))),
        (Some(keys), true) => {
            let sealed = level.sealed.as_ref();
            let Some((sealed, record)) =
                sealed.and_then(|sealed| Some((sealed, sealed.manifest.encryption.as_ref()?)))
            else {
                return Ok(Err(format!(
                    "{} is encrypted by upstream: its pass phrase cannot be proved",
                    level.id
                )));
            };
            if let Err(cause) = record.mac.checked_salt() {
                return Ok(Err(format!("{}: {cause}", level.id)));
            }
            let key = keys.key(&record.mac).await?;
            if sealed.is_authentic(&key)? {
                return Ok(Ok(Some(key)));
            }
            Ok(Err(format!("{} was made with another pass phrase", level.id)))
        }
    }
}
