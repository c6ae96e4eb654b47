//! Taking archives apart: ours, GNU tar's (gnu, oldgnu, pax), ustar, v7.
//!
//! Every number in an archive is a claim: memory grows with the bytes that really arrive, sums are checked,
//! and nothing here touches the file system.

use super::stream::Stream;
use crate::tar::facts::Kind;
use crate::tar::header::{self, BLOCK, Parsed};
use crate::tar::pax::{self, Record};
use crate::tar::{Stamp, TarError};

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Object(Kind),
    HardLink,
    /// Of a type we do not know.
    Unknown(u8),
}

/// A member's header with everything that came before it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Where its first header block is.
    pub offset: u64,
    pub shape: Shape,
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub user: Vec<u8>,
    pub group: Vec<u8>,
    pub mtime: Stamp,
    pub rdev: (u32, u32),
    /// Of the file; a sparse file has fewer bytes in the archive.
    pub size: u64,
    /// Data regions of a sparse file, in order, within the size.
    pub sparse: Option<Vec<(u64, u64)>>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub access_acl: Option<Vec<u8>>,
    pub default_acl: Option<Vec<u8>>,
    /// Codes and names of what the directory held.
    pub dumpdir: Option<Vec<(u8, Vec<u8>)>>,
}

/// Sparse information as it is collected from pax records.
#[derive(Debug, Default)]
struct SparseClaims {
    major: Option<u64>,
    real_size: Option<u64>,
    map: Vec<u64>,
    /// Offset or length seen, or a whole map.
    seen: bool,
}

/// Limits for what is taken into memory whole.
const MAX_NAME: u64 = 1 << 20;
const MAX_RECORDS: u64 = 64 << 20;
const MAX_DUMPDIR: u64 = 1 << 30;

/// The members of an archive, in order.
pub(super) struct Members<'a> {
    pub stream: Stream<'a>,
    globals: Vec<Record>,
    /// Content bytes of the current member still to be read, and the padding after them.
    remaining: u64,
    padding: u64,
    /// The current member, for messages.
    current: String,
    header_at: u64,
}

/// The pieces that come before a header.
#[derive(Default)]
struct Before {
    start: Option<u64>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Vec<Record>,
}

impl<'a> Members<'a> {
    pub fn new(stream: Stream<'a>) -> Self {
        Self { stream, globals: Vec::new(), remaining: 0, padding: 0, current: String::new(), header_at: 0 }
    }

    /// The archive's global header holds this comment.
    pub fn promises(&self, promise: &[u8]) -> bool {
        self.globals.iter().any(|(key, value)| key == b"comment" && value == promise)
    }

    fn place(&self) -> String {
        if self.current.is_empty() {
            "before the first member".into()
        } else {
            format!("in '{}'", self.current)
        }
    }

    pub fn corrupt(&self, reason: &str) -> TarError {
        TarError::Corrupt { offset: self.header_at, place: self.place(), reason: reason.into() }
    }

    fn truncated(&self) -> TarError {
        let place = if self.current.is_empty() { "the header".into() } else { format!("'{}'", self.current) };
        TarError::Truncated { offset: self.stream.offset, place }
    }

    /// The next member; the rest of the current one is skipped. Zero blocks are ignored, but the last block
    /// must be one: otherwise the end is missing. `go_on` is asked during long skips.
    pub fn next(
        &mut self,
        go_on: &mut dyn FnMut() -> Result<(), TarError>,
    ) -> Result<Option<Member>, TarError> {
        self.skip_rest(go_on)?;
        let mut ended = false;
        let mut before = Before::default();
        loop {
            go_on()?;
            self.header_at = self.stream.offset;
            let (block, filled) = self.stream.block()?;
            if filled < BLOCK {
                let clean = block.iter().all(|&byte| byte == 0) && ended && before.start.is_none();
                return if clean { Ok(None) } else { Err(self.truncated()) };
            }
            if block.iter().all(|&byte| byte == 0) {
                ended = true;
                continue;
            }
            if std::mem::take(&mut ended) {
                // Another archive follows; what the first said about all its members does not hold for it.
                self.globals.clear();
            }
            let parsed = header::parse(&block).map_err(|reason| self.corrupt(reason))?;
            before.start.get_or_insert(self.header_at);
            self.expect(parsed.size);
            match parsed.typeflag {
                b'L' => before.name = Some(until_nul(self.body(MAX_NAME)?)),
                b'K' => before.link = Some(until_nul(self.body(MAX_NAME)?)),
                b'x' | b'X' => before.records = self.records()?,
                b'g' => {
                    let records = self.records()?;
                    self.globals.extend(records);
                    before = Before::default();
                }
                // A volume label.
                b'V' => self.skip_rest(go_on)?,
                b'M' => return Err(self.corrupt("it continues a file of another volume")),
                _ => return self.build(parsed, before, &block).map(Some),
            }
        }
    }

    fn expect(&mut self, size: u64) {
        self.remaining = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    /// Content of the current member: at least one byte, or none at its end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let limit = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        let Some(wanted) = buffer.get_mut(..limit).filter(|wanted| !wanted.is_empty()) else { return Ok(0) };
        match self.stream.read(wanted)? {
            0 => Err(self.truncated()),
            count => {
                self.remaining -= count as u64;
                Ok(count)
            }
        }
    }

    fn skip_rest(&mut self, go_on: &mut dyn FnMut() -> Result<(), TarError>) -> Result<(), TarError> {
        let mut buffer = [0u8; 16 * 1024];
        self.remaining = self.remaining.saturating_add(std::mem::take(&mut self.padding));
        while self.read(&mut buffer)? > 0 {
            go_on()?;
        }
        Ok(())
    }

    /// The whole content, growing as it arrives.
    fn body(&mut self, limit: u64) -> Result<Vec<u8>, TarError> {
        if self.remaining > limit {
            return Err(self.corrupt("a name or extended header claims an absurd size"));
        }
        let mut body = Vec::new();
        let mut buffer = [0u8; 8192];
        loop {
            match self.read(&mut buffer)? {
                0 => break,
                count => body.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
        }
        self.skip_rest(&mut || Ok(()))?;
        Ok(body)
    }

    fn records(&mut self) -> Result<Vec<Record>, TarError> {
        let body = self.body(MAX_RECORDS)?;
        pax::parse(&body).map_err(|reason| self.corrupt(reason))
    }

    fn build(&mut self, parsed: Parsed, before: Before, block: &[u8; BLOCK]) -> Result<Member, TarError> {
        let mut member = Member {
            offset: before.start.unwrap_or(self.header_at),
            shape: Shape::Unknown(parsed.typeflag),
            name: before.name.unwrap_or(parsed.name),
            link: before.link.unwrap_or(parsed.link),
            mode: parsed.mode,
            uid: parsed.uid,
            gid: parsed.gid,
            user: parsed.user,
            group: parsed.group,
            mtime: parsed.mtime,
            rdev: parsed.rdev,
            size: parsed.size,
            sparse: None,
            xattrs: Vec::new(),
            access_acl: None,
            default_acl: None,
            dumpdir: None,
        };
        let mut sparse = SparseClaims::default();
        let globals = std::mem::take(&mut self.globals);
        for (key, value) in globals.iter().filter(|(key, _)| key != b"size").chain(&before.records) {
            apply(&mut member, &mut sparse, key, value).map_err(|reason| self.corrupt(reason))?;
        }
        self.globals = globals;
        // Only now: the name in the header may be a piece of the real one that happens to end in a slash.
        member.shape = shape_of(parsed.typeflag, &member.name);
        self.current = member.name.escape_ascii().to_string();
        self.content(member, sparse, &parsed.typeflag, block)
    }

    /// Sets up what follows the header: maps and dumpdirs are read, data is left to the caller.
    fn content(
        &mut self,
        mut member: Member,
        sparse: SparseClaims,
        typeflag: &u8,
        block: &[u8; BLOCK],
    ) -> Result<Member, TarError> {
        // Links, devices and plain directories have no content, whatever their size field says.
        let empty = match member.shape {
            Shape::HardLink => true,
            Shape::Object(Kind::File) | Shape::Unknown(_) => false,
            Shape::Object(_) => *typeflag != b'D',
        };
        self.expect(if empty { 0 } else { member.size });
        if empty {
            member.size = 0;
        }
        if *typeflag == b'D' && self.remaining > 0 && member.dumpdir.is_none() {
            let body = self.body(MAX_DUMPDIR)?;
            member.dumpdir = Some(split_dumpdir(&body).map_err(|reason| self.corrupt(reason))?);
        }
        if *typeflag == b'D' {
            // An empty directory may come without a body.
            member.dumpdir.get_or_insert_default();
        }
        let pairs = if *typeflag == b'S' {
            let (mut pairs, size, mut more) =
                header::old_sparse(block).map_err(|reason| self.corrupt(reason))?;
            while more {
                let (extension, filled) = self.stream.block()?;
                if filled < BLOCK {
                    return Err(self.truncated());
                }
                let (next, again) =
                    header::old_sparse_extension(&extension).map_err(|reason| self.corrupt(reason))?;
                pairs.extend(next);
                more = again;
            }
            member.size = size;
            Some(pairs)
        } else if sparse.major == Some(1) && member.shape == Shape::Object(Kind::File) {
            member.size = sparse.real_size.ok_or_else(|| self.corrupt("a sparse file without size"))?;
            Some(self.sparse_map()?)
        } else if sparse.seen && member.shape == Shape::Object(Kind::File) {
            member.size = sparse.real_size.ok_or_else(|| self.corrupt("a sparse file without size"))?;
            Some(sparse.map.chunks_exact(2).map(|pair| (first(pair), last(pair))).collect())
        } else {
            None
        };
        if let Some(pairs) = pairs {
            self.check_map(&pairs, member.size)?;
            member.sparse = Some(pairs);
        }
        Ok(member)
    }

    fn check_map(&self, pairs: &[(u64, u64)], size: u64) -> Result<(), TarError> {
        let mut end = 0u64;
        let mut data = 0u64;
        for &(offset, length) in pairs {
            let next = offset.checked_add(length).filter(|&next| offset >= end && next <= size);
            end = next.ok_or_else(|| self.corrupt("a sparse map is out of order or leaves the file"))?;
            data = data.saturating_add(length);
        }
        if data > self.remaining {
            return Err(self.corrupt("a sparse map names more data than there is"));
        }
        Ok(())
    }

    /// The map at the start of a pax 1.0 sparse member: decimal numbers on lines, padded to a block.
    fn sparse_map(&mut self) -> Result<Vec<(u64, u64)>, TarError> {
        let mut line: Vec<u8> = Vec::new();
        let mut numbers: Vec<u64> = Vec::new();
        let mut wanted: Option<u64> = None;
        while wanted.is_none_or(|wanted| (numbers.len() as u64) < wanted) {
            let mut block = [0u8; BLOCK];
            let mut filled = 0;
            while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match self.read(rest)? {
                    0 => return Err(self.corrupt("a sparse map does not end")),
                    count => filled += count,
                }
            }
            for byte in block {
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                let number = pax::decimal(&line).ok_or_else(|| self.corrupt("a sparse map is malformed"))?;
                line.clear();
                match wanted {
                    None => wanted = Some(number.saturating_mul(2)),
                    Some(_) => numbers.push(number),
                }
                if wanted == Some(numbers.len() as u64) {
                    break;
                }
            }
        }
        Ok(numbers.chunks_exact(2).map(|pair| (first(pair), last(pair))).collect())
    }
}

fn first(pair: &[u64]) -> u64 {
    pair.first().copied().unwrap_or(0)
}

fn last(pair: &[u64]) -> u64 {
    pair.last().copied().unwrap_or(0)
}

fn shape_of(typeflag: u8, name: &[u8]) -> Shape {
    match typeflag {
        // As the oldest tars did.
        b'0' | 0 | b'7' if name.ends_with(b"/") => Shape::Object(Kind::Directory),
        b'0' | 0 | b'7' | b'S' => Shape::Object(Kind::File),
        b'1' => Shape::HardLink,
        b'2' => Shape::Object(Kind::Symlink),
        b'3' => Shape::Object(Kind::CharDevice),
        b'4' => Shape::Object(Kind::BlockDevice),
        b'5' | b'D' => Shape::Object(Kind::Directory),
        b'6' => Shape::Object(Kind::Fifo),
        other => Shape::Unknown(other),
    }
}

fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|&byte| byte == 0) {
        name.truncate(end);
    }
    name
}

/// One pax record.
fn apply(
    member: &mut Member,
    sparse: &mut SparseClaims,
    key: &[u8],
    value: &[u8],
) -> Result<(), &'static str> {
    let number = || pax::decimal(value).ok_or("an extended header holds a bad number");
    match key {
        // GNU's sparse formats give the real name in their own record.
        b"path" if sparse.major.is_none() => member.name = value.to_vec(),
        b"GNU.sparse.name" => member.name = value.to_vec(),
        b"linkpath" => member.link = value.to_vec(),
        b"size" => member.size = number()?,
        b"uid" => member.uid = number()?,
        b"gid" => member.gid = number()?,
        b"uname" => member.user = value.to_vec(),
        b"gname" => member.group = value.to_vec(),
        b"mtime" => member.mtime = pax::parse_time(value).ok_or("an extended header holds a bad time")?,
        b"SCHILY.acl.access" => member.access_acl = Some(value.to_vec()),
        b"SCHILY.acl.default" => member.default_acl = Some(value.to_vec()),
        b"RHT.security.selinux" => member.xattrs.push((b"security.selinux".to_vec(), value.to_vec())),
        b"GNU.dumpdir" => member.dumpdir = Some(split_dumpdir(value)?),
        b"GNU.sparse.major" => sparse.major = Some(number()?),
        b"GNU.sparse.realsize" | b"GNU.sparse.size" => sparse.real_size = Some(number()?),
        b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
            sparse.seen = true;
            sparse.map.push(number()?);
        }
        b"GNU.sparse.map" => {
            sparse.seen = true;
            let numbers = value.split(|&byte| byte == b',').filter(|text| !text.is_empty());
            sparse.map =
                numbers.map(pax::decimal).collect::<Option<_>>().ok_or("a sparse map is malformed")?;
        }
        _ => {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                member.xattrs.push((pax::unescape_key(name), value.to_vec()));
            }
        }
    }
    Ok(())
}

/// Entries of a dumpdir: a code letter and a name, each ended by NUL; an empty one ends the list.
pub(super) fn split_dumpdir(body: &[u8]) -> Result<Vec<(u8, Vec<u8>)>, &'static str> {
    let mut entries = Vec::new();
    for entry in body.split(|&byte| byte == 0) {
        let Some((&code, name)) = entry.split_first() else { break };
        if !matches!(code, b'Y' | b'N' | b'D' | b'R' | b'T' | b'X') {
            return Err("a dumpdir holds an unknown code");
        }
        entries.push((code, name.to_vec()));
    }
    Ok(entries)
}
