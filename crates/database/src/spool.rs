//! Temporary files for the rows of large pages: such a page is read with one statement, and neither memory nor a connection is
//! held for it while whoever asked takes it.
//!
//! A file has no name: nobody else opens it, and nothing of it stays when the process ends. All files together have a bound; beyond
//! it, or where no file can be written, pages are read piece by piece.

use crate::reader::Reader;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most bytes of one page. The client library of MySQL holds all rows of a statement until the last one is taken, so this is what the
/// one page that is read at a time may take of the memory. A hundred jobs with as long actions as jobs may have weigh less; with hundreds
/// of actions each they may weigh more, as each line of the answer has its job once more.
const PAGE_BYTES: u64 = 80 << 20;
/// More do not wait, as each keeps one of the few threads that callers share; their pages are read piece by piece.
const MOST_WAITING: u32 = 3;
const WRITTEN_AT_ONCE: usize = 64 << 10;

/// The temporary files of one pool, and the room for them.
#[derive(Debug)]
pub(crate) struct Spools {
    folder: PathBuf,
    most_bytes: u64,
    /// So long a page waits for the one that is being read, which takes a fraction of a second.
    patience: Duration,
    now: Mutex<Now>,
    is_read: Condvar,
    has_warned: AtomicBool,
    pub reader: Reader,
}

#[derive(Debug, Default)]
struct Now {
    /// Of all files.
    bytes: u64,
    /// Somebody reads a page into a file.
    is_reading: bool,
    /// Those who wait for that.
    waiting: u32,
}

/// A row as files hold it: its long text stands beside the rest, as it is.
pub(crate) trait Kept: Serialize + DeserializeOwned {
    fn text(&mut self) -> &mut String;
}

/// Where files are made unless something else is said: on a disk, where `/tmp` may be memory.
pub(crate) fn usual_folder() -> PathBuf {
    let on_disk = Path::new("/var/tmp");
    if std::env::var_os("TMPDIR").is_none() && on_disk.is_dir() {
        return on_disk.to_owned();
    }
    std::env::temp_dir()
}

impl Spools {
    pub fn new(folder: PathBuf, most_bytes: u64, patience: Duration) -> Self {
        let (now, is_read) = (Mutex::default(), Condvar::new());
        Self {
            folder,
            most_bytes,
            patience,
            now,
            is_read,
            has_warned: AtomicBool::new(false),
            reader: Reader::default(),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a page of about so many bytes may be read as a whole; none when that is not to be.
    pub fn turn(&self, bytes: u64) -> Option<Turn<'_>> {
        if bytes > PAGE_BYTES {
            return None;
        }
        let mut now = self.now();
        if now.is_reading && now.waiting < MOST_WAITING {
            now.waiting += 1;
            let waited = self.is_read.wait_timeout_while(now, self.patience, |now| now.is_reading);
            (now, _) = waited.unwrap_or_else(PoisonError::into_inner);
            now.waiting -= 1;
        }
        if now.is_reading {
            return None;
        }
        now.is_reading = true;
        Some(Turn { spools: self })
    }

    /// A file for about so many bytes.
    pub fn open(self: &Arc<Self>, bytes: u64) -> io::Result<Spool> {
        let mut room = Room { spools: self.clone(), bytes: 0 };
        room.cover(bytes)?;
        let out = BufWriter::with_capacity(WRITTEN_AT_ONCE, tempfile::tempfile_in(&self.folder)?);
        Ok(Spool { out, written: 0, room })
    }

    /// Tells once why a page goes on piece by piece.
    pub fn warn(&self, error: &io::Error) {
        if self.has_warned.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            "large pages of lists are read piece by piece, with more statements: a temporary file in {} cannot be used: {error}; \
             is there room, and may this service write there? TMPDIR names another folder (this is told once)",
            self.folder.display()
        );
    }
}

/// The right to read a page, until it is dropped.
pub(crate) struct Turn<'s> {
    spools: &'s Spools,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.spools.now().is_reading = false;
        self.spools.is_read.notify_one();
    }
}

/// A file's part of the bound, given back when it is dropped.
#[derive(Debug)]
struct Room {
    spools: Arc<Spools>,
    bytes: u64,
}

impl Room {
    /// Takes more, so that there are so many bytes.
    fn cover(&mut self, bytes: u64) -> io::Result<()> {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        let most = self.spools.most_bytes;
        let mut now = self.spools.now();
        let all = now.bytes.saturating_add(more);
        if all > most {
            return Err(io::Error::other(format!("all of them would have more than {most} bytes")));
        }
        now.bytes = all;
        drop(now);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut now = self.spools.now();
        now.bytes = now.bytes.saturating_sub(self.bytes);
    }
}

/// Where a row stands in its file.
#[derive(Debug)]
pub(crate) struct Stretch {
    at: u64,
    text: usize,
    head: usize,
}

impl Stretch {
    pub fn bytes(&self) -> usize {
        self.text + self.head
    }
}

/// A file that is being written.
pub(crate) struct Spool {
    out: BufWriter<File>,
    written: u64,
    room: Room,
}

impl Spool {
    pub fn add<R: Kept>(&mut self, mut row: R) -> io::Result<Stretch> {
        let text = std::mem::take(row.text());
        let head = serde_json::to_vec(&row)?;
        let stretch = Stretch { at: self.written, text: text.len(), head: head.len() };
        self.written += stretch.bytes() as u64;
        self.room.cover(self.written)?;
        self.out.write_all(text.as_bytes())?;
        self.out.write_all(&head)?;
        Ok(stretch)
    }

    pub fn close(self) -> io::Result<Spooled> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Spooled { file, _room: self.room })
    }
}

/// A file that is written.
#[derive(Debug)]
pub(crate) struct Spooled {
    file: File,
    _room: Room,
}

impl Spooled {
    pub fn read<R: Kept>(&self, stretch: &Stretch) -> io::Result<R> {
        let mut text = vec![0; stretch.bytes()];
        self.file.read_exact_at(&mut text, stretch.at)?;
        let head = text.split_off(stretch.text);
        let mut row: R = serde_json::from_slice(&head)?;
        *row.text() = String::from_utf8(text).map_err(io::Error::other)?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
    struct Row {
        number: i64,
        text: String,
    }

    impl Kept for Row {
        fn text(&mut self) -> &mut String {
            &mut self.text
        }
    }

    fn spools(folder: &Path, most_bytes: u64) -> Arc<Spools> {
        Arc::new(Spools::new(folder.to_owned(), most_bytes, Duration::from_secs(60)))
    }

    #[test]
    fn rows_come_back_and_no_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let spools = spools(folder.path(), 1 << 20);
        let mut spool = spools.open(10).unwrap();
        let rows: Vec<Row> =
            (0..100).map(|number| Row { number, text: "é\"\n".repeat(number as usize) }).collect();
        let stretches: Vec<Stretch> = rows.iter().cloned().map(|row| spool.add(row).unwrap()).collect();
        let spooled = spool.close().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        for (row, stretch) in rows.iter().zip(&stretches).rev() {
            assert_eq!(&spooled.read::<Row>(stretch).unwrap(), row);
        }
        assert!(spools.now().bytes > 10);
        drop(spooled);
        assert_eq!(spools.now().bytes, 0);
    }

    #[test]
    fn all_files_together_have_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let spools = spools(folder.path(), 100);
        let first = spools.open(60).unwrap();
        assert!(spools.open(60).is_err());
        let mut second = spools.open(40).unwrap();
        assert!(second.add(Row { number: 0, text: "x".repeat(200) }).is_err());
        drop(first);
        assert!(second.add(Row { number: 0, text: "x".to_owned() }).is_err(), "what was refused is counted");
        drop(second);
        spools.open(100).unwrap();
    }

    #[test]
    fn one_page_is_read_at_a_time_and_none_that_is_too_large() {
        let spools = spools(Path::new("/"), 0);
        assert!(spools.turn(PAGE_BYTES + 1).is_none());
        let first = spools.turn(PAGE_BYTES).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| spools.turn(1).is_some());
            drop(first);
            assert!(second.join().unwrap());
        });
        assert!(!spools.now().is_reading && spools.now().waiting == 0);
    }

    #[test]
    fn few_wait() {
        let spools = spools(Path::new("/"), 0);
        let first = spools.turn(1).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..MOST_WAITING {
                scope.spawn(|| assert!(spools.turn(1).is_some()));
            }
            while spools.now().waiting < MOST_WAITING {
                std::thread::yield_now();
            }
            assert!(spools.turn(1).is_none(), "one more waited");
            drop(first);
        });
        assert_eq!(spools.now().waiting, 0);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error() {
        assert!(spools(Path::new("/dev/null"), 100).open(1).is_err());
    }
}
