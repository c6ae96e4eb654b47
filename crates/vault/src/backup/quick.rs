//! The usual case, with few requests: an increment on the newest chain, all of it whole and of this program.
//!
//! One listing shows what there is; then the manifests of the levels to build on are read and proved as in [`super::base`]. Those below
//! the base are not read when it says that they were, and they are listed now as they were then, with a tag of each object's content, or
//! with stamps by which nobody has written to their manifests since.
//! Whatever is not as usual is left to the full search, which reads everything and finds the cause.

use super::base::{Base, Found, Parent, candidate, derivation, identity, unlock};
use super::index::load;
use super::work::{Settings, Work};
use crate::VaultError;
use crate::catalogue::{Catalogue, Chain, Level, Tree};
use crate::encryption::{KeyRing, MacKey};
use crate::layout::{LevelId, MANIFEST};
use crate::levels::{Candidate, choose};
use crate::manifest::ParentLink;
use freezer_storage::Store;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;

/// Requests on their way at once.
const AT_ONCE: usize = 8;

/// `None`: something is not as usual.
pub(super) async fn choose_base<W: Work>(
    store: &Arc<dyn Store>,
    tree: &Tree,
    (request, work): (&Settings, &mut W),
    keys: Option<&KeyRing>,
) -> Result<Option<Found<W::Index>>, VaultError> {
    let ids = tree.newest_chain();
    if !request.levels.incremental || ids.iter().any(|id| !tree.has(id, MANIFEST)) {
        return Ok(None);
    }
    let candidates: Vec<Candidate> = ids.iter().map(candidate).collect();
    let choice = choose(&request.levels, &candidates, request.now_secs);
    let base = choice.base.and_then(|base| ids.iter().find(|id| id.timestamp == base.timestamp));
    let Some(base) = base else { return Ok(None) };
    let Some(below) = below(&ids, base) else { return Ok(None) };
    let Some(levels) = read(store, tree, base, &below, request).await? else { return Ok(None) };
    let chain = Chain { timestamp: base.chain_timestamp, levels };
    let catalogue = Catalogue { hbn: request.hbn.clone(), chains: vec![chain] };
    let Some(proof) = prove(store, tree, &catalogue, (base, below.as_slice()), request, keys).await? else {
        return Ok(None);
    };
    let Proof { level, key, lineage } = proof;
    let pass = keys.map(|keys| keys.pass_phrase().clone());
    let Ok(index) = load::<W>(store, &request.hbn, level, key, pass).await? else { return Ok(None) };
    if work.refuses(&index).is_some() {
        return Ok(None);
    }
    let manifest_sha256 = level.sealed.as_ref().map(|sealed| sealed.sha256.clone());
    let link = ParentLink { level: base.level, timestamp: base.timestamp, manifest_sha256 };
    let mac =
        level.manifest().and_then(|manifest| manifest.encryption.as_ref()).map(|record| record.mac.clone());
    let ancestors_sha256 = tree.listing_sha256(&lineage);
    let parent = Parent { link, ancestors_sha256, derivation: derivation(level) };
    Ok(Some(Found {
        choice,
        base: Some(Base { parent, identity: identity(level), index }),
        mac,
        // That stands in the level that the chain began with.
        succeeds: None,
        warnings: Vec::new(),
    }))
}

/// Of each level below the base the newest from before the one above, from the top: what it is built on, if all is as usual.
fn below(ids: &[LevelId], base: &LevelId) -> Option<Vec<LevelId>> {
    let mut found = Vec::new();
    let mut above = *base;
    while above.level > 0 {
        let is_next = |id: &&LevelId| id.level + 1 == above.level && id.timestamp < above.timestamp;
        let next = ids.iter().filter(is_next).max_by_key(|id| id.timestamp)?;
        above = *next;
        found.push(above);
    }
    Some(found)
}

/// Whether a level says that those below it were proved when they were listed as they are now.
fn vouches(level: &Level, tree: &Tree, below: &[LevelId]) -> bool {
    let recorded = level.manifest().and_then(|manifest| manifest.ancestors_sha256.as_deref());
    recorded.is_some() && recorded == tree.listing_sha256(below).as_deref()
}

/// The base and, unless it vouches for them, the levels below it, oldest first; `None` when one is not as usual.
async fn read(
    store: &Arc<dyn Store>,
    tree: &Tree,
    base: &LevelId,
    below: &[LevelId],
    request: &Settings,
) -> Result<Option<Vec<Level>>, VaultError> {
    let mut wanted: Vec<LevelId> = below.iter().rev().copied().collect();
    let mut first = None;
    // Where it cannot vouch for any, all are read at the same time.
    if !below.is_empty() && tree.listing_sha256(below).is_some() {
        let Some(level) = tree.committed(store, &request.hbn, *base).await? else { return Ok(None) };
        if vouches(&level, tree, below) {
            return Ok(Some(vec![level]));
        }
        first = Some(level);
    } else {
        wanted.push(*base);
    }
    let levels: Vec<Option<Level>> = stream::iter(wanted)
        .map(|id| tree.committed(store, &request.hbn, id))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let levels: Option<Vec<Level>> = levels.into_iter().collect();
    Ok(levels.map(|levels| levels.into_iter().chain(first).collect()))
}

/// A base that all is well with.
struct Proof<'a> {
    level: &'a Level,
    /// Its authentication key.
    key: Option<MacKey>,
    /// It and all it is built on, from the top.
    lineage: Vec<LevelId>,
}

/// All the base is built on is whole, of the same pass phrase and of the same source.
async fn prove<'a>(
    store: &Arc<dyn Store>,
    tree: &Tree,
    catalogue: &'a Catalogue,
    (base, below): (&LevelId, &[LevelId]),
    request: &Settings,
    keys: Option<&KeyRing>,
) -> Result<Option<Proof<'a>>, VaultError> {
    let Some(chain) = catalogue.chains.first() else { return Ok(None) };
    let Some(level) = chain.levels.iter().find(|level| level.id == *base) else { return Ok(None) };
    let (read, lineage) = match chain.lineage(level) {
        Ok(lineage) => {
            let ids: Vec<LevelId> = lineage.iter().rev().map(|level| level.id).collect();
            (lineage, ids)
        }
        Err(_) if vouches(level, tree, below) => {
            (vec![level], std::iter::once(*base).chain(below.iter().copied()).collect())
        }
        Err(_) => return Ok(None),
    };
    if let Some(source) = &request.source {
        let foreign = catalogue.foreign(store, source, keys).await?;
        if chain.marked().is_none() || foreign.iter().any(Option::is_some) {
            return Ok(None);
        }
    }
    let mut key = None;
    for ancestor in read {
        match unlock(ancestor, keys).await? {
            Ok(found) if tree.has_payload(ancestor) => key = found,
            _ => return Ok(None),
        }
    }
    Ok(Some(Proof { level, key, lineage }))
}
