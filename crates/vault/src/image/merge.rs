//! All levels of a chain at once, as the one image they make: the newest level that says something of a byte is right.

use super::diff::{DiffReader, Extent};
use super::whole::input;
use crate::VaultError;
use std::io::Read;

/// One level, read as far as the image has come.
pub(super) struct Level<R> {
    reader: DiffReader<R>,
    /// What it says next; `None` behind its end.
    extent: Option<Extent>,
    /// Bytes from here on were cut off by a later level that was shorter.
    visible_bytes: u64,
}

impl<R: Read> Level<R> {
    fn start(input: R, visible_bytes: u64) -> std::io::Result<Self> {
        let mut reader = DiffReader::start(input)?;
        let extent = reader.next()?;
        Ok(Self { reader, extent, visible_bytes })
    }

    /// Passes over what lies before `place`.
    fn go_to(&mut self, place: u64) -> std::io::Result<()> {
        while let Some(extent) = self.extent {
            if extent.end <= place {
                self.extent = self.reader.next()?;
                continue;
            }
            if extent.start < place {
                if extent.is_data {
                    self.reader.skip(place - extent.start)?;
                }
                self.extent = Some(Extent { start: place, ..extent });
            }
            break;
        }
        Ok(())
    }
}

/// A run of the merged image. Data follow by [`Merge::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// So many bytes of zeros.
    Zeros(u64),
    Data(u64),
}

pub(super) struct Merge<R> {
    /// Oldest first.
    levels: Vec<Level<R>>,
    size_bytes: u64,
    pub place: u64,
    /// Level whose data the current run has, and how many were not taken.
    current: Option<(usize, u64)>,
}

impl<R: Read> Merge<R> {
    /// `inputs`: the levels' payloads with the sizes of the image at their times, oldest first.
    pub(super) fn start(inputs: Vec<(R, u64)>) -> Result<Self, VaultError> {
        let size_bytes = inputs.last().map_or(0, |(_, size)| *size);
        let mut visible = u64::MAX;
        let mut levels = Vec::new();
        for (reader, size) in inputs.into_iter().rev() {
            visible = visible.min(size);
            levels.push(Level::start(reader, visible).map_err(input)?);
        }
        levels.reverse();
        Ok(Self { levels, size_bytes, place: 0, current: None })
    }

    pub(super) fn size(&self) -> u64 {
        self.size_bytes
    }

    /// The next run, at most `most` bytes long; `None` at the end of the image.
    pub(super) fn next(&mut self, most: u64) -> Result<Option<Run>, VaultError> {
        if self.place >= self.size_bytes {
            return Ok(None);
        }
        let mut limit = self.size_bytes.min(self.place.saturating_add(most));
        for (number, level) in self.levels.iter_mut().enumerate().rev() {
            level.go_to(self.place).map_err(input)?;
            if self.place >= level.visible_bytes {
                continue;
            }
            let Some(extent) = level.extent else { continue };
            if extent.start > self.place {
                limit = limit.min(extent.start);
                continue;
            }
            let end = limit.min(extent.end).min(level.visible_bytes);
            let length = end - self.place;
            if !extent.is_data {
                self.place = end;
                return Ok(Some(Run::Zeros(length)));
            }
            self.current = Some((number, length));
            return Ok(Some(Run::Data(length)));
        }
        let length = limit - self.place;
        self.place = limit;
        Ok(Some(Run::Zeros(length)))
    }

    /// Fills `out` with data of the current run.
    pub(super) fn take(&mut self, out: &mut [u8]) -> Result<(), VaultError> {
        let length = out.len() as u64;
        let short = || VaultError::Internal { what: "merging levels", cause: "too much was taken".into() };
        let (number, left) = self.current.filter(|(_, left)| *left >= length).ok_or_else(short)?;
        let level = self.levels.get_mut(number).ok_or_else(short)?;
        level.reader.take(out).map_err(input)?;
        self.place += length;
        if let Some(extent) = &mut level.extent {
            extent.start = self.place;
        }
        self.current = (left > length).then_some((number, left - length));
        Ok(())
    }

    /// Reads every level to its end: what follows the last byte wanted belongs to the backup too and must be in order.
    pub(super) fn finish(self) -> Result<(), VaultError> {
        for mut level in self.levels {
            while level.reader.next().map_err(input)?.is_some() {}
            std::io::copy(&mut level.reader.into_input(), &mut std::io::sink()).map_err(input)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::diff::DiffWriter;
    use super::*;

    fn level(size: u64, extents: &[(u64, &[u8])]) -> (std::io::Cursor<Vec<u8>>, u64) {
        let mut writer = DiffWriter::start(Vec::new()).unwrap();
        writer.size(size).unwrap();
        for (start, data) in extents {
            match data.first() {
                Some(0) => writer.zeros(*start, data.len() as u64).unwrap(),
                _ => writer.data(*start, data).unwrap(),
            }
        }
        (std::io::Cursor::new(writer.finish().unwrap().0), size)
    }

    fn merged(levels: Vec<(std::io::Cursor<Vec<u8>>, u64)>, most: u64) -> Vec<u8> {
        let mut merge = Merge::start(levels).unwrap();
        let mut image = Vec::new();
        while let Some(run) = merge.next(most).unwrap() {
            match run {
                Run::Zeros(length) => {
                    image.extend(std::iter::repeat_n(b'.', usize::try_from(length).unwrap()))
                }
                Run::Data(length) => {
                    let mut data = vec![0; usize::try_from(length).unwrap()];
                    let (first, second) = data.split_at_mut(usize::try_from(length / 2).unwrap());
                    merge.take(first).unwrap();
                    merge.take(second).unwrap();
                    image.extend(data);
                }
            }
        }
        merge.finish().unwrap();
        image
    }

    #[test]
    fn the_newest_wins() {
        let levels = || {
            vec![
                level(12, &[(0, b"aaaaaa"), (8, b"aa")]),
                level(12, &[(2, b"bb"), (4, &[0, 0]), (9, b"bbb")]),
                level(12, &[(3, b"c"), (7, b"cc")]),
            ]
        };
        for most in [1, 2, 5, 100] {
            assert_eq!(merged(levels(), most), b"aabc...ccbbb", "{most}");
        }
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let levels = vec![level(8, &[(0, b"aaaaaaaa")]), level(3, &[]), level(8, &[(6, b"c")])];
        assert_eq!(merged(levels, 100), b"aaa...c.");
        assert_eq!(merged(vec![level(8, &[(0, b"aaaaaaaa")]), level(3, &[])], 100), b"aaa");
    }
}
