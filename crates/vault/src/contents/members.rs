//! Writing down where each member lies, while the archive is made.

use super::bytes::put;
use super::{BLOCK, FORMS, MAGIC};
use crate::tar::MemberForm;
use std::io::{self, Write};
use zstd::stream::write::Encoder;

/// The first part of the table, compressed as it grows.
pub(crate) struct MembersWriter {
    out: Encoder<'static, Vec<u8>>,
    row: Vec<u8>,
    /// The last member, whose end is not known yet.
    open: Option<(MemberForm, u64)>,
    path: Vec<u8>,
    /// The path of the member before it.
    previous: Vec<u8>,
    failure: Option<io::Error>,
}

impl MembersWriter {
    pub(crate) fn start() -> io::Result<Self> {
        let mut out = Encoder::new(Vec::new(), 0)?;
        out.write_all(MAGIC)?;
        let (row, path, previous) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { out, row, open: None, path, previous, failure: None })
    }

    /// A member begins at `offset`. What goes wrong is told at the end.
    pub(crate) fn add(&mut self, path: &[u8], form: MemberForm, offset: u64) {
        if self.open.is_none() {
            self.row.clear();
            put(&mut self.row, offset / BLOCK);
            self.write_row();
        }
        self.close(offset);
        self.open = Some((form, offset));
        self.path.clear();
        self.path.extend_from_slice(path);
    }

    /// Ends the member that is open.
    fn close(&mut self, end: u64) {
        let Some((form, start)) = self.open.take() else { return };
        let blocks = end.saturating_sub(start) / BLOCK;
        let code = FORMS.iter().position(|known| *known == form).unwrap_or_default() as u64;
        let shared = self.path.iter().zip(&self.previous).take_while(|(one, other)| one == other).count();
        let rest = self.path.get(shared..).unwrap_or_default();
        self.row.clear();
        put(&mut self.row, blocks << 2 | code);
        put(&mut self.row, shared as u64);
        put(&mut self.row, rest.len() as u64);
        self.row.extend_from_slice(rest);
        self.write_row();
        std::mem::swap(&mut self.path, &mut self.previous);
    }

    fn write_row(&mut self) {
        if self.failure.is_none()
            && let Err(error) = self.out.write_all(&self.row)
        {
            self.failure = Some(error);
        }
    }

    /// The packed part; `None` for an archive without members.
    pub(crate) fn finish(mut self, archive_bytes: u64) -> io::Result<Option<Vec<u8>>> {
        if self.open.is_none() {
            return Ok(None);
        }
        self.close(archive_bytes);
        self.row.clear();
        put(&mut self.row, 0);
        self.write_row();
        match self.failure {
            Some(failure) => Err(failure),
            None => self.out.finish().map(Some),
        }
    }
}
