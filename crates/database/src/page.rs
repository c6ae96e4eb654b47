//! Paging of lists, and the conditions that no index can decide.
//!
//! A row that this program cannot read is left out of lists, with a warning that names it: one row that a newer version wrote
//! must not hide all others of its project. Whoever asks for that very row is told.

use crate::DbError;
use std::collections::VecDeque;

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
#[derive(Debug)]
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

pub(crate) fn readable<T>(row: Result<T, DbError>) -> Option<T> {
    row.inspect_err(|error| tracing::warn!("left out of a list: {error}; repair or delete the row")).ok()
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
        return Ok(piece.rows.into_iter().filter_map(readable).collect());
    };
    let mut to_skip = page.offset;
    let mut kept: Vec<T> = Vec::new();
    let mut last: Option<Place> = None;
    loop {
        let piece = fetch(Cut { after: last.as_ref(), offset: 0, limit: BATCH })?;
        let is_end = (piece.rows.len() as i64) < BATCH;
        last = piece.last;
        for row in piece.rows.into_iter().filter_map(readable).filter(|row| is_wanted(row)) {
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

/// Bytes of stored text that are read in one go, unless a single row has more. A piece that was read waits in memory until
/// whoever asked has taken it.
const SHOWN_BYTES: i64 = 2 << 20;
/// As trees of values, which take many times their text.
const SEARCHED_BYTES: i64 = 1 << 20;

/// A list that is read piece by piece, so that no number and size of rows fills the memory. Between two pieces nothing of it is
/// held: neither rows nor a connection.
#[derive(Debug)]
pub struct Cursor {
    /// Rows to leave out first.
    to_skip: u64,
    /// Rows still wanted.
    left: u64,
    after: Option<Place>,
    /// Sizes of the rows that come next.
    weighed: VecDeque<i64>,
    /// No row comes after the weighed ones.
    is_last: bool,
    is_over: bool,
    whole: Whole,
}

/// Whether a page of few rows that turns out large is to be read with one statement, row by row, by somebody who has a place for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    No,
    /// As soon as it is weighed, it is left to whoever reads it.
    Wanted,
    /// It was weighed, and has about so many bytes.
    Weighed(u64),
}

impl Cursor {
    pub fn of(page: Page) -> Self {
        let left = page.limit.unwrap_or(u64::MAX);
        Self {
            to_skip: page.offset,
            left,
            after: None,
            weighed: VecDeque::new(),
            is_last: false,
            is_over: left == 0,
            whole: Whole::No,
        }
    }

    /// From its beginning on the page is to be left to the caller once it is weighed, see [`Self::take_whole`].
    pub(crate) fn prefer_whole(&mut self) {
        if self.after.is_none() && self.weighed.is_empty() {
            self.whole = Whole::Wanted;
        }
    }

    /// The bytes of a page that was left to the caller. Asked again, it is read piece by piece.
    pub(crate) fn take_whole(&mut self) -> Option<u64> {
        let Whole::Weighed(bytes) = self.whole else { return None };
        self.whole = Whole::No;
        Some(bytes)
    }

    /// All rows that were weighed.
    pub(crate) fn all_weighed(&self) -> Cut<'_> {
        self.cut(self.weighed.len() as u64)
    }

    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    /// After weighing: whether the rows are left to the caller. Those that fit into one piece cost no more as one.
    fn leaves_to_caller(&mut self, is_few: bool) -> bool {
        let is_wanted = std::mem::replace(&mut self.whole, Whole::No) == Whole::Wanted;
        let bytes = self.weighed.iter().fold(0_i64, |sum, size| sum.saturating_add(*size));
        if !is_wanted || !is_few || bytes <= SHOWN_BYTES {
            return false;
        }
        self.whole = Whole::Weighed(bytes.unsigned_abs());
        true
    }

    /// Whether everything was read.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    fn cut(&self, limit: u64) -> Cut<'_> {
        Cut {
            after: self.after.as_ref(),
            // Rows are skipped by the database only where it decides which ones there are, and then all at once.
            offset: if self.after.is_none() { i64::try_from(self.to_skip).unwrap_or(i64::MAX) } else { 0 },
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
        }
    }

    /// How many of the weighed rows fit into one piece of `most_bytes`: always one at least.
    fn that_fit(&self, most_bytes: i64) -> u64 {
        let mut sum = 0_i64;
        let fitting = self.weighed.iter().take_while(|size| {
            sum = sum.saturating_add(**size);
            sum <= most_bytes
        });
        fitting.count().max(1) as u64
    }
}

/// The rows of one noun as [`advance`] reads them.
pub(crate) trait Rows {
    type Row;
    type Item;
    /// So many rows of the largest legal size are no burden: they are read without being weighed first, so that a page as
    /// people ask for it costs one statement.
    const UNWEIGHED: u64 = 100;

    /// The sizes of the rows, about.
    fn weigh(&mut self, cut: &Cut<'_>) -> Result<Vec<i64>, DbError>;
    fn cut(&mut self, cut: &Cut<'_>) -> Result<Vec<Self::Row>, DbError>;
    /// As [`Self::cut`] with rows that nobody has weighed; `None` when they turn out to be too many after all.
    fn cut_unweighed(&mut self, cut: &Cut<'_>) -> Result<Option<Vec<Self::Row>>, DbError> {
        self.cut(cut).map(Some)
    }
    fn place(row: &Self::Row) -> Place;
    fn read(row: Self::Row) -> Result<Self::Item, DbError>;
}

/// Reads the next piece, and gives those of its rows that are wanted to `take`, one after the other.
pub(crate) fn advance<R: Rows, E: From<DbError>>(
    rows: &mut R,
    cursor: &mut Cursor,
    residual: Residual<'_, R::Item>,
    take: &mut dyn FnMut(R::Item) -> Result<(), E>,
) -> Result<(), E> {
    if cursor.is_over {
        return Ok(());
    }
    let mut to_skip = 0;
    if residual.is_some() {
        to_skip = std::mem::take(&mut cursor.to_skip);
    }
    let Some((piece, asked)) = next(rows, cursor, residual.is_some())? else { return Ok(()) };
    cursor.is_over = (piece.len() as u64) < asked || (cursor.is_last && cursor.weighed.is_empty());
    if let Some(last) = piece.last() {
        cursor.after = Some(R::place(last));
    }
    for row in piece {
        // The database has done the paging: a row that is left out counts as well.
        if residual.is_none() {
            cursor.left = cursor.left.saturating_sub(1);
        }
        let Some(item) = readable(R::read(row)) else { continue };
        if let Some(is_wanted) = residual {
            if !is_wanted(&item) {
                continue;
            }
            if to_skip > 0 {
                to_skip -= 1;
                continue;
            }
            cursor.left = cursor.left.saturating_sub(1);
        }
        take(item)?;
        if cursor.left == 0 {
            break;
        }
    }
    cursor.to_skip = to_skip;
    cursor.is_over |= cursor.left == 0;
    Ok(())
}

/// The rows of the next piece, and how many were asked for; none when they are left to the caller.
fn next<R: Rows>(
    rows: &mut R,
    cursor: &mut Cursor,
    is_searched: bool,
) -> Result<Option<(Vec<R::Row>, u64)>, DbError> {
    let wanted = if is_searched { BATCH as u64 } else { cursor.left.min(BATCH as u64) };
    // What is searched is always weighed.
    let is_few = !is_searched && cursor.after.is_none() && (1..=R::UNWEIGHED).contains(&wanted);
    if is_few
        && cursor.weighed.is_empty()
        && let Some(piece) = rows.cut_unweighed(&cursor.cut(wanted))?
    {
        return Ok(Some((piece, wanted)));
    }
    if cursor.weighed.is_empty() {
        let weighed = rows.weigh(&cursor.cut(wanted))?;
        cursor.is_last = (weighed.len() as u64) < wanted;
        cursor.weighed = weighed.into();
        if cursor.leaves_to_caller(is_few) {
            return Ok(None);
        }
    }
    if cursor.weighed.is_empty() {
        return Ok(Some((Vec::new(), 1)));
    }
    let fitting = cursor.that_fit(if is_searched { SEARCHED_BYTES } else { SHOWN_BYTES });
    let piece = rows.cut(&cursor.cut(fitting))?;
    cursor.weighed.drain(..(piece.len()).min(cursor.weighed.len()));
    Ok(Some((piece, fitting)))
}
