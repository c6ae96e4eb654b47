//! Paging of lists, and the conditions that no index can decide.
//!
//! A row that this program cannot read is left out of lists, with a warning that names it: one row that a newer version wrote
//! must not hide all others of its project. Whoever asks for that very row is told.

use crate::DbError;

/// Which part of a list is wanted. The order of every list is total and stable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub offset: u64,
    /// `None` = everything from `offset` on.
    pub limit: Option<u64>,
}

impl Page {
    pub const ALL: Self = Self { offset: 0, limit: None };

    pub fn first(limit: u64) -> Self {
        Self { offset: 0, limit: Some(limit) }
    }
}

/// A condition beyond the typed filter: rows it refuses are left out before paging.
/// `None` lets the database do the paging.
pub type Residual<'a, T> = Option<&'a dyn Fn(&T) -> bool>;

/// Rows that are looked at in one go while a residual condition is searched through.
const BATCH: i64 = 1000;

/// Where a row stands in the order of its list.
pub(crate) struct Place {
    pub created_at: i64,
    pub id: String,
    pub project: String,
}

/// One piece of a list, as the database cuts it.
pub(crate) struct Cut<'a> {
    /// Only rows after this one.
    pub after: Option<&'a Place>,
    pub offset: i64,
    pub limit: i64,
}

/// What was cut, in the order of the list.
pub(crate) struct Piece<T> {
    pub rows: Vec<Result<T, DbError>>,
    /// The place of the last row.
    pub last: Option<Place>,
}

impl<T> Piece<T> {
    /// Makes a piece of rows as they are stored.
    pub fn of<R>(rows: Vec<R>, place: impl Fn(&R) -> Place, read: impl Fn(R) -> Result<T, DbError>) -> Self {
        let last = rows.last().map(place);
        Self { rows: rows.into_iter().map(read).collect(), last }
    }
}

fn readable<T>(rows: Vec<Result<T, DbError>>) -> impl Iterator<Item = T> {
    rows.into_iter().filter_map(|row| {
        row.inspect_err(|error| tracing::warn!("left out of a list: {error}; repair or delete the row")).ok()
    })
}

/// Collects a page: in one piece when the database can decide everything, else batch by batch
/// along the list's order.
pub(crate) fn collect<T>(
    page: Page,
    residual: Residual<'_, T>,
    mut fetch: impl FnMut(Cut<'_>) -> Result<Piece<T>, DbError>,
) -> Result<Vec<T>, DbError> {
    let offset = i64::try_from(page.offset).unwrap_or(i64::MAX);
    let limit = page.limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    if limit == 0 {
        return Ok(Vec::new());
    }
    let Some(is_wanted) = residual else {
        let piece = fetch(Cut { after: None, offset, limit })?;
        return Ok(readable(piece.rows).collect());
    };
    let mut to_skip = page.offset;
    let mut kept: Vec<T> = Vec::new();
    let mut last: Option<Place> = None;
    loop {
        let piece = fetch(Cut { after: last.as_ref(), offset: 0, limit: BATCH })?;
        let is_end = (piece.rows.len() as i64) < BATCH;
        last = piece.last;
        for row in readable(piece.rows).filter(|row| is_wanted(row)) {
            if to_skip > 0 {
                to_skip -= 1;
                continue;
            }
            kept.push(row);
            if kept.len() as i64 >= limit {
                return Ok(kept);
            }
        }
        if is_end {
            return Ok(kept);
        }
    }
}
