//! Between tasks that wait and threads that block: bytes of a stream as a reader, and a writer's bytes as a stream.
//!
//! Both ends know a true end from a lost one: what breaks off is an error to whoever reads, never a short image.

use super::error::CloudError;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use std::io::{self, Read, Write};
use tokio::sync::mpsc;

/// Pieces on their way; a piece is as large as its source made it, at most [`PIECE_BYTES`] of a writer.
const PIECES: usize = 16;
const PIECE_BYTES: usize = 1 << 20;

enum Piece {
    Data(Bytes),
    Failed(String),
    End,
}

/// Reads a stream from a thread. The stream is followed by a task that ends when the reader is dropped.
pub fn reader(mut stream: BoxStream<'static, Result<Bytes, CloudError>>) -> Box<dyn Read + Send> {
    let (sender, pieces) = mpsc::channel(PIECES);
    tokio::spawn(async move {
        loop {
            let next = tokio::select! {
                next = stream.next() => next,
                () = sender.closed() => return,
            };
            let (piece, is_last) = match next {
                Some(Ok(data)) => (Piece::Data(data), false),
                Some(Err(error)) => (Piece::Failed(error.to_string()), true),
                None => (Piece::End, true),
            };
            if sender.send(piece).await.is_err() || is_last {
                return;
            }
        }
    });
    Box::new(StreamReader { pieces, rest: Bytes::new(), ended: false })
}

struct StreamReader {
    pieces: mpsc::Receiver<Piece>,
    rest: Bytes,
    ended: bool,
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Data(data)) => self.rest = data,
                Some(Piece::End) => self.ended = true,
                Some(Piece::Failed(cause)) => return Err(io::Error::other(cause)),
                None => return Err(io::Error::other("whoever read the source stopped")),
            }
        }
        let count = self.rest.len().min(buffer.len());
        let part = self.rest.split_to(count);
        if let Some(room) = buffer.get_mut(..count) {
            room.copy_from_slice(&part);
        }
        Ok(count)
    }
}

/// A writer for a thread and the stream of what it writes. The stream ends well only after a flush.
pub fn writer() -> (Box<dyn Write + Send>, impl Stream<Item = io::Result<Bytes>> + Send + 'static) {
    let (sender, pieces) = mpsc::channel(PIECES);
    let stream = futures_util::stream::unfold((pieces, false), |(mut pieces, ended)| async move {
        if ended {
            return None;
        }
        match pieces.recv().await {
            Some(Piece::Data(data)) => Some((Ok(data), (pieces, false))),
            Some(Piece::End) => None,
            Some(Piece::Failed(cause)) => Some((Err(io::Error::other(cause)), (pieces, true))),
            None => Some((Err(io::Error::other("the restore broke off")), (pieces, true))),
        }
    });
    (Box::new(StreamWriter { sender, buffer: Vec::with_capacity(PIECE_BYTES) }), stream)
}

struct StreamWriter {
    sender: mpsc::Sender<Piece>,
    buffer: Vec<u8>,
}

impl StreamWriter {
    fn send(&mut self, piece: Piece) -> io::Result<()> {
        self.sender
            .blocking_send(piece)
            .map_err(|_| io::Error::other("the receiver of the image stopped taking it"))
    }

    fn pass_on(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE_BYTES));
        self.send(Piece::Data(Bytes::from(full)))
    }
}

impl Write for StreamWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = (PIECE_BYTES - self.buffer.len()).min(data.len());
        self.buffer.extend_from_slice(data.get(..count).unwrap_or_default());
        if self.buffer.len() >= PIECE_BYTES {
            self.pass_on()?;
        }
        Ok(count)
    }

    /// The end: whoever writes an image flushes it once.
    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()?;
        self.send(Piece::End)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn an_end_is_told_from_a_break() {
        let whole = futures_util::stream::iter([Ok(Bytes::from("ab")), Ok(Bytes::from("c"))]).boxed();
        let broken = futures_util::stream::iter([Ok(Bytes::from("ab")), Err(CloudError::Aborted)]).boxed();
        let (mut whole, mut broken) = (reader(whole), reader(broken));
        let read = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            (whole.read_to_string(&mut text).map(|_| text), broken.read_to_string(&mut String::new()))
        });
        let (text, error) = read.await.unwrap();
        assert_eq!(text.unwrap(), "abc");
        assert_eq!(error.unwrap_err().to_string(), "aborted");
    }

    #[tokio::test]
    async fn what_is_written_ends_well_only_by_a_flush() {
        for (flushes, pieces) in [(true, 3), (false, 3)] {
            let (mut writer, stream) = writer();
            let work = tokio::task::spawn_blocking(move || {
                writer.write_all(&vec![7; 2 * PIECE_BYTES + 5]).unwrap();
                if flushes {
                    writer.flush().unwrap();
                }
            });
            let all: Vec<io::Result<Bytes>> = stream.collect().await;
            work.await.unwrap();
            assert_eq!(all.len(), pieces);
            assert_eq!(all.iter().all(Result::is_ok), flushes);
        }
    }
}
