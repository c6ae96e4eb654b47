//! A large page of jobs: read with one statement into a temporary file, and taken from there without a connection.

use super::list::{JobList, Listed};
use super::read::{Line, WholeRow};
use super::{JobRow, Scope, SeenJob};
use crate::actions::ActionRow;
use crate::page::{Cursor, Cut, readable};
use crate::spool::{Kept, Spool, Spooled, Stretch};
use crate::{Database, DbError, Residual};
use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::io;

/// Bytes of rows that are taken from a file in one go, unless a single job has more.
const TAKEN_BYTES: usize = 256 << 10;

impl Database {
    /// Reads the next piece of a list of jobs; see [`Cursor`]. A page of up to a hundred jobs costs one statement where the text of their
    /// actions is kept (see `shown.rs`), and else three, however long their texts are, as long as there is room for its temporary file
    /// (see [`DatabaseOptions::spool_bytes`]); where there is none, one more for each 2 MiB of text.
    ///
    /// [`DatabaseOptions::spool_bytes`]: crate::DatabaseOptions::spool_bytes
    pub fn advance_jobs<E: From<DbError>>(
        &self,
        list: JobList<'_>,
        residual: Residual<'_, SeenJob>,
        (cursor, large): (&mut Cursor, &mut LargePage),
        take: &mut dyn FnMut(SeenJob) -> Result<(), E>,
    ) -> Result<(), E> {
        cursor.prefer_whole();
        if let Some(bytes) = cursor.take_whole() {
            large.0 = self.spool_jobs(list, cursor, bytes)?;
        }
        if let Some(spooled) = &mut large.0 {
            spooled.some(take)?;
            if spooled.jobs.is_empty() {
                cursor.end();
                large.0 = None;
            }
            return Ok(());
        }
        self.read(|tx| Listed { tx, sought: list }.advance(residual, cursor, take))
    }

    /// Reads the page that `cursor` has weighed into a file. None when there is no room for it: nothing of it was taken then, and it
    /// can still be read piece by piece.
    fn spool_jobs(
        &self,
        list: JobList<'_>,
        cursor: &Cursor,
        bytes: u64,
    ) -> Result<Option<SpooledJobs>, DbError> {
        // Before a connection is taken: whoever waits holds none.
        let Some(_turn) = self.spools.turn(bytes) else { return Ok(None) };
        let no_thread = || Ok(Err(io::Error::other("there is no thread to write it")));
        let read =
            |spool| self.spools.reader.run(self.spooling(list, cursor, spool)).unwrap_or_else(no_thread);
        let spooled = match self.spools.open(bytes) {
            Ok(spool) => read(spool)?,
            Err(error) => Err(error),
        };
        Ok(spooled.inspect_err(|error| self.spools.warn(error)).ok())
    }

    /// Reads the page that `cursor` has weighed into `spool`, wherever it is called.
    fn spooling(
        &self,
        list: JobList<'_>,
        cursor: &Cursor,
        spool: Spool,
    ) -> impl FnOnce() -> Result<io::Result<SpooledJobs>, DbError> + Send + use<> {
        let (db, filter, viewer) = (self.clone(), list.filter.clone(), list.viewer.cloned());
        let project = match list.scope {
            Scope::Project(project) => Some(project.clone()),
            Scope::All => None,
        };
        // From the beginning of the list on, as nothing was taken yet.
        let Cut { offset, limit, .. } = cursor.all_weighed();
        move || {
            let scope = project.as_ref().map_or(Scope::All, Scope::Project);
            let sought = JobList { scope, filter: &filter, viewer: viewer.as_ref() };
            let cut = Cut { after: None, offset, limit };
            let mut sorted = Sorted { spool, jobs: BTreeMap::new() };
            let written = db.read(|tx| Listed { tx, sought }.spool(&cut, &mut sorted))?;
            Ok(written.and_then(|()| sorted.close()))
        }
    }
}

impl Kept for JobRow {
    fn text(&mut self) -> &mut String {
        self.plan_text()
    }
}

impl Kept for ActionRow {
    fn text(&mut self) -> &mut String {
        self.options_text()
    }
}

/// Where the rows of a job are.
#[derive(Debug)]
struct Job {
    row: Stretch,
    has_own_client: bool,
    /// Each with its position.
    actions: Vec<(i32, Stretch)>,
}

/// Lines on their way into a file, in whatever order they come.
pub(super) struct Sorted {
    spool: Spool,
    /// By their places in the order of lists.
    jobs: BTreeMap<(i64, String, String), Job>,
}

impl Sorted {
    pub fn add(&mut self, (row, position, action, own_client): Line) -> io::Result<()> {
        let (created_at, id, project) = row.place();
        let job = match self.jobs.entry((created_at, id.to_owned(), project.to_owned())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let row = self.spool.add(row)?;
                new.insert(Job { row, has_own_client: own_client.is_some(), actions: Vec::new() })
            }
        };
        if let Some(action) = action {
            job.actions.push((position.unwrap_or_default(), self.spool.add(action)?));
        }
        Ok(())
    }

    fn close(self) -> io::Result<SpooledJobs> {
        let mut jobs: VecDeque<Job> = self.jobs.into_values().collect();
        for job in &mut jobs {
            job.actions.sort_by_key(|(position, _)| *position);
        }
        Ok(SpooledJobs { rows: self.spool.close()?, jobs })
    }
}

/// What of a list waits in a file, beside its [`Cursor`].
#[derive(Debug, Default)]
pub struct LargePage(Option<SpooledJobs>);

/// Jobs that wait in a file.
#[derive(Debug)]
struct SpooledJobs {
    rows: Spooled,
    /// Those that come next, in the order of the list.
    jobs: VecDeque<Job>,
}

impl SpooledJobs {
    fn some<E: From<DbError>>(&mut self, take: &mut dyn FnMut(SeenJob) -> Result<(), E>) -> Result<(), E> {
        let mut bytes = 0;
        while bytes < TAKEN_BYTES
            && let Some(job) = self.jobs.pop_front()
        {
            bytes += job.row.bytes() + job.actions.iter().map(|(_, action)| action.bytes()).sum::<usize>();
            let row = self.row(&job).map_err(|error| DbError::Spool { reason: error.to_string() })?;
            if let Some(seen) = readable(row.seen()) {
                take(seen)?;
            }
        }
        Ok(())
    }

    fn row(&self, job: &Job) -> io::Result<WholeRow> {
        let actions = job.actions.iter().map(|(_, action)| self.rows.read(action));
        let actions = actions.collect::<io::Result<_>>()?;
        Ok(WholeRow { job: self.rows.read(&job.row)?, actions, has_own_client: job.has_own_client })
    }
}
