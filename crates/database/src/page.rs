//! Paging of lists, and the conditions that no index can decide.

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

/// One piece of a list, as the database cuts it.
pub(crate) struct Cut<'a, T> {
    /// Only rows after this one.
    pub after: Option<&'a T>,
    pub offset: i64,
    pub limit: i64,
}

/// Collects a page: in one piece when the database can decide everything, else batch by batch
/// along the list's order. `fetch` gets a cut and returns rows in that order.
pub(crate) fn collect<T: Clone>(
    page: Page,
    residual: Residual<'_, T>,
    mut fetch: impl FnMut(Cut<'_, T>) -> Result<Vec<T>, DbError>,
) -> Result<Vec<T>, DbError> {
    let offset = i64::try_from(page.offset).unwrap_or(i64::MAX);
    let limit = page.limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    if limit == 0 {
        return Ok(Vec::new());
    }
    let Some(is_wanted) = residual else {
        return fetch(Cut { after: None, offset, limit });
    };
    let mut to_skip = page.offset;
    let mut kept: Vec<T> = Vec::new();
    let mut last: Option<T> = None;
    loop {
        let rows = fetch(Cut { after: last.as_ref(), offset: 0, limit: BATCH })?;
        let is_end = (rows.len() as i64) < BATCH;
        last = rows.last().cloned();
        for row in rows.into_iter().filter(|row| is_wanted(row)) {
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
