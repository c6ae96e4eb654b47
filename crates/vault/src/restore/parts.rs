//! Reading only what holds the wanted parts of an archive, by its table of contents.
//!
//! What comes out is the archive without the members that nobody wants, so that it is extracted as any other.

use super::PlannedLevel;
use super::fetch::{ATTEMPTS, Payload};
use super::opener::Opener;
use crate::VaultError;
use crate::backup::{attachment_fault, contents_within, decrypt};
use crate::catalogue::read_whole;
use crate::codecs::decompress_all;
use crate::contents::{Located, Stretch, locate};
use crate::encryption::PassPhrase;
use crate::error::Place;
use crate::layout::{CONTENTS, DATA, Hbn};
use crate::manifest::{Manifest, Piece};
use crate::monitor::Monitor;
use crate::tar::MemberForm;
use bytes::{Bytes, BytesMut};
use freezer_storage::{Store, StoreError};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// Longer tables are taken for damage.
const MOST_CONTENTS_BYTES: u64 = 16 << 30;
/// Stretches that lie one behind the other are fetched together up to so many bytes, and so many requests are on their way.
const MOST_FETCHED_BYTES: u64 = 8 << 20;
const AT_ONCE: usize = 4;
/// What an archive ends with.
const END_BYTES: usize = 1024;

/// A stretch, checked.
pub(super) struct Fetched {
    stretch: Stretch,
    /// As [`Opener::check`] gives it.
    checked: Bytes,
}

/// Where the wanted members of a level are. `Ok(None)`: it has no table of contents, and must be read whole. Errors are causes
/// why its table cannot be used. `wants` may block.
pub(super) async fn find(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &PlannedLevel,
    mut wants: impl FnMut(&[u8], MemberForm) -> bool + Send + 'static,
    pass: Option<&PassPhrase>,
) -> Result<Option<Located>, String> {
    let Some(manifest) = level.level.manifest() else { return Ok(None) };
    let Some(expected) = manifest.contents.clone() else { return Ok(None) };
    let object = level.id.object(hbn, CONTENTS).map_err(|error| error.to_string())?;
    let body = match contents_within(manifest) {
        Some(body) => Some(body),
        None => read_whole(store, &object, MOST_CONTENTS_BYTES).await.map_err(|error| error.to_string())?,
    };
    let (key, pass) = (level.key.clone(), pass.cloned());
    let level = level.level.clone();
    let work = move || {
        let text = |error: VaultError| error.to_string();
        if let Some(fault) = attachment_fault(body.as_deref(), &expected, key.as_ref()).map_err(text)? {
            return Err(fault);
        }
        let Some((manifest, body)) = level.manifest().zip(body) else { return Ok(None) };
        let packed = decrypt(body, manifest, (pass.as_ref(), key.as_ref())).map_err(text)?;
        let cipher = manifest.encryption.as_ref().map(|record| record.cipher);
        locate(Cursor::new(packed), &mut wants, &manifest.totals, cipher).map(Some)
    };
    let found = spawn_blocking(work).await.map_err(|error| error.to_string())?;
    found.map_err(|cause| format!("{object} cannot be used: {cause}"))
}

/// Sends the stretches in order, and `None` behind the last one; stops in silence when the reading side has gone.
pub(super) async fn fetch(
    payload: &Payload,
    (stretches, opener): (Vec<Stretch>, &Opener),
    arrivals: mpsc::Sender<Option<Fetched>>,
    monitor: &Monitor,
) -> Result<(), VaultError> {
    let work = async {
        let Some(manifest) = payload.level.level.manifest() else {
            return Err(VaultError::Internal { what: "reading parts", cause: "there is no manifest".into() });
        };
        let places = Places::new(manifest);
        let places = &places;
        let fetching =
            stream::iter(groups(stretches)).map(|group| fetch_group(payload, places, opener, group));
        let mut fetching = fetching.buffered(AT_ONCE);
        while let Some(group) = fetching.try_next().await? {
            for fetched in group {
                let stored = &fetched.stretch.stored;
                monitor.add_stored(stored.end.saturating_sub(stored.start));
                if arrivals.send(Some(fetched)).await.is_err() {
                    return Ok(());
                }
            }
        }
        let _ = arrivals.send(None).await;
        Ok(())
    };
    monitor.token().run_until_cancelled(work).await.unwrap_or(Err(VaultError::Cancelled))
}

/// Stretches that touch, as many as are fetched with one request.
fn groups(stretches: Vec<Stretch>) -> Vec<Vec<Stretch>> {
    let mut groups: Vec<Vec<Stretch>> = Vec::new();
    for stretch in stretches {
        let fits = |group: &&mut Vec<Stretch>| {
            let touches = group.last().is_some_and(|last| last.clear.end == stretch.clear.start);
            let start = group.first().map_or(0, |first| first.stored.start);
            touches && stretch.stored.end.saturating_sub(start) <= MOST_FETCHED_BYTES
        };
        match groups.last_mut().filter(fits) {
            Some(group) => group.push(stretch),
            None => groups.push(vec![stretch]),
        }
    }
    groups
}

/// One group, checked. What is not right is fetched once more, as a piece is.
async fn fetch_group(
    payload: &Payload,
    places: &Places<'_>,
    opener: &Opener,
    group: Vec<Stretch>,
) -> Result<Vec<Fetched>, VaultError> {
    let start = group.first().map_or(0, |first| first.stored.start);
    let end = group.last().map_or(start, |last| last.stored.end);
    let mut failure = None;
    for _ in 0..ATTEMPTS {
        let body = match places.read(payload, start..end).await {
            Ok(body) => body,
            Err(Trouble::Fatal(error)) => return Err(error),
            Err(Trouble::Damage(place, cause)) => {
                failure = Some(VaultError::Damaged { place, cause });
                continue;
            }
        };
        let check = |stretch: &Stretch| {
            let checked = opener.check(stretch, part(&body, start, stretch));
            checked
                .map(|checked| Fetched { stretch: stretch.clone(), checked })
                .map_err(|cause| (stretch.stored.start, cause))
        };
        match group.iter().map(check).collect::<Result<Vec<Fetched>, _>>() {
            Ok(fetched) => return Ok(fetched),
            Err((bad, cause)) => {
                let place = places.name(payload, bad)?;
                failure = Some(VaultError::Damaged { place, cause });
            }
        }
    }
    Err(failure.unwrap_or(VaultError::Cancelled))
}

/// A stretch within what was fetched from `start` on.
fn part(body: &Bytes, start: u64, stretch: &Stretch) -> Bytes {
    let at = |place: u64| usize::try_from(place.saturating_sub(start)).unwrap_or(usize::MAX).min(body.len());
    body.slice(at(stretch.stored.start)..at(stretch.stored.end))
}

/// Where each byte of the payload is.
struct Places<'a> {
    pieces: &'a [Piece],
    /// Where each piece ends in the payload.
    ends: Vec<u64>,
}

enum Trouble {
    Fatal(VaultError),
    Damage(Place, String),
}

impl<E: Into<VaultError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Fatal(error.into())
    }
}

impl<'a> Places<'a> {
    fn new(manifest: &'a Manifest) -> Self {
        let mut end = 0u64;
        let ends = manifest.pieces.iter().map(|piece| {
            end = end.saturating_add(piece.size_bytes);
            end
        });
        let ends = ends.collect();
        Self { pieces: &manifest.pieces, ends }
    }

    /// Objects below the level's folder and the parts of them that hold `range` of the payload.
    fn parts(&self, range: Range<u64>) -> Vec<(&'a str, Range<u64>)> {
        let mut parts: Vec<(&str, Range<u64>)> = Vec::new();
        let first = self.ends.partition_point(|end| *end <= range.start);
        for (piece, end) in self.pieces.iter().zip(&self.ends).skip(first) {
            let start = end.saturating_sub(piece.size_bytes);
            if start >= range.end {
                break;
            }
            let at = |place: u64| piece.offset_bytes.saturating_add(place.saturating_sub(start));
            let (from, to) = (at(range.start.max(start)), at(range.end.min(*end)));
            let object = piece.object.as_deref().unwrap_or(DATA);
            match parts.last_mut().filter(|(last, part)| *last == object && part.end == from) {
                Some((_, part)) => part.end = to,
                None => parts.push((object, from..to)),
            }
        }
        parts
    }

    async fn read(&self, payload: &Payload, range: Range<u64>) -> Result<Bytes, Trouble> {
        let mut body = BytesMut::new();
        for (object, part) in self.parts(range) {
            let name = payload.level.id.object(&payload.hbn, object)?;
            let damage = |cause: &str| {
                let place = Place {
                    object: name.to_string(),
                    level: payload.level.id.level,
                    offset_bytes: part.start,
                };
                Trouble::Damage(place, cause.to_owned())
            };
            let wanted = part.end.saturating_sub(part.start);
            let before = body.len() as u64;
            let mut arriving = match payload.store.get(&name, Some(part.clone())).await {
                Ok(arriving) => arriving,
                Err(StoreError::NotFound { .. }) => return Err(damage("it is missing")),
                Err(error) => return Err(error.into()),
            };
            while let Some(bytes) = arriving.try_next().await? {
                body.extend_from_slice(&bytes);
                if body.len() as u64 - before > wanted {
                    return Err(damage("more than was asked for arrived"));
                }
            }
            if body.len() as u64 - before < wanted {
                return Err(damage("it ends too early"));
            }
        }
        Ok(body.freeze())
    }

    /// For messages.
    fn name(&self, payload: &Payload, place: u64) -> Result<Place, VaultError> {
        let parts = self.parts(place..place.saturating_add(1));
        let (object, part) = parts.into_iter().next().unwrap_or((DATA, place..place));
        let object = payload.level.id.object(&payload.hbn, object)?.to_string();
        Ok(Place { object, level: payload.level.id.level, offset_bytes: part.start })
    }
}

/// Decompresses and cuts out what is wanted. Blocks.
pub(super) fn unpack(
    mut arrivals: mpsc::Receiver<Option<Fetched>>,
    (level, located, opener): (&PlannedLevel, &Located, &Opener),
    blocks: &SyncSender<Option<Vec<u8>>>,
) -> Result<(), VaultError> {
    let unreadable =
        |cause: &str| VaultError::Unreadable { backup: level.id.to_string(), cause: cause.into() };
    loop {
        let fetched = arrivals.blocking_recv().ok_or_else(|| unreadable("fetching it failed"))?;
        let Some(Fetched { stretch, checked }) = fetched else { break };
        let clear = open(&stretch, checked, opener, level)?;
        for range in touching(&located.ranges, &stretch.clear) {
            let at = |place: u64| {
                usize::try_from(place.clamp(stretch.clear.start, stretch.clear.end) - stretch.clear.start)
                    .unwrap_or(usize::MAX)
            };
            let block = clear.get(at(range.start)..at(range.end)).unwrap_or_default();
            // When the extracting thread has gone, it says why itself.
            if !block.is_empty() && blocks.send(Some(block.to_vec())).is_err() {
                return Ok(());
            }
        }
    }
    let _ = blocks.send(Some(vec![0; END_BYTES])).and_then(|()| blocks.send(None));
    Ok(())
}

/// The ranges that `part` has something of.
fn touching<'a>(ranges: &'a [Range<u64>], part: &Range<u64>) -> impl Iterator<Item = &'a Range<u64>> {
    let (first, end) = (ranges.partition_point(|range| range.end <= part.start), part.end);
    ranges.get(first..).unwrap_or_default().iter().take_while(move |range| range.start < end)
}

/// What of the archive is in a stretch.
fn open(
    stretch: &Stretch,
    checked: Bytes,
    opener: &Opener,
    level: &PlannedLevel,
) -> Result<Vec<u8>, VaultError> {
    let packed = opener.packed(stretch, checked)?;
    let length = stretch.clear.end.saturating_sub(stretch.clear.start);
    let clear = decompress_all(level.compression, packed, length);
    let unreadable = |cause: String| VaultError::Unreadable { backup: level.id.to_string(), cause };
    let clear = clear.map_err(|error| unreadable(error.to_string()))?;
    if clear.len() as u64 != length {
        return Err(unreadable(format!("{} bytes come out of a part that has {length}", clear.len())));
    }
    Ok(clear)
}
