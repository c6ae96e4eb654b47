//! The 512-byte header block: building ours, taking anybody's apart.
//!
//! Ours carries GNU's magic (`ustar  `), except sparse members: GNU tar looks for pax sparse maps only
//! under the POSIX magic.

use super::Stamp;

pub(super) const BLOCK: usize = 512;
/// Archives end on a multiple of this, as GNU's do (blocking factor 20).
pub(super) const RECORD: u64 = 10_240;

/// What goes into a header block. Names longer than their field must be given in `L`/`K` members before it.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields<'a> {
    pub name: &'a [u8],
    pub link: &'a [u8],
    pub typeflag: u8,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub mtime_secs: i64,
    pub user: &'a [u8],
    pub group: &'a [u8],
    pub rdev: Option<(u32, u32)>,
    pub posix_magic: bool,
}

/// Room for names in a header block, and for owner names (one byte stays NUL).
pub(super) const NAME_FIELD: usize = 100;
pub(super) const OWNER_FIELD: usize = 31;

impl Fields<'_> {
    /// The block, with its checksum.
    pub fn encode(&self) -> [u8; BLOCK] {
        let mut block = [0u8; BLOCK];
        put(&mut block[0..100], self.name);
        put_number(&mut block[100..108], i128::from(self.mode));
        put_number(&mut block[108..116], i128::from(self.uid));
        put_number(&mut block[116..124], i128::from(self.gid));
        put_number(&mut block[124..136], i128::from(self.size));
        put_number(&mut block[136..148], i128::from(self.mtime_secs));
        block[156] = self.typeflag;
        put(&mut block[157..257], self.link);
        put(&mut block[257..265], if self.posix_magic { b"ustar\x0000" } else { b"ustar  \0" });
        put(&mut block[265..296], self.user);
        put(&mut block[297..328], self.group);
        if let Some((major, minor)) = self.rdev {
            put_number(&mut block[329..337], i128::from(major));
            put_number(&mut block[337..345], i128::from(minor));
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        put(&mut block[148..156], format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

/// As much of `bytes` as fits.
fn put(field: &mut [u8], bytes: &[u8]) {
    field.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
}

/// Octal with a final NUL when it fits, otherwise GNU's base-256 (big endian two's complement, first bit set).
fn put_number(field: &mut [u8], value: i128) {
    let digits = field.len().saturating_sub(1);
    let text = format!("{value:0digits$o}");
    if value >= 0 && text.len() <= digits {
        return put(field, text.as_bytes());
    }
    let mut rest = value;
    for byte in field.iter_mut().rev() {
        *byte = (rest & 0xff) as u8;
        rest >>= 8;
    }
    if let Some(first) = field.first_mut() {
        *first = if value < 0 { 0xff } else { *first | 0x80 };
    }
}

/// A header block taken apart; names are cut at their first NUL.
#[derive(Debug, Clone)]
pub(super) struct Parsed {
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub typeflag: u8,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub size: u64,
    pub mtime: Stamp,
    pub user: Vec<u8>,
    pub group: Vec<u8>,
    pub rdev: (u32, u32),
}

/// Takes a block apart, or says what is wrong with it.
pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Parsed, &'static str> {
    check_sum(block)?;
    let posix = block[257..263] == *b"ustar\0";
    let gnu = block[257..265] == *b"ustar  \0";
    let mut name = text(&block[0..100]);
    let prefix = text(&block[345..500]);
    if posix && !prefix.is_empty() {
        name = [prefix.as_slice(), b"/", name.as_slice()].concat();
    }
    let owners = posix || gnu;
    let device = |field: &[u8]| number(field).ok().and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
    Ok(Parsed {
        name,
        link: text(&block[157..257]),
        typeflag: block[156],
        mode: u32::try_from(number(&block[100..108])? & 0o7777).map_err(|_| "bad mode")?,
        uid: u64::try_from(number(&block[108..116])?).map_err(|_| "bad owner id")?,
        gid: u64::try_from(number(&block[116..124])?).map_err(|_| "bad group id")?,
        size: u64::try_from(number(&block[124..136])?).map_err(|_| "bad size")?,
        mtime: Stamp { secs: i64::try_from(number(&block[136..148])?).map_err(|_| "bad time")?, nanos: 0 },
        user: if owners { text(&block[265..297]) } else { Vec::new() },
        group: if owners { text(&block[297..329]) } else { Vec::new() },
        rdev: if owners { (device(&block[329..337]), device(&block[337..345])) } else { (0, 0) },
    })
}

/// Old tars summed signed bytes; both are accepted.
fn check_sum(block: &[u8; BLOCK]) -> Result<(), &'static str> {
    let stored = number(&block[148..156]).map_err(|_| "the header checksum is not a number")?;
    let spaces = 8 * i128::from(b' ');
    let unsigned: i128 = block[0..148].iter().chain(&block[156..512]).map(|&byte| i128::from(byte)).sum();
    let signed: i128 = block[0..148].iter().chain(&block[156..512]).map(|&byte| i128::from(byte as i8)).sum();
    if stored == unsigned + spaces || stored == signed + spaces {
        Ok(())
    } else {
        Err("the header checksum is wrong")
    }
}

fn text(field: &[u8]) -> Vec<u8> {
    field.iter().take_while(|&&byte| byte != 0).copied().collect()
}

/// Octal between spaces or NULs, or base-256.
pub(super) fn number(field: &[u8]) -> Result<i128, &'static str> {
    let first = field.first().copied().unwrap_or(0);
    if first & 0x80 != 0 {
        let start: i128 = if first & 0x40 != 0 { i128::from(first as i8) } else { i128::from(first & 0x3f) };
        return Ok(field.iter().skip(1).fold(start, |value, &byte| (value << 8) | i128::from(byte)));
    }
    let mut value: i128 = 0;
    let blank = |byte: u8| byte == b' ' || byte == 0;
    let digits = field.iter().copied().skip_while(|&byte| blank(byte)).take_while(|&byte| !blank(byte));
    for byte in digits {
        if !(b'0'..=b'7').contains(&byte) {
            return Err("a number in the header is not octal");
        }
        value = (value << 3) | i128::from(byte - b'0');
    }
    Ok(value)
}

/// Data regions of a sparse file: offset and length.
type Regions = Vec<(u64, u64)>;

/// The four (offset, length) pairs of an old GNU sparse header, its real size, and whether extension blocks follow.
pub(super) fn old_sparse(block: &[u8; BLOCK]) -> Result<(Regions, u64, bool), &'static str> {
    let size = u64::try_from(number(&block[483..495])?).map_err(|_| "bad sparse size")?;
    Ok((sparse_pairs(&block[386..482])?, size, block[482] != 0))
}

/// The 21 pairs of an old GNU sparse extension block, and whether another follows.
pub(super) fn old_sparse_extension(block: &[u8; BLOCK]) -> Result<(Regions, bool), &'static str> {
    Ok((sparse_pairs(&block[0..504])?, block[504] != 0))
}

fn sparse_pairs(bytes: &[u8]) -> Result<Regions, &'static str> {
    let mut pairs = Vec::new();
    for pair in bytes.chunks_exact(24) {
        let (offset, length) = pair.split_at(12);
        if offset.first() == Some(&0) {
            break;
        }
        let read = |field| number(field).and_then(|value| u64::try_from(value).map_err(|_| "bad sparse map"));
        pairs.push((read(offset)?, read(length)?));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, SeekFrom, Write};

    #[test]
    fn fields_survive() {
        for (size, uid, secs) in [
            (0, 0, 0),
            (0o77_777_777_777, 0o7_777_777, 1),
            (1 << 33, u32::MAX - 1, -5),
            (u64::MAX >> 1, 1, 1 << 40),
        ] {
            let rdev = Some((4095, 1_048_575));
            let fields = Fields {
                name: &[b'n'; 100],
                link: b"l",
                typeflag: b'0',
                mode: 0o6755,
                uid,
                gid: uid,
                size,
                mtime_secs: secs,
                user: b"u",
                group: b"g",
                rdev,
                posix_magic: false,
            };
            let parsed = parse(&fields.encode()).unwrap();
            assert_eq!((parsed.size, parsed.uid, parsed.gid), (size, u64::from(uid), u64::from(uid)));
            assert_eq!((parsed.mtime.secs, parsed.mode, parsed.rdev), (secs, 0o6755, (4095, 1_048_575)));
            assert_eq!(
                (parsed.name.len(), parsed.link, parsed.user, parsed.group),
                (100, b"l".to_vec(), b"u".to_vec(), b"g".to_vec())
            );
        }
    }

    #[test]
    fn damaged_headers_are_refused() {
        let block = Fields { name: b"x", typeflag: b'0', size: 5, ..Fields::default() }.encode();
        for at in 0..BLOCK {
            let mut damaged = block;
            damaged[at] = damaged[at].wrapping_add(1);
            // A changed blank around the checksum may mean the same.
            assert!(parse(&damaged).is_err() || (148..156).contains(&at), "byte {at}");
        }
    }

    /// Nine GiB of content, announced by us: GNU tar skips it by seeking, we by reading.
    #[test]
    fn more_than_eight_gib() {
        let size = 9 << 30;
        let block =
            Fields { name: b"./big", typeflag: b'0', mode: 0o644, size, ..Fields::default() }.encode();
        let last = Fields { name: b"./last", typeflag: b'0', mode: 0o644, ..Fields::default() }.encode();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&block).unwrap();
        file.seek(SeekFrom::Current(size as i64)).unwrap();
        file.write_all(&last).unwrap();
        file.write_all(&[0; 1024]).unwrap();
        let listing = std::process::Command::new("tar").arg("-tvf").arg(file.path()).output().unwrap();
        let listing = String::from_utf8(listing.stdout).unwrap();
        assert!(listing.contains("9663676416") && listing.contains("./last"), "{listing}");
        let mut members = Vec::new();
        let start = std::io::Cursor::new(block).chain(std::io::repeat(0).take(size));
        let mut input = start.chain(std::io::Cursor::new([&last[..], &[0; 1024]].concat()));
        crate::tar::list_archive(&mut input, &mut |member| members.push((member.name, member.size)), &mut ())
            .unwrap();
        assert_eq!(members, [(b"./big".to_vec(), size), (b"./last".to_vec(), 0)]);
    }
}
