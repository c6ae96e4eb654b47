//! Which of several folders under one name a chain is of.
//!
//! A name can come to hold chains of different folders: a job's path was changed, or two jobs share a name. Each chain is of one
//! folder, and bears a mark of it. Marks of encrypted backups can be compared only where they were made with one key. Chains without
//! a mark (of upstream, or of before there were marks) count with those that came after them.

use super::{Catalogue, Chain, Level};
use crate::VaultError;
use crate::encryption::{KeyRing, MacKey, MacParameters};
use crate::manifest::SourceRecord;
use freezer_storage::Store;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;

/// What a folder is called in its mark: absolute, and without what changes nothing in a path. Links are not followed, so that a
/// link that is turned to a new folder from time to time stays one source.
pub(crate) fn source_of_path(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    freezer_model::naming::plain_path(&absolute.to_string_lossy())
}

/// The mark of a source in a new manifest.
pub(crate) fn mark(hbn: &str, source: &str, key: Option<&MacKey>) -> Result<SourceRecord, VaultError> {
    Ok(match key {
        Some(key) => SourceRecord { id: key.code_of(format!("source\0{source}").as_bytes())?, name: None },
        None => {
            let id = hex::encode(Sha256::digest(format!("{hbn}\0{source}")));
            SourceRecord { id, name: Some(source.to_owned()) }
        }
    })
}

/// Marks are comparable within one: the salt of the key, nothing for clear ones.
fn realm(level: &Level) -> Option<&MacParameters> {
    level.manifest().and_then(|manifest| manifest.encryption.as_ref()).map(|record| &record.mac)
}

impl Chain {
    /// Its newest level that bears a mark.
    pub(crate) fn marked(&self) -> Option<(&Level, &SourceRecord)> {
        let mut levels = self.existing().rev();
        levels.find_map(|level| Some((level, level.manifest()?.source.as_ref()?)))
    }
}

impl Catalogue {
    /// The newest level that bears a mark: marks that cannot be compared with its own tell nothing.
    fn newest_marked(&self) -> Option<&Level> {
        self.chains
            .iter()
            .filter_map(Chain::marked)
            .map(|(level, _)| level)
            .max_by_key(|level| level.id.timestamp)
    }

    /// For each chain what it is of, with one id for chains of the same; `None` for all when nobody knows.
    pub(crate) fn sources(&self) -> Vec<Option<&SourceRecord>> {
        let realm_of_newest = self.newest_marked().and_then(realm);
        let comparable = |(level, found)| (realm(level) == realm_of_newest).then_some(found);
        let mut known: Vec<Option<&SourceRecord>> =
            self.chains.iter().map(|chain| chain.marked().and_then(comparable)).collect();
        fill(known.iter_mut().rev());
        fill(known.iter_mut());
        known
    }

    /// For each chain what it is of (for people) when that is something else than `source`.
    pub(crate) async fn foreign(
        &self,
        store: &Arc<dyn Store>,
        source: &str,
        keys: Option<&KeyRing>,
    ) -> Result<Vec<Option<String>>, VaultError> {
        let nobody = || Ok(vec![None; self.chains.len()]);
        let Some(newest) = self.newest_marked() else { return nobody() };
        let key = match (realm(newest), keys) {
            (None, _) => None,
            (Some(parameters), Some(keys)) if parameters.checked_salt().is_ok() => {
                let key = keys.key(parameters).await?;
                let newest = newest.whole(store, &self.hbn).await?;
                let proof = newest.sealed.as_ref().map(|sealed| sealed.is_authentic(&key)).transpose()?;
                if proof != Some(true) {
                    return nobody();
                }
                Some(key)
            }
            // Without the pass phrase nothing can be built on it, or restored from it, in any case.
            (Some(_), _) => return nobody(),
        };
        let ours = mark(self.hbn.as_str(), source, key.as_ref())?;
        let other = |found: &SourceRecord| found.name.clone().unwrap_or_else(|| "another folder".to_owned());
        let sources = self.sources().into_iter();
        Ok(sources.map(|found| found.filter(|found| found.id != ours.id).map(other)).collect())
    }

    /// What it holds backups of, when that is more than one thing; for people.
    pub(crate) fn several_sources(&self) -> Vec<String> {
        let mut found: Vec<(&str, String)> = Vec::new();
        for (chain, source) in self.chains.iter().zip(self.sources()) {
            let (Some(source), Some(newest)) = (source, chain.existing().next_back()) else { continue };
            let name = source.name.as_deref().unwrap_or("a folder of an encrypted backup");
            let text = format!("{name} (until {})", freezer_model::clock::time_text(newest.id.timestamp));
            match found.iter_mut().find(|(id, _)| *id == source.id) {
                Some((_, last)) => *last = text,
                None => found.push((&source.id, text)),
            }
        }
        if found.len() < 2 { Vec::new() } else { found.into_iter().map(|(_, text)| text).collect() }
    }
}

/// Gives every chain that has no mark the one of the chain before it in this order.
fn fill<'a, 'b: 'a>(chains: impl Iterator<Item = &'a mut Option<&'b SourceRecord>>) {
    let mut last = None;
    for chain in chains {
        match chain {
            Some(found) => last = Some(*found),
            None => *chain = last,
        }
    }
}
