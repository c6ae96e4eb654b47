//! An archive of what is no directory tree: streams and small documents, handed in one after the other.
//!
//! A stream's length is not known before its end, and a tar header comes before the content: a stream becomes a folder of
//! parts of a fixed size, each of them in memory for a moment, nothing on disk. `cat FOLDER/*` is the stream again.

use super::header::{Fields, NAME_FIELD};
use super::index::Builder;
use super::problem::{ProblemKind, Problems};
use super::write::Output;
use super::{Stamp, TarError, Watch, Written};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::time::SystemTime;

/// Bytes of one part of a stream.
pub const PART_BYTES: usize = 16 << 20;

/// Gives the members of an archive, in a thread of its own.
pub trait Feed: fmt::Debug + Send + Sync {
    /// # Errors
    /// Only when the archive cannot go on. What cannot be read is told by [`Members::missing`].
    fn give(&self, members: &mut Members<'_>) -> Result<(), TarError>;
}

/// Owner and permissions of a member.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime_secs: i64,
}

impl Owner {
    /// Readable by the one who restores, and by nobody else.
    pub fn private(mtime_secs: i64) -> Self {
        Self { mode: 0o600, uid: 0, gid: 0, mtime_secs }
    }
}

/// What went into the archive of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streamed {
    pub bytes: u64,
    pub sha256: String,
    pub parts: u64,
}

/// The archive while it grows.
pub struct Members<'a> {
    out: Output<'a>,
    watch: &'a mut dyn Watch,
    problems: Problems,
    members: u64,
    content_bytes: u64,
}

impl Members<'_> {
    /// A document that is at hand.
    pub fn document(&mut self, name: &str, owner: Owner, body: &[u8]) -> Result<(), TarError> {
        self.check_cancelled()?;
        self.watch.on_file(name.as_bytes());
        self.head(name, b'0', owner, body.len() as u64, b"")?;
        self.out.write(body)?;
        self.out.pad()?;
        self.content_bytes += body.len() as u64;
        self.watch.on_bytes(body.len() as u64);
        Ok(())
    }

    pub fn directory(&mut self, name: &str, owner: Owner) -> Result<(), TarError> {
        self.head(&format!("{name}/"), b'5', owner, 0, b"")
    }

    pub fn symlink(&mut self, name: &str, owner: Owner, target: &[u8]) -> Result<(), TarError> {
        self.head(name, b'2', owner, 0, target)
    }

    /// Reads a stream to its end, into the folder `name`. The outer error ends the archive, the inner one is the stream's:
    /// then parts of it are in the archive, and the caller says with [`Members::missing`] that they are not all.
    pub fn stream(
        &mut self,
        name: &str,
        owner: Owner,
        input: &mut dyn Read,
    ) -> Result<Result<Streamed, std::io::Error>, TarError> {
        let folder = Owner { mode: 0o700, ..owner };
        self.directory(name, folder)?;
        let mut streamed = Streamed { bytes: 0, sha256: String::new(), parts: 0 };
        let mut hash = Sha256::new();
        let mut part = Vec::with_capacity(PART_BYTES.min(1 << 20));
        loop {
            let end = match fill(input, &mut part, self.watch) {
                Ok(end) => end,
                Err(Filling::Cancelled) => return Err(TarError::Cancelled),
                Err(Filling::Input(error)) => return Ok(Err(error)),
            };
            if !part.is_empty() || streamed.parts == 0 {
                streamed.parts += 1;
                streamed.bytes += part.len() as u64;
                hash.update(&part);
                self.document(&format!("{name}/{:06}", streamed.parts), owner, &part)?;
            }
            if end {
                streamed.sha256 = hex::encode(hash.finalize());
                return Ok(Ok(streamed));
            }
        }
    }

    /// Something that should be in the archive is not, or not whole.
    pub fn missing(&mut self, name: &str, reason: impl fmt::Display) {
        self.problems.add(name.as_bytes(), ProblemKind::Unreadable, reason);
    }

    fn check_cancelled(&mut self) -> Result<(), TarError> {
        if self.watch.cancelled() { Err(TarError::Cancelled) } else { Ok(()) }
    }

    fn head(
        &mut self,
        name: &str,
        typeflag: u8,
        owner: Owner,
        size: u64,
        link: &[u8],
    ) -> Result<(), TarError> {
        let name = [b"./", name.as_bytes()].concat();
        for (flag, text) in [(b'K', link), (b'L', name.as_slice())] {
            if text.len() > NAME_FIELD {
                self.long_name(flag, text)?;
            }
        }
        let fields = Fields {
            name: &name,
            link,
            typeflag,
            mode: owner.mode,
            uid: owner.uid,
            gid: owner.gid,
            size,
            mtime_secs: owner.mtime_secs,
            ..Fields::default()
        };
        self.members += 1;
        self.out.write(&fields.encode())
    }

    fn long_name(&mut self, typeflag: u8, name: &[u8]) -> Result<(), TarError> {
        let size = name.len() as u64 + 1;
        let fields = Fields { name: b"././@LongLink", typeflag, mode: 0o644, size, ..Fields::default() };
        self.out.write(&fields.encode())?;
        self.out.write(name)?;
        self.out.write(&[0])?;
        self.out.pad()
    }
}

enum Filling {
    Input(std::io::Error),
    Cancelled,
}

/// Fills `part` anew; true when the stream has ended.
fn fill(input: &mut dyn Read, part: &mut Vec<u8>, watch: &mut dyn Watch) -> Result<bool, Filling> {
    part.clear();
    let mut buffer = vec![0; 256 << 10];
    while part.len() < PART_BYTES {
        if watch.cancelled() {
            return Err(Filling::Cancelled);
        }
        let room = (PART_BYTES - part.len()).min(buffer.len());
        match input.read(buffer.get_mut(..room).unwrap_or_default()) {
            Ok(0) => return Ok(true),
            Ok(count) => part.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Filling::Input(error)),
        }
    }
    Ok(false)
}

/// Archives what `feed` gives into `out`. There is no base for a next level: such a backup is always whole.
pub fn write_feed(
    feed: &dyn Feed,
    started_at: SystemTime,
    out: &mut dyn Write,
    watch: &mut dyn Watch,
) -> Result<Written, TarError> {
    let problems = Problems::default();
    let mut members = Members { out: Output::new(out), watch, problems, members: 0, content_bytes: 0 };
    feed.give(&mut members)?;
    members.check_cancelled()?;
    let archive_bytes = members.out.finish()?;
    Ok(Written {
        index: Builder::new(Stamp::from(started_at), false).finish(),
        members: members.members,
        entries: members.members,
        content_bytes: members.content_bytes,
        archive_bytes,
        problems: members.problems.listed,
        unlisted_problems: members.problems.unlisted,
        worst: members.problems.worst,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[derive(Debug)]
    struct Three;

    impl Feed for Three {
        fn give(&self, members: &mut Members<'_>) -> Result<(), TarError> {
            let owner = Owner::private(5);
            let long = format!("{}/file", "d".repeat(120));
            members.document(&long, owner, b"small")?;
            let big = vec![7u8; PART_BYTES + 9];
            let streamed = members.stream("stream", owner, &mut big.as_slice())?.unwrap();
            assert_eq!((streamed.bytes, streamed.parts), (big.len() as u64, 2));
            assert_eq!(streamed.sha256, hex::encode(Sha256::digest(&big)));
            assert_eq!(members.stream("empty", owner, &mut std::io::empty())?.unwrap().parts, 1);
            members.symlink("link", owner, b"stream")?;
            members.missing("other", "gone");
            Ok(())
        }
    }

    #[test]
    fn gnu_tar_reads_what_was_fed() {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = Vec::new();
        let written = write_feed(&Three, SystemTime::UNIX_EPOCH, &mut archive, &mut ()).unwrap();
        assert!(written.is_partial() && written.archive_bytes == archive.len() as u64);
        std::fs::write(folder.path().join("a.tar"), &archive).unwrap();
        let out = Command::new("tar").args(["-xf", "a.tar"]).current_dir(&folder).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read(&format!("{}/file", "d".repeat(120))), b"small");
        assert_eq!(read("stream/000001").len() + read("stream/000002").len(), PART_BYTES + 9);
        assert_eq!(read("empty/000001"), b"");
        assert_eq!(std::fs::read_link(folder.path().join("link")).unwrap(), std::path::Path::new("stream"));
    }

    #[test]
    fn an_abort_ends_a_stream_that_does_not() {
        #[derive(Debug)]
        struct Endless;
        impl Feed for Endless {
            fn give(&self, members: &mut Members<'_>) -> Result<(), TarError> {
                members.stream("zeros", Owner::private(0), &mut std::io::repeat(0)).map(|_| ())
            }
        }
        struct After(u32);
        impl Watch for After {
            fn cancelled(&mut self) -> bool {
                self.0 -= 1;
                self.0 == 0
            }
        }
        let ended = write_feed(&Endless, SystemTime::UNIX_EPOCH, &mut std::io::sink(), &mut After(100));
        assert!(matches!(ended, Err(TarError::Cancelled)));
    }
}
