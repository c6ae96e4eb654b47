//! Fetching the payload of a level, checking each piece before anybody sees it.

use super::PlannedLevel;
use crate::VaultError;
use crate::encryption::MacKey;
use crate::error::Place;
use crate::layout::{DATA, Hbn, LevelId};
use crate::manifest::{Manifest, Piece};
use crate::monitor::Monitor;
use bytes::Bytes;
use freezer_storage::{ObjectName, Store, StoreError};
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A piece that is not right is fetched once more: it may have been damaged on its way.
pub(super) const ATTEMPTS: usize = 2;

/// What the reading side gets.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Checked bytes, as far as there is something to check them with.
    Bytes(Vec<Bytes>),
    /// All of the payload has arrived.
    End,
}

/// Where a payload is and how it is checked.
pub(crate) struct Payload {
    pub store: Arc<dyn Store>,
    pub hbn: Hbn,
    pub level: PlannedLevel,
}

impl Payload {
    /// Sends the whole payload, in order; stops in silence when the reading side has gone.
    pub(crate) async fn fetch(
        &self,
        arrivals: mpsc::Sender<Arrival>,
        monitor: &Monitor,
    ) -> Result<(), VaultError> {
        let work = async {
            match self.level.level.manifest() {
                Some(manifest) => self.fetch_pieces(manifest, &arrivals, monitor).await,
                None => self.fetch_plain(&arrivals, monitor).await,
            }
        };
        monitor.token().run_until_cancelled(work).await.unwrap_or(Err(VaultError::Cancelled))
    }

    async fn fetch_pieces(
        &self,
        manifest: &Manifest,
        arrivals: &mpsc::Sender<Arrival>,
        monitor: &Monitor,
    ) -> Result<(), VaultError> {
        for piece in &manifest.pieces {
            // Room first: what is fetched may be as long as a segment, and beside it is the one that is being read.
            let Ok(room) = arrivals.reserve().await else { return Ok(()) };
            let fetched = fetch_piece(&self.store, &self.hbn, &self.level.id, piece, self.level.key.as_ref());
            let bytes = fetched.await.map_err(|error| name_chunks(error, manifest, piece))?;
            monitor.add_stored(piece.size_bytes);
            room.send(Arrival::Bytes(bytes));
        }
        // A closed channel means that the reading side failed, and says why itself.
        let _ = arrivals.send(Arrival::End).await;
        Ok(())
    }

    /// Upstream's payload: nothing to check it with.
    async fn fetch_plain(
        &self,
        arrivals: &mpsc::Sender<Arrival>,
        monitor: &Monitor,
    ) -> Result<(), VaultError> {
        let mut stream = self.store.get(&self.level.id.object(&self.hbn, DATA)?, None).await?;
        while let Some(bytes) = stream.try_next().await? {
            monitor.add_stored(bytes.len() as u64);
            if arrivals.send(Arrival::Bytes(vec![bytes])).await.is_err() {
                return Ok(());
            }
        }
        let _ = arrivals.send(Arrival::End).await;
        Ok(())
    }
}

/// Says of damage to a piece which sealed chunks lie in it.
pub(crate) fn name_chunks(error: VaultError, manifest: &Manifest, piece: &Piece) -> VaultError {
    match (error, manifest.chunks_in(piece)) {
        (VaultError::Damaged { place, cause }, Some((first, last))) => {
            let chunks =
                if first == last { format!("chunk {first}") } else { format!("chunks {first} to {last}") };
            VaultError::Damaged { place, cause: format!("{cause} ({chunks})") }
        }
        (error, _) => error,
    }
}

/// One piece, checked. Fails with [`VaultError::Damaged`] when what is stored is not what was written.
pub(crate) async fn fetch_piece(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    id: &LevelId,
    piece: &Piece,
    key: Option<&MacKey>,
) -> Result<Vec<Bytes>, VaultError> {
    let name = id.object(hbn, piece.object.as_deref().unwrap_or(DATA))?;
    let mut cause = String::new();
    for _ in 0..ATTEMPTS {
        match fetch_once(store, &name, piece, key).await? {
            Ok(bytes) => return Ok(bytes),
            Err(fault) => cause = fault,
        }
    }
    let place = Place { object: name.to_string(), level: id.level, offset_bytes: piece.offset_bytes };
    Err(VaultError::Damaged { place, cause })
}

async fn fetch_once(
    store: &Arc<dyn Store>,
    name: &ObjectName,
    piece: &Piece,
    key: Option<&MacKey>,
) -> Result<Result<Vec<Bytes>, String>, VaultError> {
    let end = piece.offset_bytes.saturating_add(piece.size_bytes);
    let mut stream = match store.get(name, Some(piece.offset_bytes..end)).await {
        Ok(stream) => stream,
        Err(StoreError::NotFound { .. }) => return Ok(Err("it is missing".into())),
        Err(error) => return Err(error.into()),
    };
    let mut hash = Sha256::new();
    let mut mac = key.map(MacKey::start).transpose()?;
    let (mut pieces, mut size) = (Vec::new(), 0u64);
    while let Some(bytes) = stream.try_next().await? {
        hash.update(&bytes);
        if let Some(mac) = &mut mac {
            mac.update(&bytes);
        }
        size = size.saturating_add(bytes.len() as u64);
        if size > piece.size_bytes {
            return Ok(Err(format!("more than the {} bytes asked for arrived", piece.size_bytes)));
        }
        pieces.push(bytes);
    }
    if size != piece.size_bytes {
        return Ok(Err(format!("it ends after {size} of {} bytes", piece.size_bytes)));
    }
    if hex::encode(hash.finalize()) != piece.sha256 {
        return Ok(Err("its content does not fit its SHA-256".into()));
    }
    let authentic = match (mac, &piece.hmac) {
        (Some(mac), Some(code)) => mac.matches(code),
        (Some(_), None) => false,
        (None, _) => true,
    };
    Ok(if authentic { Ok(pieces) } else { Err("its content does not fit its authentication code".into()) })
}
