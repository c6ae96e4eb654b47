//! Bodies on their way out.

use crate::throttle::Limits;
use bytes::Bytes;
use futures_util::{Stream, stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The most bytes handed to the connection at once: small enough to show that a slow line still moves.
const PART_BYTES: usize = 64 << 10;

/// A body that can be sent again.
pub(crate) type Pieces = Arc<Vec<Bytes>>;

/// Whether bytes of a request still move.
#[derive(Default)]
pub(crate) struct Progress {
    pieces: AtomicU64,
    /// Waiting for a rate limit is no stall.
    held_back: AtomicBool,
}

impl Progress {
    /// Ends when nothing moved for `limit`.
    pub async fn stalled(&self, limit: Duration) {
        let mut seen = self.pieces.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(limit).await;
            let now = self.pieces.load(Ordering::Relaxed);
            if now == seen && !self.held_back.load(Ordering::Relaxed) {
                return;
            }
            seen = now;
        }
    }
}

/// Sends the pieces, charged to the limits quantum by quantum.
pub(crate) fn body_stream(
    pieces: Pieces,
    limits: Limits,
    progress: Arc<Progress>,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    let state = (pieces, 0usize, Bytes::new(), limits, progress);
    stream::unfold(state, |(pieces, mut next, mut rest, limits, progress)| async move {
        while rest.is_empty() {
            rest = pieces.get(next)?.clone();
            next += 1;
        }
        let quantum = limits.split_upload(&mut rest, PART_BYTES);
        progress.held_back.store(true, Ordering::Relaxed);
        limits.charge_upload(quantum.len()).await;
        progress.held_back.store(false, Ordering::Relaxed);
        progress.pieces.fetch_add(1, Ordering::Relaxed);
        Some((Ok(quantum), (pieces, next, rest, limits, progress)))
    })
}
