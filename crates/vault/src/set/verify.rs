//! Checking a set and everything it names.

use super::read::fault_of;
use crate::VaultError;
use crate::catalogue;
use crate::layout::Engine;
use crate::manifest::MemberLink;
use crate::monitor::Monitor;
use crate::verify::{Scope, Verdict, VerifyReport, VerifyRequest};
use freezer_storage::Store;
use serde::Serialize;
use std::sync::Arc;

/// What was found about one member.
#[derive(Clone, Debug, Serialize)]
pub struct MemberVerdict {
    pub member: MemberLink,
    /// Why it is not the backup that the set names, or is not there.
    pub fault: Option<String>,
    /// Of the level and all it is built on.
    pub levels: Vec<Verdict>,
}

#[derive(Clone, Debug, Serialize)]
pub struct SetVerifyReport {
    pub set: VerifyReport,
    pub members: Vec<MemberVerdict>,
}

impl SetVerifyReport {
    pub fn is_sound(&self) -> bool {
        let sound = |member: &MemberVerdict| {
            member.fault.is_none() && member.levels.iter().all(|level| level.faults.is_empty())
        };
        self.set.is_sound() && self.members.iter().all(sound)
    }
}

/// Checks the newest set (or with [`Scope::State`] that of a time, with [`Scope::All`] every one) and reads all its members.
/// Damage is a finding, not an error.
pub async fn verify(
    store: Arc<dyn Store>,
    request: VerifyRequest,
    monitor: Arc<Monitor>,
) -> Result<SetVerifyReport, VaultError> {
    if request.hbn.engine() != Engine::Set {
        return Err(VaultError::BadRequest { cause: format!("{} is no set", request.hbn) });
    }
    let set = crate::verify::verify(store.clone(), request.clone(), monitor.clone()).await?;
    let catalogue = catalogue::list(&store, &request.hbn).await?;
    let mut links: Vec<MemberLink> = Vec::new();
    for level in catalogue.chains.iter().flat_map(|chain| chain.existing()) {
        let checked = set.levels.iter().any(|verdict| verdict.timestamp == level.id.timestamp);
        for link in level.manifest().filter(|_| checked).into_iter().flat_map(|manifest| &manifest.members) {
            if !links.contains(link) {
                links.push(link.clone());
            }
        }
    }
    let mut members = Vec::new();
    for member in links {
        let fault = fault_of(&store, &member).await?;
        let scope = Scope::State(member.timestamp);
        let wanted = VerifyRequest { hbn: member.hbn()?, scope, ..request.clone() };
        let levels = match crate::verify::verify(store.clone(), wanted, monitor.clone()).await {
            Ok(report) => report.levels,
            // It is not there, and that is the fault.
            Err(VaultError::NoBackup { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        members.push(MemberVerdict { member, fault, levels });
    }
    Ok(SetVerifyReport { set, members })
}
