//! Finding the backup a new one is built on, and proving that it can be restored with it.

use super::index::load;
use super::work::{Settings, Work};
use crate::VaultError;
use crate::catalogue::{Catalogue, Chain, Level, check_presence};
use crate::encryption::{KeyRing, MacKey, MacParameters};
use crate::levels::{Candidate, LevelChoice, choose};
use crate::manifest::ParentLink;
use freezer_storage::Store;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct Base<I> {
    pub link: ParentLink,
    pub index: I,
    /// How its authentication key was made, when it is encrypted.
    pub mac: Option<MacParameters>,
}

/// Chooses the level. Only levels that can be restored count; whatever makes the chosen base useless
/// leads to another base or a new chain, never to a chain with a hole. Only a store that does not
/// answer is an error.
pub(super) async fn choose_base<W: Work>(
    store: &Arc<dyn Store>,
    catalogue: &Catalogue,
    request: &Settings,
    keys: Option<&KeyRing>,
) -> Result<(LevelChoice, Option<Base<W::Index>>), VaultError> {
    let newest = catalogue.chains.iter().rev().find(|chain| chain.existing().next().is_some());
    let Some(chain) = newest.filter(|_| request.levels.incremental) else {
        return Ok((choose(&request.levels, &[], request.now_secs), None));
    };
    // Levels found to be useless, with the cause.
    let mut useless: BTreeMap<i64, String> = BTreeMap::new();
    loop {
        let sound: Vec<Candidate> =
            chain.existing().filter(|level| is_sound(chain, level, &useless)).map(candidate).collect();
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
        match prove::<W>(store, catalogue, chain, level, keys).await? {
            Ok(index) => {
                let manifest_sha256 = level.sealed.as_ref().map(|sealed| sealed.sha256.clone());
                let link =
                    ParentLink { level: level.id.level, timestamp: level.id.timestamp, manifest_sha256 };
                let record = level.manifest().and_then(|manifest| manifest.encryption.as_ref());
                let mac = record.map(|record| record.mac.clone());
                return Ok((choice, Some(Base { link, index, mac })));
            }
            Err((timestamp, cause)) => {
                tracing::warn!(hbn = %catalogue.hbn, %cause, "this level cannot be built on");
                useless.insert(timestamp, cause);
            }
        }
    }
}

fn candidate(level: &Level) -> Candidate {
    let id = level.id;
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
async fn unlock(level: &Level, keys: Option<&KeyRing>) -> Result<Result<Option<MacKey>, String>, VaultError> {
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
