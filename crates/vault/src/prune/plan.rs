//! Deciding what goes.

use super::sets::{Bound, bound_by_sets, decide_sets};
use super::{Decision, PrunePlan, PruneRequest, Subject};
use crate::VaultError;
use crate::catalogue::{self, Catalogue, Chain, Level, Standing, check_presence};
use crate::hold::{self, Holds};
use crate::layout::{Engine, LevelId};
use freezer_model::retention::{ChainFacts, Fate};
use freezer_storage::Store;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Requests on their way at once.
const AT_ONCE: usize = 8;

/// Computes the plan; changes nothing.
pub async fn plan(store: &Arc<dyn Store>, request: &PruneRequest) -> Result<PrunePlan, VaultError> {
    request.retention.check().map_err(|cause| VaultError::BadRequest { cause: cause.into() })?;
    let catalogue = catalogue::list(store, &request.hbn).await?;
    let holds = hold::list(store, &request.hbn).await?;
    let existing: Vec<&Level> = catalogue.chains.iter().flat_map(Chain::existing).collect();
    let present: Vec<Option<LevelId>> = stream::iter(existing.into_iter().map(|level| async {
        let fault = check_presence(store, &request.hbn, level).await?;
        Ok::<_, VaultError>(fault.is_none().then_some(level.id))
    }))
    .buffer_unordered(AT_ONCE)
    .try_collect()
    .await?;
    let mut present: BTreeSet<LevelId> = present.into_iter().flatten().collect();
    let plan = decide(&catalogue, request, &present, (&holds, &Bound::new()));
    // Only who removes something needs to know of sets.
    match request.hbn.engine() {
        Engine::Set if takes_chains(&plan) => {
            decide_sets(store, &catalogue, request, &mut present, &holds).await
        }
        // Other backups are in no set.
        Engine::Image if takes_chains(&plan) => {
            let bound = bound_by_sets(store, &catalogue).await?;
            Ok(decide(&catalogue, request, &present, (&holds, &bound)))
        }
        _ => Ok(plan),
    }
}

/// Whether more goes than leftovers.
pub(super) fn takes_chains(plan: &PrunePlan) -> bool {
    plan.remove.iter().any(|row| row.subject == Subject::Chain)
}

/// The decision itself. `present` are the levels whose payload is there.
pub(super) fn decide(
    catalogue: &Catalogue,
    request: &PruneRequest,
    present: &BTreeSet<LevelId>,
    (holds, bound): (&Holds, &Bound),
) -> PrunePlan {
    let mut plan = PrunePlan { hbn: catalogue.hbn.to_string(), remove: Vec::new(), keep: Vec::new() };
    let committed = |(chain, _): &(&Chain, _)| chain.levels.iter().any(is_committed);
    let (chains, facts): (Vec<&Chain>, Vec<ChainFacts>) = catalogue
        .chains
        .iter()
        .zip(catalogue.sources())
        .filter(committed)
        .map(|(chain, source)| {
            let source = source.map(|source| source.id.clone());
            let facts = facts(chain, present, request, holds);
            let held = facts.held.or_else(|| bound.get(&chain.timestamp).cloned());
            (chain, ChainFacts { source, held, ..facts })
        })
        .unzip();
    for (chain, fate) in chains.into_iter().zip(request.retention.decide(&facts, request.now_secs)) {
        let levels = chain.levels.iter().map(|level| level.id).collect();
        let chain_timestamp = chain.timestamp;
        let row = |reason| Decision { subject: Subject::Chain, chain_timestamp, levels, reason };
        match fate {
            Fate::Goes(reason) => plan.remove.push(row(reason)),
            Fate::Stays(reason) => {
                plan.keep.push(row(reason));
                plan.remove.extend(orphans_of(chain, request, holds));
            }
        }
    }
    add_unfinished_chains(catalogue, request, holds, &mut plan);
    plan
}

fn is_committed(level: &Level) -> bool {
    level.standing != Standing::Uncommitted
}

fn facts(chain: &Chain, present: &BTreeSet<LevelId>, request: &PruneRequest, holds: &Holds) -> ChainFacts {
    let committed = chain.levels.iter().filter(|level| is_committed(level));
    let fresh = chain.levels.iter().find(|level| is_fresh(level, request));
    ChainFacts {
        newest: committed.map(|level| level.id.timestamp).max(),
        points: points_of(chain, present),
        held: holds
            .of_chain(chain.timestamp, request.now_secs)
            .map(|held| format!("{} is {held}", held.id))
            .or_else(|| fresh.map(|level| format!("{} may be being written", level.id))),
        source: None,
    }
}

fn points_of(chain: &Chain, present: &BTreeSet<LevelId>) -> Vec<i64> {
    let restorable = |level: &&Level| {
        chain.lineage(level).is_ok_and(|lineage| lineage.iter().all(|level| present.contains(&level.id)))
    };
    chain.existing().filter(restorable).map(|level| level.id.timestamp).collect()
}

/// Unfinished, and young enough that somebody may still be at it.
fn is_fresh(level: &Level, request: &PruneRequest) -> bool {
    let grace = i64::try_from(request.orphan_grace.as_secs()).unwrap_or(i64::MAX);
    level.standing == Standing::Uncommitted && level.id.timestamp.saturating_add(grace) > request.now_secs
}

/// Unfinished levels of a chain that stays.
fn orphans_of(chain: &Chain, request: &PruneRequest, holds: &Holds) -> Option<Decision> {
    let orphan = |level: &&Level| {
        let is_free = !is_fresh(level, request) && holds.of(&level.id, request.now_secs).is_none();
        level.standing == Standing::Uncommitted && is_free && !is_needed(chain, level)
    };
    let levels: Vec<LevelId> = chain.levels.iter().filter(orphan).map(|level| level.id).collect();
    (!levels.is_empty()).then(|| Decision {
        subject: Subject::Orphan,
        chain_timestamp: chain.timestamp,
        levels,
        reason: "never finished".into(),
    })
}

/// Something that exists is built on it: then it is no leftover but a loss, and may be brought back.
fn is_needed(chain: &Chain, orphan: &Level) -> bool {
    chain.levels.iter().any(|child| match child.manifest() {
        Some(manifest) => manifest.parent.as_ref().is_some_and(|link| link.timestamp == orphan.id.timestamp),
        None => {
            let above = child.id.level > orphan.id.level && child.id.timestamp > orphan.id.timestamp;
            child.standing != Standing::Uncommitted && above && chain.lineage(child).is_err()
        }
    })
}

/// Chains in which nothing ever was finished.
fn add_unfinished_chains(catalogue: &Catalogue, request: &PruneRequest, holds: &Holds, plan: &mut PrunePlan) {
    for chain in &catalogue.chains {
        if chain.levels.iter().any(is_committed) {
            continue;
        }
        let fresh = chain.levels.iter().any(|level| is_fresh(level, request));
        let held = holds.of_chain(chain.timestamp, request.now_secs);
        let reason = match held {
            Some(held) => format!("{} is {held}", held.id),
            None if fresh => "may be being written".to_owned(),
            None => "never finished".to_owned(),
        };
        let row = Decision {
            subject: Subject::Orphan,
            chain_timestamp: chain.timestamp,
            levels: chain.levels.iter().map(|level| level.id).collect(),
            reason,
        };
        if fresh || held.is_some() { plan.keep.push(row) } else { plan.remove.push(row) }
    }
}
