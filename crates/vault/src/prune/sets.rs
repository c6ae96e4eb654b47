//! What rotation must know of sets: one whose members are gone restores as little as a chain with a hole, and a backup that a set
//! names is not rotated by its own name.

use super::plan::{decide, takes_chains};
use super::{PrunePlan, PruneRequest, Subject};
use crate::VaultError;
use crate::catalogue::{self, Catalogue, Chain, Standing};
use crate::hold::Holds;
use crate::layout::{Engine, LevelId};
use crate::manifest::MemberLink;
use crate::set::Finder;
use freezer_storage::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// By chain, why it stays whatever the rules say.
pub(super) type Bound = BTreeMap<i64, String>;

/// Chains of a member that sets name, or may name.
pub(super) async fn bound_by_sets(store: &Arc<dyn Store>, member: &Catalogue) -> Result<Bound, VaultError> {
    let mut bound = Bound::new();
    for set in catalogue::list_hbns(store, Engine::Set).await? {
        let found = catalogue::list(store, &set).await?;
        for level in found.chains.iter().flat_map(|chain| &chain.levels) {
            if matches!(level.standing, Standing::Damaged(_)) {
                let may_name = |chain: &&Chain| is_made_for(chain, member, set.as_str());
                for chain in member.chains.iter().filter(may_name) {
                    bound.insert(
                        chain.timestamp,
                        format!("the set {set}, {}, is damaged and may name it", level.id),
                    );
                }
            }
            for link in level.manifest().map(|manifest| manifest.members.as_slice()).unwrap_or_default() {
                if link.hbn()? == member.hbn {
                    let reason = format!("the set {set}, {}, names {}; rotate the set", level.id, link.id());
                    bound.insert(link.chain_timestamp, reason);
                }
            }
        }
    }
    Ok(bound)
}

/// By its name, or by what it says itself.
fn is_made_for(chain: &Chain, member: &Catalogue, set: &str) -> bool {
    let is_named = member.hbn.as_str().strip_prefix(set).is_some_and(|rest| rest.starts_with('_'));
    let says = |manifest: &crate::manifest::Manifest| manifest.part_of.as_deref() == Some(set);
    is_named || chain.levels.iter().any(|level| level.manifest().is_some_and(says))
}

/// Decides about sets. Members are looked for only where a set is to go, and only those of sets that are to stay in its place. One
/// that has lost members does not count; it stays as long as no newer set is whole, if any of its members is left.
pub(super) async fn decide_sets(
    store: &Arc<dyn Store>,
    catalogue: &Catalogue,
    request: &PruneRequest,
    present: &mut BTreeSet<LevelId>,
    holds: &Holds,
) -> Result<PrunePlan, VaultError> {
    let (mut finder, mut checked) = (Finder::new(store), BTreeSet::new());
    let mut damaged: BTreeMap<LevelId, String> = BTreeMap::new();
    loop {
        let newest_whole = present.iter().map(|id| id.timestamp).max();
        let is_newer = |id: &LevelId| newest_whole.is_none_or(|whole| id.timestamp > whole);
        let bound: Bound = damaged
            .iter()
            .filter(|(id, _)| is_newer(id))
            .map(|(id, cause)| (id.chain_timestamp, cause.clone()))
            .collect();
        let plan = decide(catalogue, request, present, (holds, &bound));
        let kept = plan.keep.iter().filter(|row| row.subject == Subject::Chain);
        let kept = kept.flat_map(|row| row.levels.iter().copied());
        let unknown: Vec<LevelId> = kept.filter(|id| present.contains(id) && !checked.contains(id)).collect();
        if unknown.is_empty() || !takes_chains(&plan) {
            return Ok(plan);
        }
        for id in unknown {
            checked.insert(id);
            let (fault, is_any_left) = look_for_members(&mut finder, links(catalogue, id)).await?;
            let Some(fault) = fault else { continue };
            present.remove(&id);
            if is_any_left {
                let cause = format!("a member is lost ({fault}), and no newer set is whole");
                damaged.insert(id, cause);
            }
        }
    }
}

fn links(catalogue: &Catalogue, id: LevelId) -> &[MemberLink] {
    let level = catalogue.chains.iter().flat_map(|chain| &chain.levels).find(|level| level.id == id);
    level.and_then(|level| level.manifest()).map(|manifest| manifest.members.as_slice()).unwrap_or_default()
}

/// What is wrong with the first member that does not restore, and whether one does.
async fn look_for_members(
    finder: &mut Finder<'_>,
    links: &[MemberLink],
) -> Result<(Option<String>, bool), VaultError> {
    let (mut fault, mut is_any_left) = (None, false);
    for link in links {
        match finder.fault_of(link).await? {
            Some(cause) => {
                fault.get_or_insert_with(|| format!("{}, {cause}", link.hbn));
            }
            None => is_any_left = true,
        }
    }
    Ok((fault, is_any_left))
}
