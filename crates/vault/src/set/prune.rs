//! Retention of sets: what goes with a set that goes.
//!
//! A chain of a member goes when every backup in it is named by a set that goes and by none that stays. A backup that no set
//! names keeps its chain: it may be part of a set that is just being made, or stand for itself. But one that says that it was
//! made for this set, and that after long no set names, is what a run left that was ended in the middle: it goes.

use crate::VaultError;
use crate::catalogue::{self, Chain, Level, Standing};
use crate::hold;
use crate::layout::{Engine, Hbn, LevelId};
use crate::lock::Lock;
use crate::manifest::MemberLink;
use crate::monitor::{Monitor, Phase};
use crate::prune::{self, Decision, PrunePlan, PruneReport, PruneRequest, Subject};
use freezer_storage::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// No run that makes a set lasts longer.
const LONGEST_RUN_SECS: i64 = 7 * 86_400;

/// What happens to the chains of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberPlan {
    pub hbn: Hbn,
    pub plan: PrunePlan,
}

/// What would be removed and what stays. Print it with `{}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetPrunePlan {
    pub set: PrunePlan,
    pub members: Vec<MemberPlan>,
}

impl fmt::Display for SetPrunePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.set.fmt(f)?;
        self.members.iter().try_for_each(|member| member.plan.fmt(f))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetPruneReport {
    pub sets: PruneReport,
    /// Sums over all members.
    pub members: PruneReport,
}

/// Who names what.
#[derive(Default)]
struct Names {
    going: BTreeMap<Hbn, BTreeSet<LevelId>>,
    staying: BTreeMap<Hbn, BTreeSet<LevelId>>,
    /// Sets that stay and do not say any more what they name.
    damaged: Vec<String>,
}

/// Backups that were made for a set which never came to be.
struct Abandoned {
    set: String,
    before_secs: i64,
}

impl Abandoned {
    fn has(&self, level: &Level) -> bool {
        let is_of_set =
            || level.manifest().is_some_and(|manifest| manifest.part_of.as_ref() == Some(&self.set));
        level.standing == Standing::Complete && level.id.timestamp < self.before_secs && is_of_set()
    }

    /// Also what was never finished; it counts only beside something else.
    fn has_or_rest(&self, level: &Level) -> bool {
        self.has(level) || (level.standing == Standing::Uncommitted && level.id.timestamp < self.before_secs)
    }
}

/// Computes the plan; changes nothing. Needs no pass phrase.
pub async fn plan(store: &Arc<dyn Store>, request: &PruneRequest) -> Result<SetPrunePlan, VaultError> {
    if request.hbn.engine() != Engine::Set {
        return Err(VaultError::BadRequest { cause: format!("{} is no set", request.hbn) });
    }
    let set = prune::plan(store, request).await?;
    let going = set.remove.iter().flat_map(|row| row.levels.iter().copied()).collect();
    let names = names(store, &request.hbn, &going).await?;
    let before_secs = request.now_secs.saturating_sub(LONGEST_RUN_SECS);
    let abandoned = Abandoned { set: request.hbn.to_string(), before_secs };
    let mut members = Vec::new();
    for hbn in candidates(store, &request.hbn, &names).await? {
        let plan = plan_member(store, &hbn, &names, &abandoned, request.now_secs).await?;
        if names.going.contains_key(&hbn) || !plan.remove.is_empty() {
            members.push(MemberPlan { hbn, plan });
        }
    }
    Ok(SetPrunePlan { set, members })
}

/// What sets that go name, and what is named after the set and no set names. What sets that stay name is looked at when one goes
/// that names it too: reading it all each time would be too much.
async fn candidates(store: &Arc<dyn Store>, set: &Hbn, names: &Names) -> Result<BTreeSet<Hbn>, VaultError> {
    let beginning = format!("{set}_");
    let mut found: BTreeSet<Hbn> = names.going.keys().cloned().collect();
    let all = catalogue::list_hbns(store, Engine::Image).await?;
    let is_nobodys = |hbn: &Hbn| hbn.as_str().starts_with(&beginning) && !names.staying.contains_key(hbn);
    found.extend(all.into_iter().filter(is_nobodys));
    Ok(found)
}

/// `going`: levels of `own` that will be removed.
async fn names(store: &Arc<dyn Store>, own: &Hbn, going: &BTreeSet<LevelId>) -> Result<Names, VaultError> {
    let mut names = Names::default();
    for hbn in catalogue::list_hbns(store, Engine::Set).await? {
        let catalogue = catalogue::list(store, &hbn).await?;
        for level in catalogue.chains.iter().flat_map(|chain| &chain.levels) {
            let goes = hbn == *own && going.contains(&level.id);
            if let Standing::Damaged(_) = level.standing
                && !goes
            {
                names.damaged.push(format!("{hbn}, {}", level.id));
            }
            let links = level.manifest().map(|manifest| manifest.members.as_slice()).unwrap_or_default();
            note(if goes { &mut names.going } else { &mut names.staying }, links)?;
        }
    }
    Ok(names)
}

fn note(names: &mut BTreeMap<Hbn, BTreeSet<LevelId>>, links: &[MemberLink]) -> Result<(), VaultError> {
    for link in links {
        names.entry(link.hbn()?).or_default().insert(link.id());
    }
    Ok(())
}

async fn plan_member(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    names: &Names,
    abandoned: &Abandoned,
    now_secs: i64,
) -> Result<PrunePlan, VaultError> {
    let catalogue = catalogue::list(store, hbn).await?;
    let holds = hold::list(store, hbn).await?;
    let nothing = BTreeSet::new();
    let going = names.going.get(hbn).unwrap_or(&nothing);
    let staying = names.staying.get(hbn).unwrap_or(&nothing);
    let mut plan = PrunePlan { hbn: hbn.to_string(), remove: Vec::new(), keep: Vec::new() };
    for chain in &catalogue.chains {
        let is_named = chain.levels.iter().any(|level| going.contains(&level.id));
        if !is_named && !chain.levels.iter().any(|level| abandoned.has(level)) {
            continue;
        }
        let row = |reason| Decision {
            subject: Subject::Chain,
            chain_timestamp: chain.timestamp,
            levels: chain.levels.iter().map(|level| level.id).collect(),
            reason,
        };
        let is_unnamed = |level: &Level| !going.contains(&level.id) && !abandoned.has_or_rest(level);
        let held = holds.of_chain(chain.timestamp, now_secs);
        let verdict = match held {
            Some(held) => Err(format!("{} is {held}", held.id)),
            None => judge(chain, is_unnamed, staying, &names.damaged),
        };
        match verdict {
            Ok(()) if is_named => plan.remove.push(row("only sets that go name it".to_owned())),
            Ok(()) => plan.remove.push(row("it was made for a set that never came to be".to_owned())),
            Err(reason) if is_named => plan.keep.push(row(reason)),
            // It is at work, and nobody has asked.
            Err(_) => {}
        }
    }
    Ok(plan)
}

/// `Err`: why the chain stays.
fn judge(
    chain: &Chain,
    is_unnamed: impl Fn(&Level) -> bool,
    staying: &BTreeSet<LevelId>,
    damaged: &[String],
) -> Result<(), String> {
    if let Some(level) = chain.levels.iter().find(|level| staying.contains(&level.id)) {
        return Err(format!("a set that stays names {}", level.id));
    }
    if let Some(level) = chain.levels.iter().find(|level| is_unnamed(level)) {
        return Err(format!("no set names {}; prune it by its own name", level.id));
    }
    match damaged.first() {
        Some(set) => Err(format!("{set} is damaged and may name it")),
        None => Ok(()),
    }
}

/// Removes what `agreed` says as far as it still holds. The set goes before its members, so that no set is ever there that
/// does not restore.
pub async fn apply(
    store: &Arc<dyn Store>,
    request: &PruneRequest,
    agreed: &SetPrunePlan,
    monitor: &Monitor,
) -> Result<SetPruneReport, VaultError> {
    let current = plan(store, request).await?;
    let sets = prune::apply(store, request, &agreed.set, monitor).await?;
    monitor.set_phase(Phase::Committing);
    let mut report = SetPruneReport { sets, members: PruneReport::default() };
    if !report.sets.skipped.is_empty() {
        report.members.skipped.push("things changed since the plan was made; plan again".to_owned());
        return Ok(report);
    }
    for member in &agreed.members {
        if monitor.is_cancelled() {
            return Err(VaultError::Cancelled);
        }
        let now = current.members.iter().find(|other| other.hbn == member.hbn);
        let holds = |row: &&Decision| {
            now.is_some_and(|now| now.plan.remove.iter().any(|other| other.levels == row.levels))
        };
        let (rows, changed): (Vec<&Decision>, Vec<&Decision>) = member.plan.remove.iter().partition(holds);
        for row in changed {
            report.members.skipped.push(format!("{}: chain {} changed", member.hbn, row.chain_timestamp));
        }
        if !rows.is_empty() {
            remove_chains(store, request, &member.hbn, &rows, (monitor, &mut report.members)).await?;
        }
    }
    monitor.set_phase(Phase::Finished);
    Ok(report)
}

async fn remove_chains(
    store: &Arc<dyn Store>,
    request: &PruneRequest,
    hbn: &Hbn,
    rows: &[&Decision],
    (monitor, report): (&Monitor, &mut PruneReport),
) -> Result<(), VaultError> {
    // Those before it may have taken hours.
    let lock = Lock::take(store, hbn, "prune", request.present_secs(), request.lock_expiry).await?;
    let work = async {
        // Under the lock nobody adds a level; one that came before keeps the chain, and so does a set that names it by now.
        let catalogue = catalogue::list(store, hbn).await?;
        let named = names(store, &request.hbn, &BTreeSet::new()).await?;
        let holds = hold::list(store, hbn).await?;
        for row in rows {
            let chain = catalogue.chains.iter().find(|chain| chain.timestamp == row.chain_timestamp);
            let same = chain.is_some_and(|chain| {
                chain.levels.iter().map(|level| level.id).eq(row.levels.iter().copied())
            });
            let wanted =
                named.staying.get(hbn).is_some_and(|ids| row.levels.iter().any(|id| ids.contains(id)));
            let held = holds.of_chain(row.chain_timestamp, request.now_secs).is_some();
            if !same || wanted || held || !named.damaged.is_empty() {
                report.skipped.push(format!("{hbn}: chain {} changed", row.chain_timestamp));
                continue;
            }
            lock.still_held().await?;
            prune::remove(store, hbn, row, monitor, report).await?;
        }
        Ok::<(), VaultError>(())
    };
    let result = work.await;
    lock.release().await;
    result
}
