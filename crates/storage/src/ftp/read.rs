//! Reading: one RETR from the first byte that is wanted to the last.

use super::FtpStore;
use super::connect::{Conn, Transfer};
use super::error::{Failure, within};
use crate::store::{ByteStream, ObjectName, StoreError};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};
use std::io::ErrorKind;
use std::ops::Range;
use std::time::Duration;
use suppaftp::FtpError;
use tokio::io::AsyncReadExt;

const PIECE_BYTES: usize = 64 << 10;
/// For a server to close the data connection after the last byte.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A file on its way here.
pub(super) struct Reader {
    transfer: Option<Transfer>,
    /// Bytes that come first and are not wanted, from a server that cannot begin in the middle.
    skip_bytes: u64,
    /// `None`: all that comes. A file may be replaced between the look at its size and its opening, so the size is no measure.
    left_bytes: Option<u64>,
    /// The file's end is the range's.
    is_to_end: bool,
    /// What is to come by the size that was seen.
    expected_bytes: u64,
}

impl Reader {
    /// Asks for the bytes from `range.start` of a file of `size_bytes`, up to `range.end` if the file goes on behind it.
    pub async fn open(
        conn: &mut Conn,
        path: &str,
        range: Range<u64>,
        size_bytes: u64,
    ) -> Result<Self, Failure> {
        let (mut skip_bytes, start) = (0, usize::try_from(range.start).unwrap_or(usize::MAX));
        within(conn.patience, conn.ftp.resume_transfer(start)).await?;
        let mut opened = within(conn.patience, conn.ftp.retr_as_stream(path)).await;
        if range.start > 0 && opened.as_ref().is_err_and(Failure::is_unknown_command) {
            skip_bytes = range.start;
            opened = within(conn.patience, conn.ftp.retr_as_stream(path)).await;
        }
        Ok(Self {
            transfer: Some(opened?),
            skip_bytes,
            left_bytes: (range.end <= size_bytes).then_some(range.end.saturating_sub(range.start)),
            is_to_end: range.end >= size_bytes,
            expected_bytes: size_bytes.saturating_sub(range.start),
        })
    }

    /// The next piece; `None` at the end of the range, with the connection ready for the next command.
    pub async fn next(&mut self, conn: &mut Conn) -> Result<Option<Bytes>, Failure> {
        while self.left_bytes != Some(0) {
            let Some(transfer) = &mut self.transfer else { return Ok(None) };
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            let has_all = self.left_bytes.is_none() && self.expected_bytes == 0;
            let read = async {
                match transfer.read_buf(&mut piece).await {
                    // Not every server ends its TLS properly. Then the size tells whether something was cut off.
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof && has_all => Ok(0),
                    result => result.map_err(FtpError::ConnectionError),
                }
            };
            if within(conn.patience, read).await? == 0 {
                return self.ended(conn).await.map(|()| None);
            }
            let piece = self.wanted(piece.freeze());
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        self.finish(conn).await?;
        Ok(None)
    }

    /// Of a piece that came, what belongs to the range.
    fn wanted(&mut self, mut piece: Bytes) -> Bytes {
        let skipped = usize::try_from(self.skip_bytes).unwrap_or(usize::MAX).min(piece.len());
        self.skip_bytes -= skipped as u64;
        let mut piece = piece.split_off(skipped);
        if let Some(left) = &mut self.left_bytes {
            piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= piece.len() as u64;
        }
        self.expected_bytes = self.expected_bytes.saturating_sub(piece.len() as u64);
        piece
    }

    /// Nothing more comes: that is the end if the server says so, and nothing is missing.
    async fn ended(&mut self, conn: &Conn) -> Result<(), Failure> {
        let Some(transfer) = self.transfer.take() else { return Ok(()) };
        within(conn.patience, transfer.finish()).await?;
        match self.left_bytes {
            None => Ok(()),
            Some(_) => Err(Failure::Damaged("the file became shorter while it was read".to_owned())),
        }
    }

    /// All that is wanted is here.
    async fn finish(&mut self, conn: &mut Conn) -> Result<(), Failure> {
        let Some(mut transfer) = self.transfer.take() else { return Ok(()) };
        if self.is_to_end {
            // Up to the server's own end of it: hanging up before that would look like a failure to the server.
            let mut beyond = [0u8; 1];
            let end = tokio::time::timeout(END_TIMEOUT, transfer.read(&mut beyond)).await;
            if matches!(end, Ok(Ok(0) | Err(_))) {
                return within(conn.patience, transfer.finish()).await;
            }
        }
        conn.hang_up(transfer).await;
        Ok(())
    }
}

impl Conn {
    /// Whether the file begins with `size_bytes` bytes of this SHA-256. Hence it is read back.
    pub async fn begins_with(
        &mut self,
        path: &str,
        size_bytes: u64,
        digest: Sha256,
    ) -> Result<bool, Failure> {
        if size_bytes == 0 {
            return Ok(true);
        }
        let mut reader = Reader::open(self, path, 0..size_bytes, size_bytes).await?;
        let mut found = Sha256::new();
        while let Some(piece) = reader.next(self).await? {
            found.update(&piece);
        }
        if self.is_broken {
            // Late answers would be taken for those to what is asked next.
            return Err(Failure::Lost("its answers are out of step with what it is asked".to_owned()));
        }
        Ok(found.finalize() == digest.finalize())
    }
}

impl FtpStore {
    pub(super) async fn read(
        &self,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, StoreError> {
        let mut conn = self.conn().await?;
        let path = conn.path(name.as_str());
        let stat = match conn.stat(&path).await {
            Ok(Some(stat)) if !stat.is_folder => stat,
            other => {
                self.settle(conn, name.as_str(), "looking at", other)?;
                return Err(self.missing(name.as_str()));
            }
        };
        let size = stat.size_bytes;
        let range = range.unwrap_or(0..u64::MAX);
        if range.is_empty() || range.start >= size && range.start > 0 {
            self.settle(conn, name.as_str(), "looking at", Ok(()))?;
            return Ok(stream::empty().boxed());
        }
        let reader = match Reader::open(&mut conn, &path, range, size).await {
            Ok(reader) => reader,
            Err(failure) => {
                return Err(self
                    .settle(conn, name.as_str(), "opening", Err::<(), _>(failure))
                    .err()
                    .unwrap_or_else(|| self.missing(name.as_str())));
            }
        };
        let state = Some((self.clone(), name.clone(), conn, reader));
        let body = stream::unfold(state, |state| async move {
            let (store, name, mut conn, mut reader) = state?;
            match reader.next(&mut conn).await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some((store, name, conn, reader)))),
                Ok(None) => {
                    let _ = store.settle(conn, name.as_str(), "reading", Ok(()));
                    None
                }
                Err(failure) => {
                    let error = store.settle(conn, name.as_str(), "reading", Err::<(), _>(failure)).err()?;
                    Some((Err(error), None))
                }
            }
        });
        Ok(self.inner.limits.slow_download(body.boxed()))
    }
}
