//! What the conductor needs: rows held for a transaction, and the time at which a job must be looked at.
//!
//! The locking reads are written once for each back end: MySQL locks rows and skips those of other conductors; SQLite has
//! one writer at a time, and a write transaction holds that place from its first statement.

use super::{JobRow, Jobs, NOUN};
use crate::connect::AnyConnection;
use crate::schema::jobs;
use crate::set_aside::{Claimed, UNTIL};
use crate::{DbError, Scope, Tx};
use diesel::prelude::*;
use freezer_model::planning::{DueJob, Planning};
use freezer_model::{ClientId, Job, JobId, ProjectId, Timestamp};
use std::collections::HashSet;

/// A job's row, the version it was planned from, its attention time, and when its scheduler was last heard of it.
type TimedRow = (JobRow, Option<i64>, Option<i64>, Option<i64>);

/// `.load` with the rows kept from others, those of others left out on request.
macro_rules! locking {
    ($tx:expr, $id:expr, $query:expr, |$q:ident| $mysql:expr, $load:ident) => {
        $tx.run(NOUN, $id, |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => {
                let $q = $query;
                $mysql.$load(mysql)
            }
            AnyConnection::Sqlite(sqlite) => $query.$load(sqlite),
        })
    };
}

/// Several conductors look for due jobs at once; each finds some of the first ones held by another.
pub(crate) const CANDIDATES_FOR_ONE: i64 = 4;

pub(super) fn lock_row(tx: &mut Tx, project: &ProjectId, id: &JobId) -> Result<Option<JobRow>, DbError> {
    let row: Result<JobRow, DbError> = locking!(
        tx,
        id.as_str(),
        jobs::table.find((project.as_str(), id.as_str())).select(JobRow::as_select()),
        |query| query.for_update(),
        first
    );
    match row {
        Ok(row) => Ok(Some(row)),
        Err(DbError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Of a batch with a backlog behind it, one in so many is taken from its new end.
const NEWEST: u32 = 4;
/// A statement has a limited number of parameters.
const ROWS_IN_ONE_STATEMENT: usize = 500;

type Set<C, T> = diesel::dsl::Eq<C, T>;
type PlanColumns = (
    Set<jobs::planned_version, Option<i64>>,
    Set<jobs::next_run_at, Option<i64>>,
    Set<jobs::attention_at, Option<i64>>,
);

fn plan_columns(planning: &Planning) -> PlanColumns {
    (
        jobs::planned_version.eq(planning.planned_version),
        jobs::next_run_at.eq(planning.next_run_at.map(|at| at.0)),
        jobs::attention_at.eq(planning.attention_at.map(|at| at.0)),
    )
}

#[cfg(feature = "mysql")]
type PlanRow = (JobRow, Set<jobs::planned_version, Option<i64>>, Set<jobs::attention_at, Option<i64>>);

#[cfg(feature = "mysql")]
fn plan_row((job, plan): &(Job, Planning)) -> Result<PlanRow, DbError> {
    let mut row = JobRow::of(job)?;
    row.next_run_at = plan.next_run_at.map(|at| at.0);
    Ok((
        row,
        jobs::planned_version.eq(plan.planned_version),
        jobs::attention_at.eq(plan.attention_at.map(|at| at.0)),
    ))
}

/// One statement for all rows. They exist, so that nothing is inserted; the table has no other unique key.
#[cfg(feature = "mysql")]
fn overwrite(mysql: &mut diesel::MysqlConnection, rows: Vec<PlanRow>) -> diesel::QueryResult<usize> {
    use diesel::dsl::{DuplicatedKeys, sql};
    use diesel::sql_types::{BigInt, Nullable, Text};
    diesel::insert_into(jobs::table)
        .values(rows)
        .on_conflict(DuplicatedKeys)
        .do_update()
        .set((
            jobs::event.eq(sql::<Text>("VALUES(event)")),
            jobs::status.eq(sql::<Text>("VALUES(status)")),
            jobs::result.eq(sql::<Text>("VALUES(result)")),
            jobs::time_created.eq(sql::<BigInt>("VALUES(time_created)")),
            jobs::time_started.eq(sql::<BigInt>("VALUES(time_started)")),
            jobs::time_ended.eq(sql::<BigInt>("VALUES(time_ended)")),
            jobs::current_pid.eq(sql::<Nullable<BigInt>>("VALUES(current_pid)")),
            jobs::planned_version.eq(sql::<Nullable<BigInt>>("VALUES(planned_version)")),
            jobs::next_run_at.eq(sql::<Nullable<BigInt>>("VALUES(next_run_at)")),
            jobs::attention_at.eq(sql::<Nullable<BigInt>>("VALUES(attention_at)")),
        ))
        .execute(mysql)
}

impl Jobs<'_> {
    /// Up to `limit` jobs whose attention time has come, kept from other conductors until this transaction ends. The
    /// caller must move their attention time. Unreadable ones are set aside.
    ///
    /// Most are the longest overdue ones, and some the newest: behind ten thousand jobs of one project, a job that
    /// somebody starts now is seen at once.
    ///
    /// Candidates are found without locks and then locked by their key. Locking along the index on the time
    /// instead would lock far more rows than are wanted, and deadlock with those who move that time.
    pub fn claim_due(&mut self, now: Timestamp, limit: u32) -> Result<Claimed<DueJob>, DbError> {
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        let oldest: Vec<String> = self.tx.run(NOUN, "", |conn| {
            jobs::table
                .filter(jobs::attention_at.le(now.0))
                .order((jobs::attention_at, jobs::project_id, jobs::job_id))
                .limit(i64::from(limit).saturating_mul(CANDIDATES_FOR_ONE))
                .select(jobs::job_id)
                .load(conn)
        })?;
        let mut candidates = oldest;
        if candidates.len() > wanted {
            let newest: Vec<String> = self.tx.run(NOUN, "", |conn| {
                jobs::table
                    .filter(jobs::attention_at.le(now.0))
                    .order((jobs::attention_at.desc(), jobs::project_id.desc(), jobs::job_id.desc()))
                    .limit(i64::from(limit / NEWEST).max(1))
                    .select(jobs::job_id)
                    .load(conn)
            })?;
            candidates.splice(0..0, newest);
        }
        let mut seen = HashSet::new();
        candidates.retain(|id| seen.insert(id.clone()));
        let mut claimed = Claimed::default();
        for ids in candidates.chunks(wanted) {
            if claimed.rows.len() >= wanted {
                break;
            }
            let rows: Vec<TimedRow> = locking!(
                self.tx,
                "",
                jobs::table.filter(jobs::job_id.eq_any(ids)).select((
                    JobRow::as_select(),
                    jobs::planned_version,
                    jobs::attention_at,
                    jobs::heard_at
                )),
                |query| query.for_update().skip_locked(),
                load
            )?;
            let due = rows.into_iter().filter(|(_, _, at, _)| at.is_some_and(|at| at <= now.0)).collect();
            self.read_or_set_aside(due, now, &mut claimed)?;
        }
        Ok(claimed)
    }

    fn read_or_set_aside(
        &mut self,
        rows: Vec<TimedRow>,
        now: Timestamp,
        claimed: &mut Claimed<DueJob>,
    ) -> Result<(), DbError> {
        let keys: Vec<_> =
            rows.iter().map(|(row, ..)| (row.project_id.clone(), row.job_id.clone())).collect();
        for (found, (project, id)) in self.due_jobs(rows)?.into_iter().zip(keys) {
            match found {
                Ok(due) => claimed.rows.push(due),
                Err(error) => {
                    let later = now.plus(UNTIL);
                    self.set_attention(&ProjectId::from(project), &JobId::from(id), Some(later))?;
                    claimed.set_aside.push(error);
                }
            }
        }
        Ok(())
    }

    /// Says when the job is looked at next, and nothing else.
    pub fn set_attention(
        &mut self,
        project: &ProjectId,
        id: &JobId,
        at: Option<Timestamp>,
    ) -> Result<(), DbError> {
        self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::update(jobs::table.find((project.as_str(), id.as_str())))
                .set(jobs::attention_at.eq(at.map(|at| at.0)))
                .execute(conn)
        })?;
        Ok(())
    }

    /// The job as the conductor sees it, kept from others.
    pub fn planning_for_update(
        &mut self,
        project: &ProjectId,
        id: &JobId,
    ) -> Result<Option<DueJob>, DbError> {
        let rows: Vec<TimedRow> = locking!(
            self.tx,
            id.as_str(),
            jobs::table.find((project.as_str(), id.as_str())).select((
                JobRow::as_select(),
                jobs::planned_version,
                jobs::attention_at,
                jobs::heard_at
            )),
            |query| query.for_update(),
            load
        )?;
        self.due_jobs(rows)?.into_iter().next().transpose()
    }

    fn due_jobs(&mut self, rows: Vec<TimedRow>) -> Result<Vec<Result<DueJob, DbError>>, DbError> {
        let (rows, times): (Vec<_>, Vec<_>) =
            rows.into_iter().map(|(row, version, at, heard)| (row, (version, at, heard))).unzip();
        let jobs = self.each_with_actions(rows, Scope::All)?;
        Ok(jobs
            .into_iter()
            .zip(times)
            .map(|(job, (planned_version, at, heard))| {
                let (attention_at, heard_at) = (at.map(Timestamp), heard.map(Timestamp));
                Ok(DueJob { job: job?, planned_version, attention_at, heard_at })
            })
            .collect())
    }

    /// Asks a conductor to look at the job at `at` or earlier. Returns whether the job exists.
    pub fn request_attention(
        &mut self,
        project: &ProjectId,
        id: &JobId,
        at: Timestamp,
    ) -> Result<bool, DbError> {
        let changed = self.tx.run(NOUN, id.as_str(), |conn| {
            let earlier = diesel::update(
                jobs::table
                    .find((project.as_str(), id.as_str()))
                    .filter(jobs::attention_at.is_null().or(jobs::attention_at.gt(at.0))),
            )
            .set(jobs::attention_at.eq(Some(at.0)))
            .execute(conn)?;
            if earlier > 0 {
                return Ok(1);
            }
            jobs::table.find((project.as_str(), id.as_str())).count().get_result::<i64>(conn)
        })?;
        Ok(changed > 0)
    }

    /// Notes that something was heard of a job whose scheduler polls, or that this scheduler was given something new to follow,
    /// and asks a conductor to look at the job now: it counts the scheduler's silence from here.
    pub fn note_heard(&mut self, project: &ProjectId, id: &JobId, at: Timestamp) -> Result<(), DbError> {
        self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::update(jobs::table.find((project.as_str(), id.as_str())))
                .set((jobs::heard_at.eq(Some(at.0)), jobs::attention_at.eq(Some(at.0))))
                .execute(conn)
        })?;
        Ok(())
    }

    /// Nobody waits for a word of the job until [`Self::note_heard`].
    pub fn forget_heard(&mut self, project: &ProjectId, id: &JobId) -> Result<(), DbError> {
        self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::update(jobs::table.find((project.as_str(), id.as_str())))
                .set(jobs::heard_at.eq(None::<i64>))
                .execute(conn)
        })?;
        Ok(())
    }

    /// Asks a conductor to look, now, at every job of the client that none is going to look at, or only to see whether its scheduler
    /// is silent: its agent has just come to our link. `project` limits it to one project's jobs (`None` for a central client).
    /// Returns how many there are.
    pub fn request_attention_for_client(
        &mut self,
        project: Option<&ProjectId>,
        client: &ClientId,
        at: Timestamp,
    ) -> Result<usize, DbError> {
        self.tx.run(NOUN, "", |conn| {
            let waiting = jobs::table
                .filter(jobs::client_id.eq(client.as_str()))
                .filter(jobs::attention_at.is_null().or(jobs::heard_at.is_not_null()));
            let set = jobs::attention_at.eq(Some(at.0));
            match project {
                Some(project) => diesel::update(waiting.filter(jobs::project_id.eq(project.as_str())))
                    .set(set)
                    .execute(conn),
                None => diesel::update(waiting).set(set).execute(conn),
            }
        })
    }

    /// Writes the conductor's decision. Returns whether the job exists.
    pub fn set_planning(
        &mut self,
        project: &ProjectId,
        id: &JobId,
        planning: Planning,
    ) -> Result<bool, DbError> {
        let changed = self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::update(jobs::table.find((project.as_str(), id.as_str())))
                .set(plan_columns(&planning))
                .execute(conn)
        })?;
        Ok(changed > 0)
    }

    /// State and planning of several jobs at once; they exist and are held by this transaction.
    pub fn set_plans(&mut self, plans: &[(Job, Planning)]) -> Result<(), DbError> {
        for plans in plans.chunks(ROWS_IN_ONE_STATEMENT) {
            #[cfg(feature = "mysql")]
            let rows: Vec<_> = plans.iter().map(plan_row).collect::<Result<_, _>>()?;
            self.tx.run(NOUN, "", |conn| match conn {
                #[cfg(feature = "mysql")]
                AnyConnection::Mysql(mysql) => overwrite(mysql, rows),
                AnyConnection::Sqlite(sqlite) => plans.iter().try_fold(0, |sum, (job, plan)| {
                    let one = jobs::table.find((job.project_id.as_str(), job.job_id.as_str()));
                    let changes = (super::write::state_columns(&job.state), plan_columns(plan));
                    Ok(sum + diesel::update(one).set(changes).execute(sqlite)?)
                }),
            })?;
        }
        Ok(())
    }

    /// The earliest attention time of any job; `None` when none waits.
    pub fn next_attention(&mut self) -> Result<Option<Timestamp>, DbError> {
        let at: Option<i64> = self
            .tx
            .run(NOUN, "", |conn| jobs::table.select(diesel::dsl::min(jobs::attention_at)).first(conn))?;
        Ok(at.map(Timestamp))
    }

    /// How many jobs are due and not looked at yet.
    pub fn count_due(&mut self, now: Timestamp) -> Result<i64, DbError> {
        self.tx
            .run(NOUN, "", |conn| jobs::table.filter(jobs::attention_at.le(now.0)).count().get_result(conn))
    }
}
