//! Finding out what of an archive, and of its payload, holds the parts that are wanted.

use super::bytes::Source;
use super::stretches::{Proof, Stretch};
use super::{BLOCK, FORMS, MAGIC, lead_of};
use crate::encryption::{CHUNK_HEADER_BYTES, ChunkGrid, Cipher, HEADER_BYTES};
use crate::manifest::Totals;
use crate::tar::{MemberForm, safe_path};
use std::io::{BufRead, BufReader, Read};
use std::iter::Peekable;
use std::ops::Range;
use std::slice;

/// Where the wanted parts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    /// Of the archive, in order, not touching each other: what comes before the first member, and the members that are wanted.
    pub ranges: Vec<Range<u64>>,
    /// What holds these ranges, in order.
    pub stretches: Vec<Stretch>,
    /// What the payload's cipher begins with; empty if it is not encrypted.
    pub header: Vec<u8>,
}

/// Which members are read; paths are as they are restored.
pub(crate) type Wants<'a> = dyn FnMut(&[u8], MemberForm) -> bool + 'a;

/// Reads a packed table, whose hash was checked, in little memory. Errors are causes: the archive must be read whole then.
pub(crate) fn locate(
    packed: impl Read,
    wants: &mut Wants<'_>,
    totals: &Totals,
    cipher: Option<Cipher>,
) -> Result<Located, String> {
    let decoder = zstd::stream::read::Decoder::new(packed).map_err(|error| error.to_string())?;
    let mut source = Source(BufReader::with_capacity(64 << 10, decoder));
    if source.array()? != *MAGIC {
        return Err("it is of another version".into());
    }
    let ranges = members(&mut source, wants, totals.tar_bytes)?;
    let length = match cipher {
        None => 0,
        Some(Cipher::Aes256Cfb) => HEADER_BYTES,
        Some(Cipher::Aes256Gcm) => CHUNK_HEADER_BYTES,
    };
    let mut header = Vec::new();
    // A length and so many bytes: read as names are.
    source.append(&mut header)?;
    if header.len() != length {
        return Err("it disagrees with the manifest on how the payload is encrypted".into());
    }
    let stretches = match cipher {
        Some(Cipher::Aes256Gcm) => chunks(&mut source, &ranges, totals, ChunkGrid::of(&header)?)?,
        Some(Cipher::Aes256Cfb) | None => stretches(&mut source, &ranges, totals, cipher.is_some())?,
    };
    if !source.is_at_end()? {
        return Err("something follows its end".into());
    }
    Ok(Located { ranges, stretches, header })
}

fn members<R: BufRead>(
    source: &mut Source<R>,
    wants: &mut Wants<'_>,
    archive_bytes: u64,
) -> Result<Vec<Range<u64>>, String> {
    let too_long = || "its members are longer than the archive".to_owned();
    let end_of = |start: u64, blocks: u64| {
        let end = blocks.checked_mul(BLOCK).and_then(|bytes| bytes.checked_add(start));
        end.filter(|end| *end <= archive_bytes).ok_or_else(too_long)
    };
    let mut place = end_of(0, source.number()?)?;
    let mut ranges = Vec::new();
    add(&mut ranges, 0..place);
    let mut path = Vec::new();
    loop {
        let code = source.number()?;
        if code == 0 {
            break;
        }
        let form = usize::try_from(code & 3).ok().and_then(|code| FORMS.get(code));
        let form = *form.ok_or("it holds a member of an unknown form")?;
        let shared = usize::try_from(source.number()?).ok().filter(|shared| *shared <= path.len());
        path.truncate(shared.ok_or("it holds a name that goes on from nothing")?);
        source.append(&mut path)?;
        let end = end_of(place, code >> 2)?;
        if wants(&safe_path(&path).map_err(str::to_owned)?, form) {
            add(&mut ranges, place..end);
        }
        place = end;
    }
    if place != archive_bytes {
        return Err("its members are shorter than the archive".into());
    }
    Ok(ranges)
}

/// Puts a range behind the others, which it may touch.
fn add(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut().filter(|last| last.end == range.start) {
        Some(last) => last.end = range.end,
        None if range.is_empty() => {}
        None => ranges.push(range),
    }
}

/// The rows of the table one after the other, beside the ranges that are wanted.
struct Rows<'a> {
    totals: &'a Totals,
    /// Ranges that may yet be met.
    waiting: Peekable<slice::Iter<'a, Range<u64>>>,
    /// Where the last row ended.
    clear: u64,
    packed: u64,
}

struct Row {
    /// Of the archive.
    clear: Range<u64>,
    /// Of what was encrypted, or is stored as it is.
    packed: Range<u64>,
    is_wanted: bool,
}

impl<'a> Rows<'a> {
    fn new(ranges: &'a [Range<u64>], totals: &'a Totals) -> Self {
        Self { totals, waiting: ranges.iter().peekable(), clear: 0, packed: 0 }
    }

    /// The next row without its hash, which follows if it has one; `None` at the end.
    fn next_of<R: BufRead>(&mut self, source: &mut Source<R>) -> Result<Option<Row>, String> {
        let packed_bytes = source.number()?;
        if packed_bytes == 0 {
            return Ok(None);
        }
        let clear_end = self.clear.checked_add(source.number()?).filter(|end| *end <= self.totals.tar_bytes);
        let packed_end = self.packed.checked_add(packed_bytes).filter(|end| *end <= self.totals.stored_bytes);
        let Some((clear_end, packed_end)) = clear_end.zip(packed_end) else {
            return Err("its stretches are longer than the payload".into());
        };
        let (clear, packed) = (self.clear..clear_end, self.packed..packed_end);
        (self.clear, self.packed) = (clear_end, packed_end);
        while self.waiting.next_if(|range| range.end <= clear.start).is_some() {}
        let is_wanted = self.waiting.peek().is_some_and(|range| range.start < clear.end);
        Ok(Some(Row { clear, packed, is_wanted }))
    }
}

fn stretches<R: BufRead>(
    source: &mut Source<R>,
    ranges: &[Range<u64>],
    totals: &Totals,
    is_encrypted: bool,
) -> Result<Vec<Stretch>, String> {
    let mut found = Vec::new();
    let header = if is_encrypted { HEADER_BYTES as u64 } else { 0 };
    let mut rows = Rows::new(ranges, totals);
    while let Some(Row { clear, packed, is_wanted }) = rows.next_of(source)? {
        let sha256 = source.array()?;
        if is_wanted {
            let lead = if is_encrypted { lead_of(packed.start) } else { 0 };
            found.push(Stretch {
                clear,
                stored: header + packed.start - lead..header + packed.end,
                lead_bytes: usize::try_from(lead).unwrap_or_default(),
                proof: Proof::Hash(sha256),
            });
        }
    }
    if rows.clear != totals.tar_bytes || header + rows.packed != totals.stored_bytes {
        return Err("its stretches are shorter than the payload".into());
    }
    Ok(found)
}

/// The same of a payload in sealed chunks: rows are of what was sealed, and have no hash.
fn chunks<R: BufRead>(
    source: &mut Source<R>,
    ranges: &[Range<u64>],
    totals: &Totals,
    grid: ChunkGrid,
) -> Result<Vec<Stretch>, String> {
    let mut found = Vec::new();
    let mut rows = Rows::new(ranges, totals);
    while let Some(Row { clear, packed, is_wanted }) = rows.next_of(source)? {
        if is_wanted {
            let numbers = grid.holding(&packed);
            let (start, end) = (grid.start_of(numbers.start), grid.start_of(numbers.end));
            let fits = |bytes: u64| usize::try_from(bytes).map_err(|error| error.to_string());
            found.push(Stretch {
                clear,
                stored: start..end.min(totals.stored_bytes),
                lead_bytes: fits(packed.start - grid.clear_start_of(numbers.start))?,
                proof: Proof::Chunks {
                    first: numbers.start,
                    has_last: end >= totals.stored_bytes,
                    packed_bytes: fits(packed.end - packed.start)?,
                },
            });
        }
    }
    if rows.clear != totals.tar_bytes || grid.stored_bytes(rows.packed) != Some(totals.stored_bytes) {
        return Err("its stretches do not fit the payload".into());
    }
    Ok(found)
}
