//! Choosing what to restore, and proving that it can be before anything is written.

use super::{Authenticity, RestoreRequest, sniff_upstream};
use crate::VaultError;
use crate::catalogue::{self, Catalogue, Level, Several, Standing, check_presence, is_of, source_of_path};
use crate::codecs::Compression;
use crate::encryption::{Cipher, KeyRing, MacKey, Scheme};
use crate::layout::{Engine, Hbn, LevelId};
use crate::manifest::EncryptionRecord;
use crate::upstream::{images, rsync, view_layout_a, view_volume};
use freezer_model::clock::time_text;
use freezer_storage::Store;
use std::fmt;
use std::sync::Arc;

/// One level that will be replayed.
#[derive(Clone, Debug)]
pub struct PlannedLevel {
    pub id: LevelId,
    pub compression: Compression,
    pub encrypted: bool,
    /// When it is recorded.
    pub stored_bytes: Option<u64>,
    /// File content it holds, when it is recorded.
    pub content_bytes: Option<u64>,
    pub files: Option<u64>,
    pub(crate) level: Level,
    pub(crate) key: Option<MacKey>,
    /// How its payload is encrypted.
    pub(crate) scheme: Option<Scheme>,
    /// How to read it, when upstream's rsync engines wrote it.
    pub(crate) rsync: Option<Arc<rsync::Opening>>,
    /// The file it becomes, when it is an image of upstream.
    pub(crate) image: Option<Arc<images::Picture>>,
}

/// Where the levels of a plan are read.
#[derive(Clone)]
pub(crate) struct Origin(pub(crate) Arc<dyn Store>);

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.describe())
    }
}

/// What a restore will do. Print it with `{}`.
#[derive(Clone, Debug)]
pub struct RestorePlan {
    pub hbn: Hbn,
    /// Level 0 first.
    pub levels: Vec<PlannedLevel>,
    pub warnings: Vec<String>,
    pub(crate) origin: Origin,
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} levels to replay", self.hbn, self.levels.len())?;
        for level in &self.levels {
            let size = level
                .stored_bytes
                .map_or_else(|| "size not recorded".into(), |bytes| format!("{bytes} bytes"));
            let secret = if level.encrypted { ", encrypted" } else { "" };
            let (at, codec) = (time_text(level.id.timestamp), level.compression);
            writeln!(
                f,
                "  level {} of {at} ({}): {codec}{secret}, {size}",
                level.id.level, level.id.timestamp
            )?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "  note: {warning}"))
    }
}

/// Chooses the newest state not after the wanted time and checks, without reading payloads, that every
/// level it needs is there and can be decrypted.
pub async fn plan(store: &Arc<dyn Store>, request: &RestoreRequest) -> Result<RestorePlan, VaultError> {
    let keys = request.pass_phrase.clone().map(KeyRing::new);
    let found = find_files(store, request, keys.as_ref()).await?;
    prove(found, request, keys.as_ref()).await
}

/// The same for the backups of any engine.
pub(crate) async fn plan_of(
    store: &Arc<dyn Store>,
    engine: Engine,
    request: &RestoreRequest,
) -> Result<RestorePlan, VaultError> {
    let keys = request.pass_phrase.clone().map(KeyRing::new);
    let found = find(store, engine, request, keys.as_ref()).await?;
    prove(found, request, keys.as_ref()).await
}

/// What was found is whole, as far as that shows without reading payloads.
async fn prove(
    found: Found,
    request: &RestoreRequest,
    keys: Option<&KeyRing>,
) -> Result<RestorePlan, VaultError> {
    let Found { store, catalogue, chosen, mut warnings } = found;
    let store = &store;
    let hbn = catalogue.hbn.clone();
    let chain = catalogue.chains.iter().find(|chain| chain.timestamp == chosen.chain_timestamp);
    let newest = chain.and_then(|chain| chain.levels.iter().find(|level| level.id == chosen));
    let Some((chain, newest)) = chain.zip(newest) else {
        return Err(VaultError::Internal {
            what: "choosing a backup",
            cause: format!("{chosen} is not listed"),
        });
    };
    let broken = |cause: String| VaultError::BrokenChain { hbn: hbn.to_string(), cause };
    let lineage = chain.lineage(newest).map_err(broken)?;
    for level in &lineage {
        if let Some(cause) = check_presence(store, &hbn, level).await? {
            return Err(broken(format!("{}: {cause}", level.id)));
        }
    }
    let mut levels = Vec::new();
    for level in lineage {
        let level = level.whole(store, &hbn).await?;
        levels.push(unlock(store, &hbn, &level, keys, request, &mut warnings).await?);
    }
    if let Some(found) = said_among(&hbn, &levels, &request.not_of)? {
        return Err(VaultError::OtherKind { hbn: hbn.to_string(), found: found.to_owned() });
    }
    Ok(RestorePlan { hbn, levels, warnings, origin: Origin(store.clone()) })
}

/// Which of these the levels say that they are of.
fn said_among<'a>(
    hbn: &Hbn,
    levels: &[PlannedLevel],
    names: &[&'a str],
) -> Result<Option<&'a str>, VaultError> {
    let mark = |level: &PlannedLevel| Some((level.level.manifest()?.source.clone()?, level.key.clone()));
    let Some((mark, key)) = levels.iter().rev().find_map(mark) else { return Ok(None) };
    for &name in names {
        if is_of(&mark, hbn, name, key.as_ref())? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The state to restore, where it was found.
struct Found {
    store: Arc<dyn Store>,
    catalogue: Catalogue,
    chosen: LevelId,
    warnings: Vec<String>,
}

/// Files: what the tar engine has of today, then what it had in Freezer 1 and 2, then upstream's rsync engines; these come first
/// for who asks for them.
async fn find_files(
    store: &Arc<dyn Store>,
    request: &RestoreRequest,
    keys: Option<&KeyRing>,
) -> Result<Found, VaultError> {
    if request.engine == Engine::Cinder {
        return find_volume(store, request, keys).await;
    }
    let order: &[Engine] = match &request.engine {
        Engine::Tar => &[Engine::Tar, Engine::Rsync],
        Engine::Rsync => &[Engine::Rsync, Engine::Tar],
        other => std::slice::from_ref(other),
    };
    let mut first = None;
    for &engine in order {
        match find(store, engine, request, keys).await {
            Err(error @ VaultError::NoBackup { .. }) => first.get_or_insert(error),
            other => return other,
        };
        for name in names(request).filter(|_| engine == Engine::Tar) {
            let Some(view) = view_layout_a(store, &Hbn::new(&request.hostname, name)?).await? else {
                continue;
            };
            let only =
                RestoreRequest { backup_name: name.clone(), also_named: Vec::new(), ..request.clone() };
            match find(&view, engine, &only, keys).await {
                Err(VaultError::NoBackup { .. }) => {}
                other => return other,
            }
        }
    }
    Err(first.unwrap_or_else(|| VaultError::BadRequest { cause: "no backup name was given".into() }))
}

/// A volume that upstream saved under its id and no host.
async fn find_volume(
    store: &Arc<dyn Store>,
    request: &RestoreRequest,
    keys: Option<&KeyRing>,
) -> Result<Found, VaultError> {
    let hbn = Hbn::from_text(Engine::Cinder, request.backup_name.as_str())?;
    match view_volume(store, &hbn).await? {
        Some(view) => find_under(&view, &hbn, request, keys).await,
        None => {
            Err(VaultError::NoBackup { hbn: hbn.to_string(), before: String::new(), store: store.describe() })
        }
    }
}

fn names(request: &RestoreRequest) -> impl Iterator<Item = &String> {
    std::iter::once(&request.backup_name).chain(&request.also_named)
}

/// Under the first spelling of the name that has what is wanted.
async fn find(
    store: &Arc<dyn Store>,
    engine: Engine,
    request: &RestoreRequest,
    keys: Option<&KeyRing>,
) -> Result<Found, VaultError> {
    let mut first = None;
    for name in names(request) {
        match find_under(store, &Hbn::of(engine, &request.hostname, name)?, request, keys).await {
            Ok(found) => return Ok(found),
            Err(error @ VaultError::OtherSource { .. }) => first = Some(error),
            Err(error @ VaultError::NoBackup { .. }) => {
                first.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(first.unwrap_or_else(|| VaultError::BadRequest { cause: "no backup name was given".into() }))
}

async fn find_under(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    request: &RestoreRequest,
    keys: Option<&KeyRing>,
) -> Result<Found, VaultError> {
    let catalogue = catalogue::list(store, hbn).await?;
    let mut warnings = Vec::new();
    let chosen = select(store, &catalogue, request, keys, &mut warnings).await?;
    Ok(Found { store: store.clone(), catalogue, chosen, warnings })
}

/// The newest level not after the wanted time. A damaged one is not passed over in silence: whoever
/// wants an older state says so with a date. Nor is one of several folders taken because it is the newest.
async fn select(
    store: &Arc<dyn Store>,
    catalogue: &Catalogue,
    request: &RestoreRequest,
    keys: Option<&KeyRing>,
    warnings: &mut Vec<String>,
) -> Result<LevelId, VaultError> {
    let hbn = || catalogue.hbn.to_string();
    let foreign = match request.source.as_deref().map(source_of_path) {
        Some(source) => catalogue.foreign(store, &source, keys).await?,
        None => vec![None; catalogue.chains.len()],
    };
    let Several { sources, former } = catalogue.several_sources();
    let is_by_name = request.source.is_none() && request.not_after_secs.is_none();
    if is_by_name && !sources.is_empty() {
        return Err(VaultError::SeveralSources { hbn: hbn(), sources });
    }
    if let Some(former) = former.filter(|_| is_by_name) {
        warnings
            .push(format!("{} holds older backups too, of {former}: they are restored by their date", hbn()));
    }
    let in_time = |level: &Level| request.not_after_secs.is_none_or(|limit| level.id.timestamp <= limit);
    let all = catalogue.chains.iter().zip(&foreign);
    let all = all.flat_map(|(chain, foreign)| chain.levels.iter().map(move |level| (level, foreign)));
    let mut candidates: Vec<_> = all.filter(|(level, _)| in_time(level)).collect();
    candidates.sort_by_key(|(level, _)| std::cmp::Reverse(level.id.timestamp));
    let mut passed_over: Option<&String> = None;
    for (level, foreign) in candidates {
        match (&level.standing, foreign) {
            (Standing::Complete | Standing::Upstream, None) => {
                if let (false, Some(name)) = (sources.is_empty(), source_name(level)) {
                    warnings
                        .push(format!("{} holds backups of several folders; this one is of {name}", hbn()));
                } else if let (true, Some(other)) = (sources.is_empty(), passed_over) {
                    let text = format!("newer backups under {} are of {other}, as far as can be told", hbn());
                    warnings.push(format!("{text}: they were passed over"));
                }
                return Ok(level.id);
            }
            (Standing::Complete | Standing::Upstream, Some(other)) => {
                passed_over.get_or_insert(other);
            }
            (Standing::Uncommitted, _) => {
                warnings.push(format!("{} was passed over: it was never finished", level.id));
            }
            (Standing::Damaged(_), Some(_)) => {}
            (Standing::Damaged(cause), None) => {
                let cause = format!("{} is damaged: {cause}", level.id);
                return Err(VaultError::BrokenChain { hbn: hbn(), cause });
            }
        }
    }
    if let (Some(found), Some(wanted)) = (passed_over, &request.source) {
        let wanted = wanted.display().to_string();
        return Err(VaultError::OtherSource { hbn: hbn(), wanted, found: found.clone() });
    }
    let before = request.not_after_secs.map(|secs| format!(" up to {}", time_text(secs))).unwrap_or_default();
    Err(VaultError::NoBackup { hbn: hbn(), before, store: store.describe() })
}

fn source_name(level: &Level) -> Option<&str> {
    level.manifest()?.source.as_ref()?.name.as_deref()
}

/// Keys and formats of a level; a wrong pass phrase shows here.
async fn unlock(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &Level,
    keys: Option<&KeyRing>,
    request: &RestoreRequest,
    warnings: &mut Vec<String>,
) -> Result<PlannedLevel, VaultError> {
    let backup = format!("{hbn}, {}", level.id);
    let encrypted = level.is_encrypted();
    if !encrypted && keys.is_some() {
        warnings.push(format!("{} is not encrypted although a pass phrase was given", level.id));
    }
    let unlocked = unlock_keys(level, keys, &backup).await?;
    if request.authenticity == Authenticity::Required && unlocked.is_none() {
        return Err(VaultError::NotAuthenticated { backup });
    }
    let planned = PlannedLevel {
        id: level.id,
        compression: level.compression().unwrap_or(request.compression_fallback),
        encrypted,
        stored_bytes: level.stored_bytes(),
        content_bytes: level.manifest().map(|manifest| manifest.totals.read_bytes),
        files: level.manifest().map(|manifest| manifest.totals.files),
        level: level.clone(),
        key: unlocked,
        scheme: None,
        rsync: None,
        image: None,
    };
    if let Some(manifest) = level.manifest() {
        let scheme = manifest.encryption.as_ref().map(EncryptionRecord::scheme);
        return Ok(PlannedLevel { scheme, ..planned });
    }
    if hbn.engine().is_of_raw_images() {
        let image = Some(Arc::new(describe_image(store, hbn, level, warnings).await?));
        return Ok(PlannedLevel { compression: Compression::None, encrypted: false, image, ..planned });
    }
    if hbn.engine() == Engine::Rsync {
        let opening = rsync::sniff(store, hbn, level, keys.map(KeyRing::pass_phrase)).await?;
        let (compression, encrypted) = (opening.compression(), opening.is_encrypted());
        warnings.push(format!("{} was made by upstream's agent: nothing in it is authenticated", level.id));
        return Ok(PlannedLevel { compression, encrypted, rsync: Some(Arc::new(opening)), ..planned });
    }
    warnings.push(format!("{} was made by upstream's agent: there are no checksums to verify", level.id));
    let sniffed = sniff_upstream(store, hbn, level, keys.map(KeyRing::pass_phrase)).await?;
    let compression = sniffed.compression.unwrap_or(planned.compression);
    Ok(PlannedLevel {
        compression,
        encrypted: sniffed.derivation.is_some(),
        scheme: sniffed.derivation.map(|derivation| Scheme { cipher: Cipher::Aes256Cfb, derivation }),
        ..planned
    })
}

/// A raw image of upstream's, and what cannot be proved of it.
async fn describe_image(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &Level,
    warnings: &mut Vec<String>,
) -> Result<images::Picture, VaultError> {
    let picture = images::describe(store, hbn, level).await?;
    warnings.push(format!("{} was made by upstream's agent: there are no checksums to verify", level.id));
    if !picture.is_measured {
        warnings.push(format!(
            "nothing says how long the image of {} was: all that is there is taken for the whole",
            level.id
        ));
    }
    Ok(picture)
}

/// The authentication key of a level of ours, proved against its manifest. `None`: nothing to prove.
async fn unlock_keys(
    level: &Level,
    keys: Option<&KeyRing>,
    backup: &str,
) -> Result<Option<MacKey>, VaultError> {
    let keys = require_pass_phrase(level, keys, backup)?;
    let Some((sealed, keys)) = level.sealed.as_ref().zip(keys) else { return Ok(None) };
    let Some(record) = &sealed.manifest.encryption else { return Ok(None) };
    if let Err(cause) = record.mac.checked_salt() {
        return Err(VaultError::BadManifest { object: backup.to_owned(), cause });
    }
    let key = keys.key(&record.mac).await?;
    if sealed.is_authentic(&key)? {
        return Ok(Some(key));
    }
    // Whoever forges a manifest makes its SHA-256 fit; without the pass phrase its code never does.
    Err(VaultError::WrongPassPhrase { backup: backup.to_owned() })
}

/// The keys, unless the level needs some and there are none.
fn require_pass_phrase<'a>(
    level: &Level,
    keys: Option<&'a KeyRing>,
    backup: &str,
) -> Result<Option<&'a KeyRing>, VaultError> {
    if level.is_encrypted() && keys.is_none() {
        return Err(VaultError::PassPhraseMissing { backup: backup.to_owned() });
    }
    Ok(keys)
}
