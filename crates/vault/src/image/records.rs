//! Comparing the image with its base: what differs becomes records of the payload.

use super::diff::DiffWriter;
use super::fine::BLOCK_BYTES;
use super::index::{ImageIndex, ZERO, hash_of, is_zero};
use std::io::{self, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data,
    Zeros,
}

/// A stretch of the image, from which the records are made. Neighbours of one kind become one record.
pub(super) struct Records<'a> {
    data: &'a [u8],
    /// Where `data` begins in the image.
    start: u64,
    /// So many bytes of it were looked at.
    at: usize,
    /// Where in `data` the record begins that is not written yet.
    open: Option<(usize, Kind)>,
}

impl<'a> Records<'a> {
    pub(super) fn of(data: &'a [u8], start: u64) -> Self {
        Self { data, start, at: 0, open: None }
    }

    /// Looks at the next bytes, which are `region` of the image from its beginning on, and keeps the index right. Of a region
    /// whose blocks the index knows, and of one that was zero, only what has changed is written; of another all.
    pub(super) fn region<W: Write>(
        &mut self,
        region: &[u8],
        index: &mut ImageIndex,
        out: &mut DiffWriter<W>,
    ) -> io::Result<()> {
        let number = (self.start + self.at as u64) / index.region_bytes;
        let is = if is_zero(region) { ZERO } else { hash_of(region) };
        if is == index.get(number) {
            return self.pass(region.len(), None, out);
        }
        if is == ZERO {
            index.set(number, ZERO);
            return self.pass(region.len(), Some(Kind::Zeros), out);
        }
        let Some(differing) = index.renew(number, is, region) else {
            return self.pass(region.len(), Some(Kind::Data), out);
        };
        let mut differing = differing.iter().copied();
        for block in region.chunks(BLOCK_BYTES) {
            let kind = if is_zero(block) { Kind::Zeros } else { Kind::Data };
            let differs = differing.next().unwrap_or(true);
            self.pass(block.len(), differs.then_some(kind), out)?;
        }
        Ok(())
    }

    /// The next bytes are of this kind; `None`: they are as they were.
    fn pass<W: Write>(
        &mut self,
        length: usize,
        kind: Option<Kind>,
        out: &mut DiffWriter<W>,
    ) -> io::Result<()> {
        if self.open.map(|(_, kind)| kind) != kind {
            self.close(out)?;
            self.open = kind.map(|kind| (self.at, kind));
        }
        self.at += length;
        Ok(())
    }

    fn close<W: Write>(&mut self, out: &mut DiffWriter<W>) -> io::Result<()> {
        let Some((begin, kind)) = self.open.take() else { return Ok(()) };
        let place = self.start + begin as u64;
        match kind {
            Kind::Data => out.data(place, self.data.get(begin..self.at).unwrap_or_default()),
            Kind::Zeros => out.zeros(place, (self.at - begin) as u64),
        }
    }

    /// Writes the last record.
    pub(super) fn finish<W: Write>(mut self, out: &mut DiffWriter<W>) -> io::Result<()> {
        self.close(out)
    }
}
