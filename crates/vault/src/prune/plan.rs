//! Deciding what goes.

use super::{Decision, PrunePlan, PruneRequest, Retention, Subject};
use crate::VaultError;
use crate::catalogue::{self, Catalogue, Chain, Level, Standing, check_presence};
use crate::layout::LevelId;
use crate::lock::time_text;
use freezer_storage::Store;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeSet;
use std::sync::Arc;

const SECONDS_PER_DAY: f64 = 86_400.0;
/// Requests on their way at once.
const AT_ONCE: usize = 8;

/// Computes the plan; changes nothing.
pub async fn plan(store: &Arc<dyn Store>, request: &PruneRequest) -> Result<PrunePlan, VaultError> {
    check(&request.retention)?;
    let catalogue = catalogue::list(store, &request.hbn).await?;
    let existing: Vec<&Level> = catalogue.chains.iter().flat_map(Chain::existing).collect();
    let present: Vec<Option<LevelId>> = stream::iter(existing.into_iter().map(|level| async {
        let fault = check_presence(store, &request.hbn, level).await?;
        Ok::<_, VaultError>(fault.is_none().then_some(level.id))
    }))
    .buffer_unordered(AT_ONCE)
    .try_collect()
    .await?;
    Ok(decide(&catalogue, request, &present.into_iter().flatten().collect()))
}

fn check(retention: &Retention) -> Result<(), VaultError> {
    let bad = |cause: &str| Err(VaultError::BadRequest { cause: cause.into() });
    if retention.remove_older_than_days.is_some_and(|days| !days.is_finite() || days <= 0.0) {
        return bad("remove_older_than must be a number of days greater than 0");
    }
    if retention.keep_last == Some(0) {
        return bad("keep_last must be at least 1");
    }
    Ok(())
}

/// A chain with what matters for the decision.
struct Judged<'a> {
    chain: &'a Chain,
    /// States that can be restored: timestamps, oldest first.
    points: Vec<i64>,
    /// `Err`: why it stays.
    verdict: Result<String, String>,
}

/// The decision itself. `present` are the levels whose payload is there.
pub(super) fn decide(
    catalogue: &Catalogue,
    request: &PruneRequest,
    present: &BTreeSet<LevelId>,
) -> PrunePlan {
    let mut judged: Vec<Judged> = Vec::new();
    let mut plan = PrunePlan { hbn: catalogue.hbn.to_string(), remove: Vec::new(), keep: Vec::new() };
    for chain in &catalogue.chains {
        let committed = chain.levels.iter().any(|level| level.standing != Standing::Uncommitted);
        if committed {
            judged.push(Judged { chain, points: points_of(chain, present), verdict: Err(String::new()) });
        }
    }
    let mut points: Vec<i64> = judged.iter().flat_map(|one| one.points.iter().copied()).collect();
    points.sort_unstable_by(|a, b| b.cmp(a));
    let last: Option<Vec<i64>> = request
        .retention
        .keep_last
        .map(|count| points.iter().copied().take(usize::try_from(count).unwrap_or(usize::MAX)).collect());
    for one in &mut judged {
        one.verdict = judge(one.chain, &one.points, request, last.as_deref());
    }
    spare_the_last(&mut judged);
    for one in judged {
        let levels = one.chain.levels.iter().map(|level| level.id).collect();
        let chain_timestamp = one.chain.timestamp;
        let row = |reason| Decision { subject: Subject::Chain, chain_timestamp, levels, reason };
        match one.verdict {
            Ok(reason) => plan.remove.push(row(reason)),
            Err(reason) => {
                plan.keep.push(row(reason));
                plan.remove.extend(orphans_of(one.chain, request));
            }
        }
    }
    add_unfinished_chains(catalogue, request, &mut plan);
    plan
}

fn points_of(chain: &Chain, present: &BTreeSet<LevelId>) -> Vec<i64> {
    let restorable = |level: &&Level| {
        chain.lineage(level).is_ok_and(|lineage| lineage.iter().all(|level| present.contains(&level.id)))
    };
    chain.existing().filter(restorable).map(|level| level.id.timestamp).collect()
}

/// `Ok`: it may go, and why. `Err`: it stays, and why.
fn judge(
    chain: &Chain,
    points: &[i64],
    request: &PruneRequest,
    last: Option<&[i64]>,
) -> Result<String, String> {
    let retention = &request.retention;
    if let Some(level) = chain.levels.iter().find(|level| is_fresh(level, request)) {
        return Err(format!("{} may be being written", level.id));
    }
    let committed = chain.levels.iter().filter(|level| level.standing != Standing::Uncommitted);
    let Some(newest) = committed.map(|level| level.id.timestamp).max() else {
        return Err("it holds nothing".into());
    };
    let age = format!("its newest level is of {}", time_text(newest));
    let mut rules = Vec::new();
    if let Some(days) = retention.remove_older_than_days {
        // Within the range of dates the conversion is exact enough; it saturates beyond.
        let cut = request.now_secs.saturating_sub((days * SECONDS_PER_DAY) as i64);
        rules.push((newest <= cut, format!("older than {days} days")));
    }
    if let Some(cut) = retention.remove_from_secs {
        rules.push((newest <= cut, format!("not after {}", time_text(cut))));
    }
    if let (Some(count), Some(last)) = (retention.keep_last, last) {
        let holds_one = points.iter().any(|point| last.contains(point));
        let behind = last.iter().min().is_some_and(|oldest| newest < *oldest);
        rules.push((!holds_one && behind, format!("not among the last {count} states")));
    }
    if rules.is_empty() {
        return Err("no rule was given".into());
    }
    let (names, failing): (Vec<_>, Vec<_>) =
        rules.iter().map(|(fits, name)| (name.as_str(), (!fits).then_some(name))).unzip();
    match failing.into_iter().flatten().next() {
        Some(name) => Err(format!("{age}; the rule '{name}' does not hold")),
        None => Ok(format!("{age}: {}", names.join(" and "))),
    }
}

/// Unfinished, and young enough that somebody may still be at it.
fn is_fresh(level: &Level, request: &PruneRequest) -> bool {
    let grace = i64::try_from(request.orphan_grace.as_secs()).unwrap_or(i64::MAX);
    level.standing == Standing::Uncommitted && level.id.timestamp.saturating_add(grace) > request.now_secs
}

/// Whatever the rules say, one chain that restores stays.
fn spare_the_last(judged: &mut [Judged]) {
    if judged.iter().any(|one| one.verdict.is_err() && !one.points.is_empty()) {
        return;
    }
    let newest = judged
        .iter_mut()
        .filter(|one| one.verdict.is_ok() && !one.points.is_empty())
        .max_by_key(|one| one.points.iter().copied().max());
    if let Some(one) = newest {
        one.verdict = Err("it is the only chain left that can be restored".into());
    }
}

/// Unfinished levels of a chain that stays.
fn orphans_of(chain: &Chain, request: &PruneRequest) -> Option<Decision> {
    let orphan = |level: &&Level| {
        level.standing == Standing::Uncommitted && !is_fresh(level, request) && !is_needed(chain, level)
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
fn add_unfinished_chains(catalogue: &Catalogue, request: &PruneRequest, plan: &mut PrunePlan) {
    for chain in &catalogue.chains {
        if chain.levels.iter().any(|level| level.standing != Standing::Uncommitted) {
            continue;
        }
        let fresh = chain.levels.iter().any(|level| is_fresh(level, request));
        let reason = if fresh { "may be being written" } else { "never finished" };
        let row = Decision {
            subject: Subject::Orphan,
            chain_timestamp: chain.timestamp,
            levels: chain.levels.iter().map(|level| level.id).collect(),
            reason: reason.into(),
        };
        if fresh { plan.keep.push(row) } else { plan.remove.push(row) }
    }
}
