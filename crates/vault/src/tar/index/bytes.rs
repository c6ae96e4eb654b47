//! The stored form: magic and version, varints, and a SHA-256 over all of it at the end.

use super::entry::{put, put_bytes, put_time, take, take_bytes, take_time};
use super::{Index, Row};
use crate::tar::TarError;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// The last byte is the version.
const MAGIC: &[u8; 9] = b"FZTARIDX\x01";
const SUM_BYTES: usize = 32;

impl Index {
    /// Whether these bytes are meant to be an index of ours (and not a SNAR).
    pub fn recognises(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC.split_last().map_or(&[], |(_, name)| name))
    }

    /// Writes the stored form, not compressed, piece by piece: of a large tree it is as long as the index itself.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut sum = Sha256::new();
        let mut pass = |bytes: &[u8]| {
            sum.update(bytes);
            out.write_all(bytes)
        };
        let mut head = MAGIC.to_vec();
        head.push(u8::from(self.single));
        put_time(&mut head, self.started_at);
        put(&mut head, self.rows.len() as u64);
        pass(&head)?;
        for row in &self.rows {
            let entries = self.blob.get(row.start..row.end).unwrap_or_default();
            head.clear();
            put_bytes(&mut head, &row.path);
            put(&mut head, row.dev);
            put(&mut head, row.ino);
            put_time(&mut head, row.mtime);
            head.push(u8::from(row.network));
            put(&mut head, entries.len() as u64);
            pass(&head)?;
            pass(entries)?;
        }
        out.write_all(&sum.finalize())
    }

    /// The reverse of [`Index::write_to`]; damage of any kind is an error.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TarError> {
        let damaged = || TarError::Index("it is damaged".into());
        if !Self::recognises(bytes) {
            return Err(TarError::Index("it is not an index of this program".into()));
        }
        if !bytes.starts_with(MAGIC) {
            return Err(TarError::Index("it was written by a newer version of this program".into()));
        }
        let (body, sum) = bytes
            .len()
            .checked_sub(SUM_BYTES)
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or_else(damaged)?;
        if Sha256::digest(body)[..] != *sum {
            return Err(damaged());
        }
        let rest = &mut body.get(MAGIC.len()..).ok_or_else(damaged)?;
        parse(rest).filter(|_| rest.is_empty()).ok_or_else(damaged)?.check()
    }
}

fn parse(rest: &mut &[u8]) -> Option<Index> {
    let flag = |rest: &mut &[u8]| {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        Some(byte != 0)
    };
    let single = flag(rest)?;
    let mut index = Index { started_at: take_time(rest)?, single, rows: Vec::new(), blob: Vec::new() };
    for _ in 0..take(rest)? {
        let path = take_bytes(rest)?.into();
        let (dev, ino, mtime, network) = (take(rest)?, take(rest)?, take_time(rest)?, flag(rest)?);
        let start = index.blob.len();
        index.blob.extend_from_slice(take_bytes(rest)?);
        index.rows.push(Row { path, dev, ino, mtime, network, start, end: index.blob.len() });
    }
    Some(index)
}
