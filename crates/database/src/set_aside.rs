//! Rows that cannot be read, beside those that can: one bad row must not keep the others of its batch from their work.
//!
//! They are looked at again after a while: a program that knows them may have been installed.

use crate::DbError;
use std::time::Duration;

/// How long an unreadable row is left alone.
pub(crate) const UNTIL: Duration = Duration::from_secs(600);

/// What a claim has found.
#[derive(Debug)]
pub struct Claimed<T> {
    pub rows: Vec<T>,
    /// Why rows were postponed instead; each error names its row.
    pub set_aside: Vec<DbError>,
}

impl<T> Default for Claimed<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), set_aside: Vec::new() }
    }
}
