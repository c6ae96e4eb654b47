//! Changes that the source itself lists: they go into the payload as they are, and keep the index right. Of a list of objects
//! that have changed somewhere, what differs from the base goes into the payload.

use super::diff::{DiffReader, DiffWriter, Extent};
use super::index::{ImageIndex, RegionHash, UNKNOWN, ZERO, cut, is_zero};
use super::records::Records;
use super::whole::{input, output};
use crate::VaultError;
use crate::monitor::Monitor;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};

const BUFFER_BYTES: usize = 1 << 20;
/// Larger regions are not compared: the usual object does not cover one.
const MOST_COMPARED_BYTES: u64 = 4 << 20;

/// What a list names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// What has changed, to the byte.
    Changes,
    /// Objects that have changed somewhere, whole.
    Objects,
}

/// Passes `stream` on and makes `index`, that of the base or of nothing, the new level's.
pub(super) fn write_changes<W: Write>(
    (stream, listed): (Box<dyn Read + Send>, Listed),
    has_base: bool,
    index: &mut ImageIndex,
    out: &mut DiffWriter<W>,
    monitor: &Monitor,
) -> Result<(), VaultError> {
    let mut reader = DiffReader::start(stream).map_err(input)?;
    let mut extent = reader.next().map_err(input)?;
    let Some(size) = reader.size_bytes else {
        let cause = "the list of changes does not say how large the image is".to_owned();
        return Err(VaultError::Source { cause });
    };
    check_beginning(reader.is_relative, has_base)?;
    out.size(size).map_err(output)?;
    index.resize(size);
    let most = usize::try_from(index.region_bytes.min(MOST_COMPARED_BYTES)).unwrap_or(BUFFER_BYTES);
    let mut regions = Regions { index, current: None };
    let mut buffer = vec![0; BUFFER_BYTES.max(most)];
    while let Some(found) = extent {
        let found = within(found, size)?;
        match (found.is_data, listed) {
            (false, _) => {
                out.zeros(found.start, found.end - found.start).map_err(output)?;
                regions.zeros(found.start, found.end);
            }
            (true, Listed::Changes) => {
                pass_data(&mut reader, found, (&mut buffer, &mut regions), out, monitor)?;
            }
            (true, Listed::Objects) => {
                compare_data(&mut reader, found, (&mut buffer, &mut regions), out, monitor)?;
            }
        }
        extent = reader.next().map_err(input)?;
    }
    regions.finish();
    Ok(())
}

/// What a list does not name is zero when it begins at nothing, and unchanged when it begins at a snapshot. Taken for the
/// other, it would restore to an image that never was.
fn check_beginning(is_relative: bool, has_base: bool) -> Result<(), VaultError> {
    let cause = match (is_relative, has_base) {
        (false, false) | (true, true) => return Ok(()),
        (true, false) => "the list of changes begins at a snapshot, and the backup is built on nothing",
        (false, true) => {
            "the list of changes begins at no snapshot, and the backup is built on an earlier one"
        }
    };
    Err(VaultError::Source { cause: format!("{cause}; nothing was stored") })
}

fn within(extent: Extent, size: u64) -> Result<Extent, VaultError> {
    if extent.end <= size {
        return Ok(extent);
    }
    let cause = format!("the list of changes names bytes up to {} of an image that has {size}", extent.end);
    Err(VaultError::Source { cause })
}

fn pass_data<W: Write>(
    reader: &mut DiffReader<Box<dyn Read + Send>>,
    extent: Extent,
    (buffer, regions): (&mut [u8], &mut Regions<'_>),
    out: &mut DiffWriter<W>,
    monitor: &Monitor,
) -> Result<(), VaultError> {
    out.data_follows(extent.start, extent.end - extent.start).map_err(output)?;
    let mut place = extent.start;
    while place < extent.end {
        if monitor.is_cancelled() {
            return Err(VaultError::Cancelled);
        }
        let length = (extent.end - place).min(buffer.len() as u64);
        let Some(part) = buffer.get_mut(..usize::try_from(length).unwrap_or(usize::MAX)) else { break };
        reader.take(part).map_err(input)?;
        out.more(part).map_err(output)?;
        regions.data(place, part);
        monitor.add_read(length);
        place += length;
    }
    Ok(())
}

/// Passes on what is not as the base has it. A region of which the extent covers a part only cannot be compared.
fn compare_data<W: Write>(
    reader: &mut DiffReader<Box<dyn Read + Send>>,
    extent: Extent,
    (buffer, regions): (&mut [u8], &mut Regions<'_>),
    out: &mut DiffWriter<W>,
    monitor: &Monitor,
) -> Result<(), VaultError> {
    let mut place = extent.start;
    while place < extent.end {
        let region_end = regions.region_end(place);
        let stop = region_end.min(extent.end);
        let is_whole = place.is_multiple_of(regions.index.region_bytes) && stop == region_end;
        let length = usize::try_from(stop - place).unwrap_or(usize::MAX);
        match buffer.get_mut(..length).filter(|_| is_whole) {
            Some(region) => {
                if monitor.is_cancelled() {
                    return Err(VaultError::Cancelled);
                }
                reader.take(region).map_err(input)?;
                regions.compared(place, region, out).map_err(output)?;
                monitor.add_read(stop - place);
            }
            None => {
                let part = Extent { start: place, end: stop, is_data: true };
                pass_data(reader, part, (&mut *buffer, &mut *regions), out, monitor)?;
            }
        }
        place = stop;
    }
    Ok(())
}

/// Hashes of regions as extents go by. A region that no run of extents covers whole is not known any more.
struct Regions<'a> {
    index: &'a mut ImageIndex,
    current: Option<Current>,
}

/// A region that was covered from its start up to `reached`.
struct Current {
    number: u64,
    reached: u64,
    hash: Sha256,
    is_zero: bool,
}

impl Regions<'_> {
    fn data(&mut self, mut place: u64, mut data: &[u8]) {
        while !data.is_empty() {
            let end = self.region_end(place);
            let length = usize::try_from(end - place).unwrap_or(usize::MAX).min(data.len());
            let (part, rest) = data.split_at(length);
            self.part(place, part.len() as u64, Some(part));
            place += length as u64;
            data = rest;
        }
    }

    fn zeros(&mut self, mut place: u64, end: u64) {
        while place < end {
            let stop = self.region_end(place).min(end);
            self.part(place, stop - place, None);
            place = stop;
        }
    }

    fn region_end(&self, place: u64) -> u64 {
        let size = self.index.region_bytes;
        (place / size).saturating_add(1).saturating_mul(size).min(self.index.size_bytes)
    }

    /// One part of one region; `None` is zeros.
    fn part(&mut self, place: u64, length: u64, data: Option<&[u8]>) {
        let number = place / self.index.region_bytes;
        let start = number * self.index.region_bytes;
        let follows = self.current.as_ref().is_some_and(|at| at.number == number && at.reached == place);
        if !follows {
            self.finish();
            if place != start {
                let stays_zero = data.is_none_or(is_zero) && self.index.get(number) == ZERO;
                self.index.set(number, if stays_zero { ZERO } else { UNKNOWN });
                return;
            }
            self.current = Some(Current { number, reached: place, hash: Sha256::new(), is_zero: true });
        }
        let Some(current) = &mut self.current else { return };
        match data {
            Some(data) => {
                current.is_zero &= is_zero(data);
                current.hash.update(data);
            }
            // A whole region of zeros needs no hash; parts of one are rare.
            None if length < self.index.region_bytes => hash_zeros(&mut current.hash, length),
            None => {}
        }
        current.reached += length;
        if current.reached == self.region_end(start) {
            let Some(done) = self.current.take() else { return };
            let hash: RegionHash = if done.is_zero { ZERO } else { cut(done.hash.finalize().as_slice()) };
            self.index.set(number, hash);
        }
    }

    /// A region from its start to its end: what of it is not as it was goes to `out`.
    fn compared<W: Write>(&mut self, place: u64, data: &[u8], out: &mut DiffWriter<W>) -> io::Result<()> {
        self.finish();
        let mut records = Records::of(data, place);
        records.region(data, self.index, out)?;
        records.finish(out)
    }

    /// No more of the current region comes.
    fn finish(&mut self) {
        if let Some(left) = self.current.take() {
            let stays_zero = left.is_zero && self.index.get(left.number) == ZERO;
            self.index.set(left.number, if stays_zero { ZERO } else { UNKNOWN });
        }
    }
}

fn hash_zeros(hash: &mut Sha256, mut length: u64) {
    const ZEROS: [u8; 4096] = [0; 4096];
    while length > 0 {
        let part = ZEROS.get(..usize::try_from(length).unwrap_or(usize::MAX).min(ZEROS.len()));
        let part = part.unwrap_or_default();
        hash.update(part);
        length -= part.len() as u64;
    }
}
