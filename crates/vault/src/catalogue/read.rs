//! Reading the catalogue from a store.

use super::{Catalogue, Chain, Level, Standing};
use crate::VaultError;
use crate::layout::{Engine, Hbn, LevelId, MANIFEST, parse_timestamp};
use crate::manifest::{Metadata, MetadataKind, Sealed};
use freezer_storage::{Entry, ObjectName, Store, StoreError};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Requests on their way at once.
const AT_ONCE: usize = 8;
/// A folder of HBNs is not searched deeper: backup names may hold `/`, but not without end.
const MOST_NAME_PARTS: usize = 16;
/// Longer metadata objects are no metadata.
const MOST_METADATA_BYTES: u64 = 1 << 20;
/// Longer manifests are no manifests: enough for hundreds of TiB in pieces of usual size.
const MOST_MANIFEST_BYTES: u64 = 4 << 30;

/// Lists chains and levels of one HBN. An HBN nobody knows has no chains.
pub async fn list(store: &Arc<dyn Store>, hbn: &Hbn) -> Result<Catalogue, VaultError> {
    let metadata_folder = hbn.metadata_folder()?;
    let data_folder = hbn.data_folder()?;
    let mut chain_ids = BTreeSet::new();
    for folder in [&metadata_folder, &data_folder] {
        let entries = store.list(Some(folder)).await?;
        chain_ids.extend(folders(&entries).filter_map(parse_timestamp));
    }
    let mut ids = BTreeSet::new();
    for chain in &chain_ids {
        for folder in [&metadata_folder, &data_folder] {
            let entries = store.list(Some(&folder.join(&chain.to_string())?)).await?;
            ids.extend(folders(&entries).filter_map(|name| LevelId::parse(*chain, name)));
        }
    }
    let mut levels: Vec<Level> = stream::iter(ids.into_iter().map(|id| read_level(store, hbn, id)))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    levels.sort_by_key(|level| (level.id.chain_timestamp, level.id.timestamp, level.id.level));
    let mut chains: Vec<Chain> = Vec::new();
    for level in levels {
        match chains.last_mut().filter(|chain| chain.timestamp == level.id.chain_timestamp) {
            Some(chain) => chain.levels.push(level),
            None => chains.push(Chain { timestamp: level.id.chain_timestamp, levels: vec![level] }),
        }
    }
    Ok(Catalogue { hbn: hbn.clone(), chains })
}

fn folders(entries: &[Entry]) -> impl Iterator<Item = &str> {
    entries.iter().filter(|entry| entry.is_folder).map(|entry| entry.name.as_str())
}

/// All HBNs of an engine with something in them, sorted.
pub async fn list_hbns(store: &Arc<dyn Store>, engine: Engine) -> Result<Vec<Hbn>, VaultError> {
    let root = engine.metadata_root()?;
    let mut found = BTreeSet::new();
    let mut waiting: Vec<(Option<String>, usize)> = vec![(None, 0)];
    while let Some((name, depth)) = waiting.pop() {
        let folder = match &name {
            Some(name) => root.join(name)?,
            None => root.clone(),
        };
        let entries = store.list(Some(&folder)).await?;
        for child in folders(&entries) {
            match &name {
                Some(name) if parse_timestamp(child).is_some() && is_chain(store, &folder, child).await? => {
                    found.insert(Hbn::from_text(engine, name.clone())?);
                }
                _ if depth < MOST_NAME_PARTS => {
                    let longer =
                        name.as_ref().map_or_else(|| child.to_owned(), |name| format!("{name}/{child}"));
                    waiting.push((Some(longer), depth + 1));
                }
                _ => {
                    tracing::warn!(folder = %folder, "too many parts for a backup name; not searched further")
                }
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// HBNs of an engine that begin like this and hold no `/`, sorted; also those with nothing in them. One listing.
pub async fn list_beginning(
    store: &Arc<dyn Store>,
    engine: Engine,
    beginning: &str,
) -> Result<Vec<Hbn>, VaultError> {
    let entries = store.list(Some(&engine.metadata_root()?)).await?;
    let mut found: Vec<Hbn> = folders(&entries)
        .filter(|name| name.starts_with(beginning))
        .map(|name| Hbn::from_text(engine, name))
        .collect::<Result<_, _>>()?;
    found.sort();
    Ok(found)
}

/// A folder with a number for a name may also be part of a backup name.
async fn is_chain(store: &Arc<dyn Store>, folder: &ObjectName, name: &str) -> Result<bool, VaultError> {
    let entries = store.list(Some(&folder.join(name)?)).await?;
    Ok(folders(&entries).any(|child| LevelId::parse(0, child).is_some()))
}

/// Manifests longer than this are not kept whole in a list: a few hundred of them would fill the memory.
const MOST_KEPT_BYTES: usize = 128 * 1024;

impl Level {
    /// This level with its whole manifest, read again if the list let go of it.
    pub(crate) async fn whole(&self, store: &Arc<dyn Store>, hbn: &Hbn) -> Result<Level, VaultError> {
        let Some(thin) = self.sealed.as_ref().filter(|sealed| sealed.is_thin) else {
            return Ok(self.clone());
        };
        let object = self.id.object(hbn, MANIFEST)?;
        let changed = || VaultError::BadManifest {
            object: object.to_string(),
            cause: "it changed while it was being read".into(),
        };
        let body = read_whole(store, &object, MOST_MANIFEST_BYTES).await?.ok_or_else(changed)?;
        let sealed =
            Sealed::open(&body).ok().filter(|sealed| sealed.sha256 == thin.sha256).ok_or_else(changed)?;
        Ok(Level { sealed: Some(Arc::new(sealed)), ..self.clone() })
    }
}

/// One level by its names, whether anything of it is there or not.
pub(crate) async fn read_level(store: &Arc<dyn Store>, hbn: &Hbn, id: LevelId) -> Result<Level, VaultError> {
    let metadata = read_whole(store, &id.metadata(hbn)?, MOST_METADATA_BYTES).await?;
    let manifest = read_whole(store, &id.object(hbn, MANIFEST)?, MOST_MANIFEST_BYTES).await?;
    let metadata = metadata.map(|body| Metadata::parse(hbn.engine(), &body));
    let (standing, sealed) = match manifest {
        Some(body) => match Sealed::open(&body).and_then(|sealed| belongs_here(sealed, hbn, id)) {
            Ok(sealed) if body.len() > MOST_KEPT_BYTES => (Standing::Complete, Some(Arc::new(sealed.thin()))),
            Ok(sealed) => (Standing::Complete, Some(Arc::new(sealed))),
            Err(cause) => (Standing::Damaged(format!("its manifest is not valid: {cause}")), None),
        },
        None => (standing_without_manifest(metadata.as_ref()), None),
    };
    Ok(Level { id, standing, metadata: metadata.and_then(Result::ok), sealed })
}

/// A level whose manifest is there, whole; `None` when it is not, or is damaged. Does not look at anything else.
pub(super) async fn read_committed(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    id: LevelId,
) -> Result<Option<Level>, VaultError> {
    let body = read_whole(store, &id.object(hbn, MANIFEST)?, MOST_MANIFEST_BYTES).await?;
    Ok(body.and_then(|body| committed(&body, hbn, id)))
}

/// The same of a manifest that is here already.
pub(super) fn committed(body: &[u8], hbn: &Hbn, id: LevelId) -> Option<Level> {
    let sealed = Sealed::open(body).and_then(|sealed| belongs_here(sealed, hbn, id)).ok()?;
    Some(Level { id, standing: Standing::Complete, metadata: None, sealed: Some(Arc::new(sealed)) })
}

fn belongs_here(sealed: Sealed, hbn: &Hbn, id: LevelId) -> Result<Sealed, String> {
    let manifest = &sealed.manifest;
    if manifest.hbn != hbn.as_str() || manifest.id() != id || manifest.engine != hbn.engine().name() {
        return Err(format!("it belongs to {} of {} ({})", manifest.id(), manifest.hbn, manifest.engine));
    }
    Ok(sealed)
}

fn standing_without_manifest(metadata: Option<&Result<Metadata, String>>) -> Standing {
    match metadata {
        None => Standing::Uncommitted,
        Some(Ok(metadata)) if metadata.kind == MetadataKind::Upstream => Standing::Upstream,
        Some(Ok(_)) => Standing::Uncommitted,
        Some(Err(cause)) => Standing::Damaged(format!("its metadata is not valid: {cause}")),
    }
}

/// The whole of a small object; `None` when it does not exist.
pub(crate) async fn read_whole(
    store: &Arc<dyn Store>,
    name: &ObjectName,
    most_bytes: u64,
) -> Result<Option<Vec<u8>>, VaultError> {
    let mut stream = match store.get(name, None).await {
        Ok(stream) => stream,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut body = Vec::new();
    while let Some(piece) = stream.try_next().await? {
        body.extend_from_slice(&piece);
        if body.len() as u64 > most_bytes {
            let cause = format!("it is longer than {most_bytes} bytes, which no such object is");
            return Err(StoreError::Other { store: store.describe(), name: name.to_string(), cause }.into());
        }
    }
    Ok(Some(body))
}
