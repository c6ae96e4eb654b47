//! Reading: many read requests on their way at once, answered in order.

use super::connect::Link;
use super::error::{is_end, is_missing};
use super::{SshStore, Wrong};
use crate::store::{ByteStream, ObjectName, StoreError};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use russh_sftp::client::error::Error;
use russh_sftp::protocol::{FileAttributes, OpenFlags};
use std::collections::VecDeque;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

/// Bytes asked for and not yet here.
const WINDOW_BYTES: usize = 2 << 20;

/// `Sync`, so that references to its holder may cross an await.
type Answer = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send + Sync>>;

/// An open file that is read in order.
pub(super) struct Reader {
    link: Arc<Link>,
    handle: Option<String>,
    /// What was not yet asked for.
    rest: Range<u64>,
    asked: VecDeque<(Range<u64>, Answer)>,
}

impl Reader {
    pub fn new(link: Arc<Link>, handle: String, range: Range<u64>) -> Self {
        Self { link, handle: Some(handle), rest: range, asked: VecDeque::new() }
    }

    /// The next piece; `None` at the end of the range. An early end of the file is an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        self.ask_ahead();
        let Some((range, answer)) = self.asked.pop_front() else { return Ok(None) };
        let bytes = answer.await?;
        let end = range.start + bytes.len() as u64;
        if bytes.is_empty() || end > range.end {
            return Err(Error::UnexpectedBehavior(format!("{} bytes instead of {range:?}", bytes.len())));
        }
        if end < range.end {
            // A short answer: ask for the gap before the pieces behind it.
            let gap = end..range.end;
            let answer = self.ask(&gap);
            self.asked.push_front((gap, answer));
        }
        Ok(Some(bytes))
    }

    fn ask_ahead(&mut self) {
        let packet = self.link.packet_bytes as u64;
        while self.asked.len() < WINDOW_BYTES / self.link.packet_bytes.max(1)
            && self.rest.start < self.rest.end
        {
            let piece = self.rest.start..self.rest.end.min(self.rest.start + packet);
            self.rest.start = piece.end;
            let answer = self.ask(&piece);
            self.asked.push_back((piece, answer));
        }
    }

    /// Sends the request at once and gives back its answer to come.
    fn ask(&self, piece: &Range<u64>) -> Answer {
        let sftp = self.link.sftp.clone();
        let handle = self.handle.clone().unwrap_or_default();
        let (offset, bytes) = (piece.start, u32::try_from(piece.end - piece.start).unwrap_or(u32::MAX));
        let mut answer: Answer =
            Box::pin(async move { Ok(Bytes::from(sftp.read(handle, offset, bytes).await?.data)) });
        match (&mut answer).now_or_never() {
            Some(result) => Box::pin(async move { result }),
            None => answer,
        }
    }

    /// Leaves the handle to its owner.
    pub fn keep_open(mut self) {
        self.handle = None;
    }

    pub async fn close(&mut self) {
        if let Some(handle) = self.handle.take() {
            let _ = self.link.sftp.close(handle).await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(handle) = self.handle.take() else { return };
        let sftp = self.link.sftp.clone();
        // Handles are few on the server; the answer is of no interest.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { sftp.close(handle).await });
        }
    }
}

impl SshStore {
    pub(super) async fn read(
        &self,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, StoreError> {
        let link = self.link().await?;
        let path = Self::path(&link, name.as_str());
        let wrong = Wrong { link: &link, name: name.as_str() };
        let handle = match link.sftp.open(path, OpenFlags::READ, FileAttributes::empty()).await {
            Ok(handle) => handle.handle,
            Err(error) if is_missing(&error) => return Err(self.missing(name.as_str())),
            Err(error) => return Err(self.wrong(&wrong, "opening", error).await),
        };
        let mut reader = Reader::new(link.clone(), handle.clone(), 0..0);
        let attributes = match link.sftp.fstat(handle).await {
            Ok(answer) => answer.attrs,
            Err(error) => return Err(self.wrong(&wrong, "looking at", error).await),
        };
        if !attributes.file_type().is_file() {
            return Err(self.missing(name.as_str()));
        }
        let size = attributes.size.unwrap_or(0);
        let range = range.unwrap_or(0..size);
        reader.rest = range.start.min(size)..range.end.min(size);
        let state = Some((self.clone(), name.clone(), link.clone(), reader));
        let body = stream::unfold(state, |state| async move {
            let (store, name, link, mut reader) = state?;
            match reader.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some((store, name, link, reader)))),
                Ok(None) => {
                    reader.close().await;
                    None
                }
                Err(error) if is_end(&error) => {
                    let cause = "the file became shorter while it was read".to_string();
                    let store = store.inner.label.clone();
                    Some((Err(StoreError::Damaged { store, name: name.to_string(), cause }), None))
                }
                Err(error) => {
                    let wrong = Wrong { link: &link, name: name.as_str() };
                    Some((Err(store.wrong(&wrong, "reading", error).await), None))
                }
            }
        });
        Ok(self.inner.limits.slow_download(body.boxed()))
    }
}
