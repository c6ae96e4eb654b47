//! GNU tar's snapshot file (SNAR, format 2): so that upstream can continue our chains, and we upstream's.
//!
//! `GNU tar-VERSION-2\n`, then fields that end in NUL: start seconds, start nanoseconds; for each directory
//! network flag, mtime seconds and nanoseconds, device, inode, name (`.` or `./sub`), the dumpdir entries
//! (code and name each), an empty field, and one more NUL.

use super::{Builder, Entry, FINE_CLOCK, Index, compare_paths};
use crate::tar::facts::{Facts, Kind};
use crate::tar::{Stamp, TarError};

const FIRST_LINE: &[u8] = b"GNU tar-1.34-2\n";

impl Index {
    /// What GNU tar's `--listed-incremental` would continue from. What could not be saved is left out, so that
    /// GNU tar sees it as new.
    pub fn to_snar(&self) -> Vec<u8> {
        let mut out = FIRST_LINE.to_vec();
        let field = |out: &mut Vec<u8>, text: &[u8]| {
            out.extend_from_slice(text);
            out.push(0);
        };
        // GNU tar takes what is older than this for saved. A file changed just after the start may bear a time
        // before it, so the start is told as early as the clock of files may be behind.
        let horizon = self.started_at.earlier_by(FINE_CLOCK);
        field(&mut out, horizon.secs.to_string().as_bytes());
        field(&mut out, horizon.nanos.to_string().as_bytes());
        for row in self.rows.iter().filter(|_| !self.single) {
            field(&mut out, if row.network { b"1" } else { b"0" });
            field(&mut out, row.mtime.secs.to_string().as_bytes());
            field(&mut out, row.mtime.nanos.to_string().as_bytes());
            field(&mut out, row.dev.to_string().as_bytes());
            field(&mut out, row.ino.to_string().as_bytes());
            out.push(b'.');
            if !row.path.is_empty() {
                out.push(b'/');
            }
            field(&mut out, &row.path);
            for entry in self.entries(row).filter(|entry| !entry.retry && entry.kind != Kind::Socket) {
                out.push(match (entry.kind, entry.saved_here) {
                    (Kind::Directory, _) => b'D',
                    (_, true) => b'Y',
                    (_, false) => b'N',
                });
                field(&mut out, entry.name);
            }
            out.extend_from_slice(b"\0\0");
        }
        out
    }

    /// Reads a format 2 SNAR. It knows names only, so the first level on top of it decides by time, as GNU does.
    pub fn from_snar(bytes: &[u8]) -> Result<Self, TarError> {
        let end = bytes.iter().take(200).position(|&byte| byte == b'\n').unwrap_or(0);
        let (line, body) = bytes.split_at_checked(end + 1).unwrap_or_default();
        if !line.starts_with(b"GNU tar-") {
            return Err(TarError::Index(
                "it is neither an index of this program nor a GNU tar snapshot".into(),
            ));
        }
        if !line.ends_with(b"-2\n") {
            return Err(TarError::Index(
                "it is a GNU tar snapshot of an old format (only 2 is known)".into(),
            ));
        }
        let mut fields = Fields(body);
        let damaged = || TarError::Index("it is a damaged GNU tar snapshot".into());
        let started_at = fields.time().ok_or_else(damaged)?;
        let mut directories = Vec::new();
        while !fields.0.is_empty() {
            directories.push(fields.directory().ok_or_else(damaged)?);
        }
        directories.sort_by(|left, right| compare_paths(&left.path, &right.path));
        directories.dedup_by(|later, first| later.path == first.path);
        let mut builder = Builder::new(started_at, false);
        for directory in &directories {
            let Snapshot { path, facts, network, entries } = directory;
            builder.directory(path, facts, *network);
            for (code, name) in entries {
                builder.add(&named_only(*code, name));
            }
        }
        builder.finish().check()
    }
}

struct Snapshot {
    path: Vec<u8>,
    facts: Facts,
    network: bool,
    entries: Vec<(u8, Vec<u8>)>,
}

fn named_only(code: u8, name: &[u8]) -> Entry<'_> {
    Entry {
        name,
        kind: if code == b'D' { Kind::Directory } else { Kind::File },
        saved_here: code != b'N',
        // Nobody knows; taking it as linked costs nothing but a fresh inode at restore.
        linked: true,
        known: false,
        retry: false,
        inode: 0,
        size: 0,
        mtime: Stamp::default(),
        ctime: Stamp::default(),
    }
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|&byte| byte == 0)?;
        let (field, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        Some(field)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        std::str::from_utf8(self.next()?).ok()?.parse().ok()
    }

    fn time(&mut self) -> Option<Stamp> {
        let secs = self.number()?;
        let nanos = self.number::<i64>()?;
        Some(Stamp::new(secs, nanos))
    }

    fn directory(&mut self) -> Option<Snapshot> {
        let network = self.number::<u8>()? != 0;
        let mtime = self.time()?;
        // Device numbers of some systems print as negative.
        let dev = self.number::<i128>()? as u64;
        let ino = self.number::<i128>()? as u64;
        let name = self.next()?;
        let path = match name {
            b"." => &b""[..],
            _ => name.strip_prefix(b"./").unwrap_or(name),
        };
        let mut entries = Vec::new();
        loop {
            let field = self.next()?;
            let Some((&code, name)) = field.split_first() else { break };
            if matches!(code, b'Y' | b'N' | b'D') && !name.is_empty() {
                entries.push((code, name.to_vec()));
            }
        }
        if self.next()? != b"" {
            return None;
        }
        entries.sort_by(|left, right| left.1.cmp(&right.1));
        entries.dedup_by(|later, first| later.1 == first.1);
        let facts = Facts {
            kind: Kind::Directory,
            mode: 0,
            dev,
            ino,
            links: 1,
            uid: 0,
            gid: 0,
            size: 0,
            allocated: 0,
            rdev: (0, 0),
            mtime,
            ctime: mtime,
        };
        Some(Snapshot { path: path.to_vec(), facts, network, entries })
    }
}
