//! Reading a set: the document, and whether its members are there.

use super::{Document, Member};
use crate::VaultError;
use crate::catalogue::{self, Catalogue, Chain, check_presence};
use crate::encryption::PassPhrase;
use crate::layout::{Engine, Hbn, LevelId};
use crate::manifest::MemberLink;
use crate::monitor::Monitor;
use crate::problem::FileProblem;
use crate::restore::{Payload, PlannedLevel, RestoreRequest, open_payload, plan_of};
use freezer_storage::Store;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// Longer than any document.
const MOST_DOCUMENT_BYTES: u64 = 256 << 20;

/// Which set to read. Start from [`SetReadRequest::new`].
#[derive(Clone, Debug)]
pub struct SetReadRequest {
    pub hostname: String,
    pub backup_name: String,
    /// Newest set not after this time (seconds since 1970, UTC); `None`: the newest.
    pub not_after_secs: Option<i64>,
    pub pass_phrase: Option<PassPhrase>,
}

impl SetReadRequest {
    pub fn new(hostname: &str, backup_name: &str) -> Self {
        Self {
            hostname: hostname.into(),
            backup_name: backup_name.into(),
            not_after_secs: None,
            pass_phrase: None,
        }
    }
}

/// A member that cannot be restored as the set names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingMember {
    pub member: Member,
    pub cause: String,
}

/// A set as it was saved, and what is left of it. To restore a member, plan it with `not_after_secs` of its timestamp.
#[derive(Clone, Debug)]
pub struct SetContent {
    pub hbn: Hbn,
    pub timestamp: i64,
    /// Those that are there, with all they are built on.
    pub members: Vec<Member>,
    pub missing: Vec<MissingMember>,
    pub topology: Value,
    /// What was not saved when the set was made.
    pub problems: Vec<FileProblem>,
    pub warnings: Vec<String>,
}

/// Reads and checks the newest set not after the wanted time. Payloads of members are not read, but all of their objects
/// are looked for.
pub async fn read(store: &Arc<dyn Store>, request: &SetReadRequest) -> Result<SetContent, VaultError> {
    let mut wanted = RestoreRequest::new(&request.hostname, &request.backup_name, PathBuf::new());
    wanted.not_after_secs = request.not_after_secs;
    wanted.pass_phrase = request.pass_phrase.clone();
    let plan = plan_of(store, Engine::Set, &wanted).await?;
    let unreadable =
        |cause: &str| VaultError::Unreadable { backup: plan.hbn.to_string(), cause: cause.into() };
    let level = plan.levels.last().ok_or_else(|| unreadable("it has no level"))?;
    let manifest = level
        .level
        .manifest()
        .ok_or_else(|| unreadable("it has no manifest, and no other program makes sets"))?;
    let (links, problems) = (manifest.members.clone(), manifest.problems.first.clone());
    let document = document(store, &plan.hbn, level, request.pass_phrase.clone()).await?;
    if document.members.iter().map(|member| &member.link).ne(links.iter()) {
        return Err(unreadable("its document and its manifest name different members"));
    }
    let (mut members, mut missing) = (Vec::new(), Vec::new());
    for member in document.members {
        match fault_of(store, &member.link).await? {
            None => members.push(member),
            Some(cause) => missing.push(MissingMember { member, cause }),
        }
    }
    let timestamp = level.id.timestamp;
    let (hbn, warnings) = (plan.hbn, plan.warnings);
    Ok(SetContent { hbn, timestamp, members, missing, topology: document.topology, problems, warnings })
}

async fn document(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &PlannedLevel,
    pass: Option<PassPhrase>,
) -> Result<Document, VaultError> {
    let backup = format!("{hbn}, {}", level.id);
    let (arrivals, arriving) = mpsc::channel(1);
    let payload = Payload { store: store.clone(), hbn: hbn.clone(), level: level.clone() };
    let opened = level.clone();
    let reading = spawn_blocking(move || {
        let unreadable = |cause: String| VaultError::Unreadable { backup: backup.clone(), cause };
        let mut body = Vec::new();
        let reader = open_payload(arriving, &opened, pass.as_ref())?;
        reader
            .take(MOST_DOCUMENT_BYTES)
            .read_to_end(&mut body)
            .map_err(|error| unreadable(error.to_string()))?;
        serde_json::from_slice(&body).map_err(|error| unreadable(format!("its document: {error}")))
    });
    let fetched = payload.fetch(arrivals, &Monitor::new()).await;
    let read = reading
        .await
        .map_err(|error| VaultError::Internal { what: "reading the set", cause: error.to_string() })?;
    // What could not be fetched cannot be read either; the first cause counts.
    fetched?;
    read
}

/// Why this very backup cannot be restored, if it cannot; as far as that shows without reading payloads.
pub(super) async fn fault_of(
    store: &Arc<dyn Store>,
    link: &MemberLink,
) -> Result<Option<String>, VaultError> {
    Finder::new(store).fault_of(link).await
}

/// Looks for members of sets, and for each level that they are built on once.
pub(crate) struct Finder<'a> {
    store: &'a Arc<dyn Store>,
    listed: BTreeMap<Hbn, Catalogue>,
    /// Faults of levels by themselves.
    seen: BTreeMap<(Hbn, LevelId), Option<String>>,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(store: &'a Arc<dyn Store>) -> Self {
        Self { store, listed: BTreeMap::new(), seen: BTreeMap::new() }
    }

    /// As [`fault_of`] says.
    pub(crate) async fn fault_of(&mut self, link: &MemberLink) -> Result<Option<String>, VaultError> {
        let hbn = link.hbn()?;
        let catalogue = match self.listed.remove(&hbn) {
            Some(listed) => listed,
            None => catalogue::list(self.store, &hbn).await?,
        };
        let fault = self.fault_in(&catalogue, link).await;
        self.listed.insert(hbn, catalogue);
        fault
    }

    async fn fault_in(
        &mut self,
        catalogue: &Catalogue,
        link: &MemberLink,
    ) -> Result<Option<String>, VaultError> {
        let id = link.id();
        let found = |chain: &&Chain| chain.timestamp == id.chain_timestamp;
        let level = |chain: &Chain| chain.existing().find(|level| level.id == id).cloned();
        let Some((chain, level)) =
            catalogue.chains.iter().find(found).and_then(|chain| Some((chain, level(chain)?)))
        else {
            return Ok(Some(format!("{id} is not there")));
        };
        if level.sealed.as_ref().map(|sealed| &sealed.sha256) != Some(&link.manifest_sha256) {
            return Ok(Some(format!("{id} is another backup than the one the set names")));
        }
        let lineage = match chain.lineage(&level) {
            Ok(lineage) => lineage,
            Err(cause) => return Ok(Some(cause)),
        };
        for level in lineage {
            let key = (catalogue.hbn.clone(), level.id);
            let known = self.seen.get(&key).cloned();
            let fault = match known {
                Some(known) => known,
                None => check_presence(self.store, &catalogue.hbn, level).await?,
            };
            self.seen.insert(key, fault.clone());
            if let Some(cause) = fault {
                return Ok(Some(format!("{}: {cause}", level.id)));
            }
        }
        Ok(None)
    }
}
