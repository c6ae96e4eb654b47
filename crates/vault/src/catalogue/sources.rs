//! Which of several folders under one name a chain is of.
//!
//! A name can come to hold chains of different folders: a job's path was changed, or two jobs share a name. Each chain is of one
//! folder, and bears a mark of it. Marks of encrypted backups can be compared only where they were made with one key; those of
//! another key count with the encrypted ones that came after them. A clear mark names its folder, and is taken for nothing else. Chains
//! without a mark (of upstream, or of before there were marks) count with those that came after them.

use super::{Catalogue, Chain, Level};
use crate::VaultError;
use crate::encryption::{KeyRing, MacKey, MacParameters, PassPhrase};
use crate::layout::Hbn;
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
        Some(key) => {
            let id = key.code_of(format!("source\0{source}").as_bytes())?;
            SourceRecord { id, name: None, succeeds: None }
        }
        None => {
            let id = hex::encode(Sha256::digest(format!("{hbn}\0{source}")));
            SourceRecord { id, name: Some(source.to_owned()), succeeds: None }
        }
    })
}

/// Whether a mark is of this source; `key` is that of its backup, where it is encrypted.
pub(crate) fn is_of(
    found: &SourceRecord,
    hbn: &Hbn,
    source: &str,
    key: Option<&MacKey>,
) -> Result<bool, VaultError> {
    Ok(mark(hbn.as_str(), source, key)?.id == found.id)
}

/// What a backup is of, as far as that can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A path, or what was said when it was made.
    Source(String),
    /// Something else than was asked about; what, nobody can tell.
    Other,
    /// Nobody can tell, and why.
    Unknown(String),
}

/// Tells what backups are of. An encrypted one can only be compared with what is asked about. Deriving a key is slow, and the levels
/// of a chain share theirs: use one for all of them.
pub struct Teller {
    keys: Option<KeyRing>,
}

impl Teller {
    pub fn new(pass: Option<PassPhrase>) -> Self {
        Self { keys: pass.map(KeyRing::new) }
    }

    /// What this level of the chain is of. A level without a mark is of what its chain is of.
    pub async fn tell(
        &self,
        store: &Arc<dyn Store>,
        hbn: &Hbn,
        chain: &Chain,
        level: &Level,
        among: &[&str],
    ) -> Result<Told, VaultError> {
        let unknown = |cause: &str| Ok(Told::Unknown(cause.to_owned()));
        let own = level.manifest().and_then(|manifest| manifest.source.as_ref());
        let Some((marked, found)) = own.map(|found| (level, found)).or_else(|| chain.marked()) else {
            return unknown("nothing says what it is of");
        };
        if let Some(name) = &found.name {
            return Ok(Told::Source(name.clone()));
        }
        let Some(parameters) = realm(marked) else {
            return unknown("its mark has no name");
        };
        let Some(keys) = &self.keys else {
            return unknown("it is encrypted, and no pass phrase was given");
        };
        if let Err(cause) = parameters.checked_salt() {
            return Ok(Told::Unknown(cause));
        }
        let key = keys.key(parameters).await?;
        let whole = marked.whole(store, hbn).await?;
        let proof = whole.sealed.as_ref().map(|sealed| sealed.is_authentic(&key)).transpose()?;
        if proof != Some(true) {
            return unknown("it is encrypted with another pass phrase");
        }
        for source in among {
            if is_of(found, hbn, source, Some(&key))? {
                return Ok(Told::Source((*source).to_owned()));
            }
        }
        Ok(Told::Other)
    }
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
    /// The newest encrypted level that bears a mark: encrypted marks that cannot be compared with its own tell nothing.
    fn newest_sealed(&self) -> Option<&Level> {
        self.chains
            .iter()
            .filter_map(Chain::marked)
            .map(|(level, _)| level)
            .filter(|level| realm(level).is_some())
            .max_by_key(|level| level.id.timestamp)
    }

    /// For each chain what it is of, with one id for chains of the same; `None` for all when nobody knows.
    pub(crate) fn sources(&self) -> Vec<Option<&SourceRecord>> {
        let realm_of_newest = self.newest_sealed().and_then(realm);
        let marks: Vec<_> = self.chains.iter().map(Chain::marked).collect();
        let is_sealed: Vec<bool> =
            marks.iter().map(|mark| mark.is_some_and(|(level, _)| realm(level).is_some())).collect();
        let comparable = |(level, found): (&Level, _)| {
            let realm = realm(level);
            (realm.is_none() || realm == realm_of_newest).then_some(found)
        };
        let mut known: Vec<Option<&SourceRecord>> =
            marks.into_iter().map(|mark| mark.and_then(comparable)).collect();
        let sealed = known.iter_mut().zip(&is_sealed).filter(|(_, is_sealed)| **is_sealed);
        let mut sealed: Vec<&mut Option<&SourceRecord>> = sealed.map(|(known, _)| known).collect();
        fill(sealed.iter_mut().rev().map(|known| &mut **known));
        fill(sealed.iter_mut().map(|known| &mut **known));
        fill(known.iter_mut().rev());
        fill(known.iter_mut());
        self.unite(&mut known);
        known
    }

    /// Encrypted chains that say so count with the clear ones of their folder.
    fn unite<'a>(&'a self, known: &mut [Option<&'a SourceRecord>]) {
        let succeeded = |chain: &Chain| {
            chain.existing().find_map(|level| level.manifest()?.source.as_ref()?.succeeds.clone())
        };
        for place in 0..known.len() {
            let clear = self.chains.get(place).and_then(succeeded);
            let clear = known.iter().flatten().copied().find(|record| Some(&record.id) == clear.as_ref());
            let own = known.get(place).copied().flatten().map(|record| record.id.clone());
            let Some((clear, own)) = clear.zip(own) else { continue };
            for record in known.iter_mut().flatten().filter(|record| record.id == own) {
                *record = clear;
            }
        }
    }

    /// The mark of clear backups of this source, if there are some.
    pub(crate) fn clear_mark(&self, source: &str) -> Result<Option<String>, VaultError> {
        let clear = mark(self.hbn.as_str(), source, None)?;
        let mut marks = self.chains.iter().filter_map(Chain::marked);
        Ok(marks.any(|(_, found)| found.id == clear.id).then_some(clear.id))
    }

    /// For each chain what it is of (for people) when that is something else than `source`.
    pub(crate) async fn foreign(
        &self,
        store: &Arc<dyn Store>,
        source: &str,
        keys: Option<&KeyRing>,
    ) -> Result<Vec<Option<String>>, VaultError> {
        let clear = mark(self.hbn.as_str(), source, None)?;
        let key = self.key_of_newest(store, keys).await?;
        let sealed = key.map(|key| mark(self.hbn.as_str(), source, Some(&key))).transpose()?;
        let has_clear = self.sources().into_iter().flatten().any(|found| found.id == clear.id);
        let is_ours = |found: &SourceRecord| match (&found.name, &sealed) {
            (Some(_), _) => found.id == clear.id,
            (None, Some(sealed)) => found.id == sealed.id,
            // Without the pass phrase nothing can be built on it, or restored from it, in any case: what can be goes before.
            (None, None) => keys.is_some() || !has_clear,
        };
        let other = |found: &SourceRecord| found.name.clone().unwrap_or_else(|| "another folder".to_owned());
        let sources = self.sources().into_iter();
        Ok(sources.map(|found| found.filter(|found| !is_ours(found)).map(other)).collect())
    }

    /// The key that encrypted marks are made with, if it is proved.
    async fn key_of_newest(
        &self,
        store: &Arc<dyn Store>,
        keys: Option<&KeyRing>,
    ) -> Result<Option<MacKey>, VaultError> {
        let Some((newest, keys)) = self.newest_sealed().zip(keys) else { return Ok(None) };
        let Some(parameters) = realm(newest).filter(|parameters| parameters.checked_salt().is_ok()) else {
            return Ok(None);
        };
        let key = keys.key(parameters).await?;
        let newest = newest.whole(store, &self.hbn).await?;
        let proof = newest.sealed.as_ref().map(|sealed| sealed.is_authentic(&key)).transpose()?;
        Ok((proof == Some(true)).then_some(key))
    }

    /// What it holds backups of, when that is more than one thing.
    pub(crate) fn several_sources(&self) -> Several {
        let mut found: Vec<Span<'_>> = Vec::new();
        for (chain, source) in self.chains.iter().zip(self.sources()) {
            let (Some(source), Some(newest)) = (source, chain.existing().next_back()) else { continue };
            let since = if chain.marked().is_some() { chain.timestamp } else { i64::MAX };
            let until = newest.id.timestamp;
            match found.iter_mut().find(|span| span.source.id == source.id) {
                Some(span) => (span.since, span.until) = (span.since.min(since), span.until.max(until)),
                None => found.push(Span { source, since, until }),
            }
        }
        let mut several = Several::default();
        match found.as_slice() {
            [] | [_] => {}
            [one, other] if one.ended_before(other) => several.former = Some(one.text()),
            [one, other] if other.ended_before(one) => several.former = Some(other.text()),
            all => several.sources = all.iter().map(Span::text).collect(),
        }
        several
    }
}

/// What a name holds backups of, for people.
#[derive(Debug, Default)]
pub(crate) struct Several {
    /// By the name alone nobody can tell which of these is meant: none of them, or more than one.
    pub sources: Vec<String>,
    /// What ended before that began which the name stands for now, with encryption or without as this is not. A folder that was
    /// encrypted at some time looks so, if no backup of it says so.
    pub former: Option<String>,
}

/// The time of the backups of one source.
struct Span<'a> {
    source: &'a SourceRecord,
    /// Its first chain that bears a mark.
    since: i64,
    /// Its newest level.
    until: i64,
}

impl Span<'_> {
    /// One of both is encrypted, and this one had ended when the other began.
    fn ended_before(&self, other: &Span<'_>) -> bool {
        self.source.name.is_some() != other.source.name.is_some() && self.until < other.since
    }

    fn text(&self) -> String {
        let name = self.source.name.as_deref().unwrap_or("a folder of an encrypted backup");
        format!("{name} (until {})", freezer_model::clock::time_text(self.until))
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
