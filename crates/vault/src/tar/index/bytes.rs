//! The stored form: magic and version, varints, and a SHA-256 over all of it at the end.

use super::entry::{put, put_bytes, put_time, take, take_bytes, take_time};
use super::{Index, Row};
use crate::tar::TarError;
use sha2::{Digest, Sha256};

/// The last byte is the version.
const MAGIC: &[u8; 9] = b"FZTARIDX\x01";
const SUM_BYTES: usize = 32;

impl Index {
    /// Whether these bytes are meant to be an index of ours (and not a SNAR).
    pub fn recognises(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC.split_last().map_or(&[], |(_, name)| name))
    }

    /// The stored form; not compressed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.blob.len() + self.rows.len() * 64 + 64);
        out.extend_from_slice(MAGIC);
        out.push(u8::from(self.single));
        put_time(&mut out, self.started_at);
        put(&mut out, self.rows.len() as u64);
        for row in &self.rows {
            put_bytes(&mut out, &row.path);
            put(&mut out, row.dev);
            put(&mut out, row.ino);
            put_time(&mut out, row.mtime);
            out.push(u8::from(row.network));
            put_bytes(&mut out, self.blob.get(row.start..row.end).unwrap_or_default());
        }
        let sum = Sha256::digest(&out);
        out.extend_from_slice(&sum);
        out
    }

    /// The reverse of [`Index::to_bytes`]; damage of any kind is an error.
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
