//! The usual case, with few requests: an increment on the newest chain, all of it whole and of this program.
//!
//! One listing shows what there is; then the manifests of the levels to build on are read and proved as in [`super::base`].
//! Whatever is not as usual is left to the full search, which reads everything and finds the cause.

use super::base::{Base, Found, candidate, identity, unlock};
use super::index::load;
use super::work::{Settings, Work};
use crate::VaultError;
use crate::catalogue::{Catalogue, Chain, Level, Tree, read_committed};
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
    let Some(chain) = read_below(store, &ids, base, request).await? else { return Ok(None) };
    let catalogue = Catalogue { hbn: request.hbn.clone(), chains: vec![chain] };
    let Some((level, key)) = prove(store, tree, &catalogue, base, request, keys).await? else {
        return Ok(None);
    };
    let pass = keys.map(|keys| keys.pass_phrase().clone());
    let Ok(index) = load::<W>(store, &request.hbn, level, key, pass).await? else { return Ok(None) };
    if work.refuses(&index).is_some() {
        return Ok(None);
    }
    let manifest_sha256 = level.sealed.as_ref().map(|sealed| sealed.sha256.clone());
    let link = ParentLink { level: base.level, timestamp: base.timestamp, manifest_sha256 };
    let mac =
        level.manifest().and_then(|manifest| manifest.encryption.as_ref()).map(|record| record.mac.clone());
    Ok(Some(Found {
        choice,
        base: Some(Base { link, identity: identity(level), index }),
        mac,
        warnings: Vec::new(),
    }))
}

/// The base and, of each level below it, the newest from before the one above: what it is built on, if all is as usual.
async fn read_below(
    store: &Arc<dyn Store>,
    ids: &[LevelId],
    base: &LevelId,
    request: &Settings,
) -> Result<Option<Chain>, VaultError> {
    let mut wanted = vec![*base];
    let mut above = *base;
    while above.level > 0 {
        let below = |id: &&LevelId| id.level + 1 == above.level && id.timestamp < above.timestamp;
        let Some(next) = ids.iter().filter(below).max_by_key(|id| id.timestamp) else { return Ok(None) };
        above = *next;
        wanted.push(above);
    }
    wanted.reverse();
    let levels: Vec<Option<Level>> = stream::iter(wanted)
        .map(|id| read_committed(store, &request.hbn, id))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let levels: Option<Vec<Level>> = levels.into_iter().collect();
    Ok(levels.map(|levels| Chain { timestamp: base.chain_timestamp, levels }))
}

/// The base with its authentication key, when all it is built on is whole, of the same pass phrase and of the same source.
async fn prove<'a>(
    store: &Arc<dyn Store>,
    tree: &Tree,
    catalogue: &'a Catalogue,
    base: &LevelId,
    request: &Settings,
    keys: Option<&KeyRing>,
) -> Result<Option<(&'a Level, Option<MacKey>)>, VaultError> {
    let Some(chain) = catalogue.chains.first() else { return Ok(None) };
    let Some(level) = chain.levels.iter().find(|level| level.id == *base) else { return Ok(None) };
    let Ok(lineage) = chain.lineage(level) else { return Ok(None) };
    if let Some(source) = &request.source {
        let foreign = catalogue.foreign(store, source, keys).await?;
        if chain.marked().is_none() || foreign.iter().any(Option::is_some) {
            return Ok(None);
        }
    }
    let mut key = None;
    for ancestor in lineage {
        match unlock(ancestor, keys).await? {
            Ok(found) if tree.has_payload(ancestor) => key = found,
            _ => return Ok(None),
        }
    }
    Ok(Some((level, key)))
}
