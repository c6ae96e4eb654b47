//! An image that is read in order: what differs from the base goes into the payload.

use super::diff::DiffWriter;
use super::index::ImageIndex;
use super::records::Records;
use crate::VaultError;
use crate::monitor::Monitor;
use std::io::{self, Read, Write};

/// Read at once; neighbours that changed within it become one record.
const LEAST_BUFFER_BYTES: u64 = 1 << 20;

/// Reads all of `reader` and makes `index` that of the new level.
pub(super) fn write_whole<W: Write>(
    mut reader: Box<dyn Read + Send>,
    size_bytes: Option<u64>,
    index: &mut ImageIndex,
    out: &mut DiffWriter<W>,
    monitor: &Monitor,
) -> Result<(), VaultError> {
    if let Some(size) = size_bytes {
        monitor.set_totals(size, 1);
        out.size(size).map_err(output)?;
        index.resize(size);
    }
    let region_bytes = usize::try_from(index.region_bytes).unwrap_or(usize::MAX);
    let buffer_bytes = usize::try_from(index.region_bytes.max(LEAST_BUFFER_BYTES)).unwrap_or(usize::MAX);
    let mut buffer = vec![0; buffer_bytes];
    let mut offset = 0u64;
    loop {
        if monitor.is_cancelled() {
            return Err(VaultError::Cancelled);
        }
        let filled = fill(&mut reader, &mut buffer).map_err(input)?;
        let data = buffer.get(..filled).unwrap_or_default();
        changed(data, region_bytes, offset, index, out).map_err(output)?;
        offset += filled as u64;
        monitor.add_read(filled as u64);
        if filled < buffer_bytes {
            break;
        }
        if size_bytes.is_some_and(|size| offset > size) {
            break;
        }
    }
    if let Some(size) = size_bytes.filter(|size| *size != offset) {
        let cause = format!("the image should have {size} bytes and {offset} came; run the backup again");
        return Err(VaultError::Source { cause });
    }
    if size_bytes.is_none() {
        index.resize(offset);
    }
    Ok(())
}

/// As many bytes as there are, up to the buffer's length.
fn fill(reader: &mut Box<dyn Read + Send>, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match reader.read(room) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes what of `data` is not as in `index`, neighbours together.
fn changed<W: Write>(
    data: &[u8],
    region_bytes: usize,
    offset: u64,
    index: &mut ImageIndex,
    out: &mut DiffWriter<W>,
) -> io::Result<()> {
    let mut records = Records::of(data, offset);
    for region in data.chunks(region_bytes) {
        records.region(region, index, out)?;
    }
    records.finish(out)
}

pub(super) fn input(error: io::Error) -> VaultError {
    VaultError::Source { cause: format!("reading the image: {error}") }
}

/// Of a backup: the other end went away, and says why itself. Of a restore: what is written to fails.
pub(super) fn output(error: io::Error) -> VaultError {
    VaultError::Source { cause: format!("writing the image: {error}") }
}
