//! An archive of what is no directory tree: streams and small documents, handed in one after the other.
//!
//! A stream's length is not known before its end, and a tar header comes before the content: a stream becomes a folder of
//! parts of a fixed size, each of them in memory for a moment, nothing on disk. `cat FOLDER/*` is the stream again.

use super::facts::Kind;
use super::header::{Fields, NAME_FIELD};
use super::index::Builder;
use super::problem::{ProblemKind, Problems};
use super::read::walk_archive;
use super::write::Output;
use super::{MemberForm, Stamp, TarError, Watch, Written};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::time::SystemTime;

/// Read at once of a file.
const FILE_BUFFER_BYTES: usize = 256 << 10;
/// Longest file that [`Members::archive`] answers.
const MOST_WANTED_BYTES: u64 = 1 << 20;
/// Bytes of one part of a stream.
pub const PART_BYTES: usize = 16 << 20;

/// Gives the members of an archive, in a thread of its own.
pub trait Feed: fmt::Debug + Send + Sync {
    /// # Errors
    /// Only when the archive cannot go on. What cannot be read is told by [`Members::missing`].
    fn give(&self, members: &mut Members<'_>) -> Result<(), TarError>;

    /// Why there can be no increment of the level that left this note; a new chain starts then.
    fn refuses(&self, _note: &[u8]) -> Option<String> {
        Some("such a source is always saved whole".to_owned())
    }

    /// The increment of the level that left this note. Its members come over those of the levels before; nothing is deleted.
    ///
    /// # Errors
    /// As of [`Feed::give`].
    fn go_on(&self, _note: &[u8], members: &mut Members<'_>) -> Result<(), TarError> {
        self.give(members)
    }
}

/// What was fed.
#[derive(Debug)]
pub struct Fed {
    pub written: Written,
    /// What the next level is told.
    pub note: Vec<u8>,
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
    note: Vec<u8>,
}

impl Members<'_> {
    /// What an increment of this level has to know.
    pub fn leave_note(&mut self, note: Vec<u8>) {
        self.note = note;
    }

    /// A file whose length is known, read as it is written. The archive cannot go on when there is less of it.
    pub fn file(
        &mut self,
        name: &str,
        owner: Owner,
        size_bytes: u64,
        input: &mut dyn Read,
    ) -> Result<(), TarError> {
        self.watch.on_file(name.as_bytes());
        self.head(name, b'0', owner, size_bytes, b"")?;
        let mut left = size_bytes;
        let mut buffer = vec![0; FILE_BUFFER_BYTES.min(usize::try_from(size_bytes).unwrap_or(usize::MAX))];
        while left > 0 {
            self.check_cancelled()?;
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let count = match input.read(buffer.get_mut(..room).unwrap_or_default()) {
                Ok(0) => {
                    return Err(TarError::Stream(format!("it ends {left} bytes before the end of {name}")));
                }
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(TarError::Stream(format!("{name}: {error}"))),
            };
            self.out.write(buffer.get(..count).unwrap_or_default())?;
            left = left.saturating_sub(count as u64);
            self.content_bytes += count as u64;
            self.watch.on_bytes(count as u64);
        }
        self.out.pad()
    }

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

    /// An empty name is the folder that is restored into.
    pub fn directory(&mut self, name: &str, owner: Owner) -> Result<(), TarError> {
        let name = if name.is_empty() { String::new() } else { format!("{name}/") };
        self.head(&name, b'5', owner, 0, b"")
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

    /// Everything of another archive, which may hold plain files, folders and symbolic links. Answers owner and content of the
    /// small file `wanted`, if it is there.
    pub fn archive(
        &mut self,
        input: &mut dyn Read,
        wanted: &str,
    ) -> Result<Option<(Owner, Vec<u8>)>, TarError> {
        let mut found = None;
        walk_archive(input, &mut |member, content| {
            let name = String::from_utf8(member.name)
                .map_err(|error| TarError::Stream(format!("a name in it is no text: {error}")))?;
            let name = name.trim_start_matches("./").trim_end_matches('/');
            let number = |id: u64| u32::try_from(id).unwrap_or(u32::MAX);
            let (uid, gid, mtime_secs) = (number(member.uid), number(member.gid), member.mtime.secs);
            let owner = Owner { mode: member.mode, uid, gid, mtime_secs };
            match (member.kind, member.hard_link) {
                (Kind::Directory, _) => self.directory(name, owner),
                (Kind::Symlink, _) => self.symlink(name, owner, &member.link.unwrap_or_default()),
                (Kind::File, false) if name == wanted && member.size <= MOST_WANTED_BYTES => {
                    let mut body = Vec::new();
                    content.read_to_end(&mut body).map_err(|error| TarError::Stream(error.to_string()))?;
                    self.document(name, owner, &body)?;
                    found = Some((owner, body));
                    Ok(())
                }
                (Kind::File, false) => self.file(name, owner, member.size, content),
                _ => Err(TarError::Stream(format!("{name} is neither a plain file nor a folder nor a link"))),
            }
        })?;
        Ok(found)
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
        let path = name.trim_end_matches('/').as_bytes();
        self.watch.on_member(path, MemberForm::of(typeflag), self.out.written());
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

/// Archives what `feed` gives into `out`: all of it, or what has come since the level that left `base`.
pub fn write_feed(
    feed: &dyn Feed,
    base: Option<&[u8]>,
    started_at: SystemTime,
    out: &mut dyn Write,
    watch: &mut dyn Watch,
) -> Result<Fed, TarError> {
    let (problems, note) = (Problems::default(), Vec::new());
    let mut members = Members { out: Output::new(out), watch, problems, members: 0, content_bytes: 0, note };
    match base {
        None => feed.give(&mut members)?,
        Some(note) => feed.go_on(note, &mut members)?,
    }
    members.check_cancelled()?;
    let archive_bytes = members.out.finish()?;
    let written = Written {
        index: Builder::new(Stamp::from(started_at), false).finish(),
        members: members.members,
        entries: members.members,
        content_bytes: members.content_bytes,
        archive_bytes,
        problems: members.problems.listed,
        unlisted_problems: members.problems.unlisted,
        worst: members.problems.worst,
    };
    Ok(Fed { written, note: members.note })
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
            members.file("file", owner, 700, &mut big.as_slice())?;
            members.missing("other", "gone");
            Ok(())
        }
    }

    #[test]
    fn gnu_tar_reads_what_was_fed() {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = Vec::new();
        let fed = write_feed(&Three, None, SystemTime::UNIX_EPOCH, &mut archive, &mut ()).unwrap();
        let written = fed.written;
        assert!(written.is_partial() && written.archive_bytes == archive.len() as u64);
        std::fs::write(folder.path().join("a.tar"), &archive).unwrap();
        let out = Command::new("tar").args(["-xf", "a.tar"]).current_dir(&folder).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read(&format!("{}/file", "d".repeat(120))), b"small");
        assert_eq!(read("stream/000001").len() + read("stream/000002").len(), PART_BYTES + 9);
        assert_eq!(read("empty/000001"), b"");
        assert_eq!(read("file"), [7; 700]);
        assert_eq!(std::fs::read_link(folder.path().join("link")).unwrap(), std::path::Path::new("stream"));
    }

    #[test]
    fn another_archive_is_taken_over() {
        #[derive(Debug)]
        struct Other(Vec<u8>);
        impl Feed for Other {
            fn give(&self, members: &mut Members<'_>) -> Result<(), TarError> {
                let label = members.archive(&mut self.0.as_slice(), "label")?;
                assert_eq!(label.unwrap().1, b"from here");
                Ok(())
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("from/sub")).unwrap();
        std::fs::create_dir(at("to")).unwrap();
        std::fs::write(at("from/label"), "from here").unwrap();
        std::fs::write(at("from/sub/big"), vec![3; 700_001]).unwrap();
        std::os::unix::fs::symlink("label", at("from/link")).unwrap();
        let mut other = Command::new("tar");
        other.args(["-C", "from", "-c", "label", "sub", "link"]).current_dir(&folder);
        let other = Other(other.output().unwrap().stdout);
        let mut archive = Vec::new();
        write_feed(&other, None, SystemTime::UNIX_EPOCH, &mut archive, &mut ()).unwrap();
        std::fs::write(at("a.tar"), &archive).unwrap();
        let out = Command::new("tar").args(["-xf", "../a.tar"]).current_dir(at("to")).status().unwrap();
        assert!(out.success());
        let same = Command::new("diff").args(["-r", "from", "to"]).current_dir(&folder).status().unwrap();
        assert!(same.success());
        let broken = Other(other.0.get(..400_000).unwrap().to_vec());
        let ended = write_feed(&broken, None, SystemTime::UNIX_EPOCH, &mut std::io::sink(), &mut ());
        assert!(ended.is_err());
    }

    #[test]
    fn a_file_that_ends_too_early_ends_the_archive() {
        #[derive(Debug)]
        struct Short;
        impl Feed for Short {
            fn give(&self, members: &mut Members<'_>) -> Result<(), TarError> {
                members.file("short", Owner::private(0), 4, &mut &b"abc"[..])
            }
        }
        let ended = write_feed(&Short, None, SystemTime::UNIX_EPOCH, &mut std::io::sink(), &mut ());
        assert!(
            matches!(ended, Err(TarError::Stream(cause)) if cause.contains("1 bytes before the end of short"))
        );
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
        let ended = write_feed(&Endless, None, SystemTime::UNIX_EPOCH, &mut std::io::sink(), &mut After(100));
        assert!(matches!(ended, Err(TarError::Cancelled)));
    }
}
