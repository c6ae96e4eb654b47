//! One level for all storages of a backup: the source is read once, so all get the same.
//!
//! An increment is built on the newest level that all of them hold, with the same content and on a chain that restores there. Where
//! one has missed a level that is the level below; where they have none in common (one is new, or was emptied), all get a level 0:
//! every storage restores by itself, at the price of one full backup.

use super::base::{self, Found, Parent};
use super::members::Members;
use super::quick;
use super::work::{Settings, Work};
use crate::VaultError;
use crate::catalogue::{self, Tree};
use crate::encryption::{KeyRing, MacParameters};
use crate::levels::{Candidate, LevelChoice};
use freezer_storage::Store;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What all storages together mean for the new backup.
pub(super) struct Agreed<I> {
    pub choice: LevelChoice,
    /// Of the base.
    pub index: Option<I>,
    pub mac: Option<MacParameters>,
    pub succeeds: Option<String>,
    pub warnings: Vec<String>,
    /// The greatest timestamp in use on any of them.
    pub greatest: Option<i64>,
}

/// What one storage by itself would have.
struct Offer {
    storage: String,
    choice: LevelChoice,
    /// The base, and what makes its content the same as elsewhere.
    base: Option<(Parent, Option<String>)>,
    mac: Option<MacParameters>,
    succeeds: Option<String>,
    warnings: Vec<String>,
    greatest: Option<i64>,
}

enum Verdict {
    Same,
    /// Not everywhere there is a level to build on, for this reason.
    Full(String),
    /// This level cannot be built on, for this reason; ask again.
    Without(i64, String),
}

/// Asks all and finds what they have in common. One that cannot answer is left out.
pub(super) async fn agree<W: Work>(
    members: &mut Members,
    (request, work): (&Settings, &mut W),
    keys: Option<&KeyRing>,
) -> Result<Agreed<W::Index>, VaultError> {
    let mut useless: BTreeMap<i64, String> = BTreeMap::new();
    loop {
        let mut offers: Vec<Offer> = Vec::new();
        let mut index = None;
        for member in members.sound_mut() {
            // There is room in memory for one.
            index = None;
            let of = (&member.store, member.tree.as_ref());
            match ask::<W>(of, (request, &mut *work), keys, &useless).await {
                Ok((offer, found)) => {
                    offers.push(offer);
                    index = found;
                }
                Err(error) => member.fail(error),
            }
        }
        members.any_left()?;
        match compare(&offers) {
            Verdict::Without(timestamp, cause) => {
                tracing::info!(hbn = %request.hbn, %cause, "this level cannot be built on");
                useless.insert(timestamp, cause);
            }
            // The last one has failed: nobody holds the index any more.
            Verdict::Same if index.is_none() && offers.first().is_some_and(|first| first.base.is_some()) => {}
            Verdict::Same => return Ok(same(members, offers, index, &useless)),
            Verdict::Full(reason) => {
                let agreed = same(members, offers, None, &useless);
                members.sound_mut().for_each(|member| member.parent = None);
                return Ok(Agreed { choice: LevelChoice::full(reason), ..agreed });
            }
        }
    }
}

async fn ask<W: Work>(
    (store, tree): (&Arc<dyn Store>, Option<&Tree>),
    (request, work): (&Settings, &mut W),
    keys: Option<&KeyRing>,
    useless: &BTreeMap<i64, String>,
) -> Result<(Offer, Option<W::Index>), VaultError> {
    let quick = match tree {
        Some(tree) if useless.is_empty() => {
            quick::choose_base(store, tree, (request, &mut *work), keys).await?
        }
        _ => None,
    };
    let (found, greatest) = match (quick, tree) {
        (Some(found), Some(tree)) => (found, tree.greatest_timestamp()),
        _ => {
            let catalogue = catalogue::list(store, &request.hbn).await?;
            let found = base::choose_base(store, &catalogue, (request, work), keys, useless).await?;
            (found, catalogue.greatest_timestamp())
        }
    };
    let Found { choice, base, mac, succeeds, warnings } = found;
    let (base, index) = match base {
        Some(base) => (Some((base.parent, base.identity)), Some(base.index)),
        None => (None, None),
    };
    Ok((Offer { storage: store.describe(), choice, base, mac, succeeds, warnings, greatest }, index))
}

fn compare(offers: &[Offer]) -> Verdict {
    let [first, rest @ ..] = offers else { return Verdict::Same };
    let with: Vec<(&Offer, Candidate)> =
        offers.iter().filter_map(|offer| Some((offer, offer.choice.base?))).collect();
    if rest.is_empty() || with.is_empty() {
        return Verdict::Same;
    }
    if let Some(without) = offers.iter().find(|offer| offer.choice.base.is_none()) {
        return Verdict::Full(format!("{} on {}", without.choice.reason, without.storage));
    }
    let identity = |offer: &Offer| offer.base.as_ref().and_then(|(_, identity)| identity.clone());
    let expected = identity(first);
    let is_same =
        |(offer, base): &(&Offer, Candidate)| Some(*base) == first.choice.base && identity(offer) == expected;
    if expected.is_some() && with.iter().all(is_same) {
        return Verdict::Same;
    }
    match with.iter().map(|(_, base)| *base).max_by_key(|base| base.timestamp) {
        Some(Candidate { level, timestamp, .. }) => {
            Verdict::Without(timestamp, format!("level {level} of {timestamp} is not on all storages"))
        }
        None => Verdict::Same,
    }
}

fn same<I>(
    members: &mut Members,
    offers: Vec<Offer>,
    index: Option<I>,
    useless: &BTreeMap<i64, String>,
) -> Agreed<I> {
    let mut agreed = Agreed {
        choice: LevelChoice::full("no storage"),
        index,
        mac: None,
        succeeds: None,
        warnings: Vec::new(),
        greatest: None,
    };
    // As many as there are offers: who made none has failed.
    for (position, (member, offer)) in members.sound_mut().zip(offers).enumerate() {
        member.parent = offer.base.map(|(parent, _)| parent);
        if let Some(tree) = &mut member.tree {
            tree.forget();
        }
        agreed.greatest = agreed.greatest.max(offer.greatest);
        agreed.mac = agreed.mac.or(offer.mac);
        agreed.succeeds = agreed.succeeds.or(offer.succeeds);
        for warning in offer.warnings {
            if !agreed.warnings.contains(&warning) {
                agreed.warnings.push(warning);
            }
        }
        if position == 0 {
            agreed.choice = offer.choice;
        }
    }
    if agreed.index.is_some() && !useless.is_empty() {
        let causes: Vec<&str> = useless.values().map(String::as_str).collect();
        agreed.choice.reason = format!("{} ({})", agreed.choice.reason, causes.join("; "));
    }
    agreed
}
