//! What documents of a job say of its actions, kept beside its row as text: a list of jobs is then a look at one table, with nothing
//! to be put together.
//!
//! The text is there only while it is what the rows say. It is made of rows that are held until the transaction ends, and whoever
//! changes an action takes it from the jobs that have that action, or replaces it, in the same transaction. Where it is not there
//! the rows are read: it is empty where it would be long, and NULL where it is not made yet.

use super::attention::lock_row;
use super::read::{SeenJob, WholeRow, looking};
use super::row::JobRow;
use super::write::of_job;
use super::{Jobs, NOUN};
use crate::actions::ActionRow;
use crate::connect::{AnyConnection, either};
use crate::schema::{clients, job_actions, jobs};
use crate::{Database, DbError, Tx};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Nullable, Text};
use freezer_model::document::{StoredObject, write_actions};
use freezer_model::{Action, ActionId, JobId, ProjectId};

/// Longer texts are not kept: a hundred of these are no burden to read at once.
const LONGEST: usize = 16 << 10;
/// Begins each text. Another one when [`write_actions`] writes something else: what an older or a newer version has kept is
/// not read then.
const VERSION: char = '1';

/// Jobs with several actions that have their new text at once when one of these changes. The others have it when they are written
/// next, or at the next upgrade.
const RENEWED: i64 = 100;
/// Jobs of one transaction of an upgrade.
const BATCH: i64 = 200;

/// An action's jobs get the new text where they have no other action, and else none.
///
/// As an UPDATE of several tables it reads the lists of actions with locks. A subquery would read them without at this isolation, and
/// not see what is just being added to one.
#[cfg(feature = "mysql")]
const FORGET_IN_MYSQL: &str = "UPDATE job_actions AS its JOIN jobs ON jobs.project_id = its.project_id AND jobs.job_id = its.job_id \
    SET jobs.shown_actions = CASE WHEN EXISTS (SELECT 1 FROM job_actions AS other WHERE other.project_id = its.project_id \
    AND other.job_id = its.job_id AND other.position <> its.position) THEN NULL ELSE ? END \
    WHERE its.project_id = ? AND its.action_id = ?";
const FORGET_IN_SQLITE: &str = "UPDATE jobs SET shown_actions = CASE WHEN (SELECT COUNT(*) FROM job_actions AS other \
    WHERE other.project_id = jobs.project_id AND other.job_id = jobs.job_id) > 1 THEN NULL ELSE ? END \
    WHERE project_id = ? AND job_id IN (SELECT its.job_id FROM job_actions AS its WHERE its.project_id = ? AND its.action_id = ?)";

/// The text for a job that has these actions: empty when it is too long to be kept, none when one of them cannot be read.
pub(crate) fn text_of(rows: Vec<ActionRow>) -> Option<String> {
    let actions: Result<Vec<Action<StoredObject>>, DbError> =
        rows.into_iter().map(ActionRow::into_model).collect();
    let mut text = vec![VERSION as u8];
    // Of what cannot be read lists of jobs tell, when they read the rows.
    write_actions(&actions.ok()?, &mut text).ok()?;
    if text.len() > LONGEST {
        text.clear();
    }
    String::from_utf8(text).ok()
}

/// Takes the text from all jobs that have an action, which changes and is held. `alone` is for jobs that have no other. Answers
/// others that [`renew`] may make theirs for. Rows of jobs that have the action are held from now on.
pub(crate) fn forget(
    tx: &mut Tx,
    project: &ProjectId,
    action: &ActionId,
    alone: Option<String>,
) -> Result<Vec<JobId>, DbError> {
    let (project, action) = (project.as_str(), action.as_str());
    tx.run(NOUN, action, |conn| match conn {
        #[cfg(feature = "mysql")]
        AnyConnection::Mysql(mysql) => sql_query(FORGET_IN_MYSQL)
            .bind::<Nullable<Text>, _>(alone)
            .bind::<Text, _>(project)
            .bind::<Text, _>(action)
            .execute(mysql),
        AnyConnection::Sqlite(sqlite) => sql_query(FORGET_IN_SQLITE)
            .bind::<Nullable<Text>, _>(alone)
            .bind::<Text, _>(project)
            .bind::<Text, _>(project)
            .bind::<Text, _>(action)
            .execute(sqlite),
    })?;
    let of_job = jobs::project_id.eq(job_actions::project_id).and(jobs::job_id.eq(job_actions::job_id));
    let left: Vec<String> = tx.run(NOUN, action, |conn| {
        job_actions::table
            .inner_join(jobs::table.on(of_job))
            .filter(job_actions::project_id.eq(project))
            .filter(job_actions::action_id.eq(action))
            .filter(jobs::shown_actions.is_null())
            .select(job_actions::job_id)
            .distinct()
            .order(job_actions::job_id)
            .limit(RENEWED)
            .load(conn)
    })?;
    Ok(left.into_iter().map(JobId::from).collect())
}

/// Makes the texts of jobs anew whose rows are held.
pub(crate) fn renew(tx: &mut Tx, project: &ProjectId, jobs: &[JobId]) -> Result<(), DbError> {
    jobs.iter().try_for_each(|id| tx.jobs().keep_shown(project, id))
}

impl Jobs<'_> {
    /// The text for a job that has the actions `ids`, as they are stored. They are held from now on.
    pub(super) fn shown_actions(
        &mut self,
        project: &ProjectId,
        ids: &[&str],
    ) -> Result<Option<String>, DbError> {
        let project = project.as_str();
        let mut missing: Vec<&str> =
            ids.iter().copied().filter(|id| self.tx.remembered(project, id).is_none()).collect();
        missing.sort_unstable();
        missing.dedup();
        let found =
            if missing.is_empty() { Vec::new() } else { self.tx.actions().hold_many(project, &missing)? };
        let row = |id: &&str| {
            let known = self.tx.remembered(project, id);
            known.or_else(|| found.iter().find(|row| row.is(project, id))).cloned()
        };
        Ok(ids.iter().map(row).collect::<Option<Vec<ActionRow>>>().and_then(text_of))
    }

    /// Makes the text of a job, whose row is held.
    fn keep_shown(&mut self, project: &ProjectId, id: &JobId) -> Result<(), DbError> {
        let actions: Vec<String> = self.tx.run(NOUN, id.as_str(), |conn| {
            of_job(project, id).order(job_actions::position).select(job_actions::action_id).load(conn)
        })?;
        let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
        let text = self.shown_actions(project, &actions)?;
        self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::update(jobs::table.find((project.as_str(), id.as_str())))
                .set(jobs::shown_actions.eq(text))
                .execute(conn)
        })?;
        Ok(())
    }
}

impl Database {
    /// Makes the texts that are not there, after an upgrade.
    pub(crate) fn keep_shown_actions(&self) -> Result<(), DbError> {
        let mut after = (String::new(), String::new());
        loop {
            let found = self.transaction(|tx| some_shown(tx, &after))?;
            let Some(last) = found else { return Ok(()) };
            after = last;
        }
    }
}

/// Makes the texts of the next jobs behind `after`. Answers the last of these.
fn some_shown(tx: &mut Tx, (project, job): &(String, String)) -> Result<Option<(String, String)>, DbError> {
    let found: Vec<(String, String)> = tx.run(NOUN, "", |conn| {
        let is_behind =
            jobs::project_id.gt(project).or(jobs::project_id.eq(project).and(jobs::job_id.gt(job)));
        jobs::table
            .filter(jobs::shown_actions.is_null())
            .filter(is_behind)
            .order((jobs::project_id, jobs::job_id))
            .limit(BATCH)
            .select((jobs::project_id, jobs::job_id))
            .load(conn)
    })?;
    for (project, job) in &found {
        let (project, id) = (ProjectId::from(project.as_str()), JobId::from(job.as_str()));
        if lock_row(tx, &project, &id)?.is_some() {
            tx.jobs().keep_shown(&project, &id)?;
        }
    }
    Ok(found.into_iter().last())
}

/// A job's row, the text of its actions, and its client's id when that is one of the project that looks.
pub(super) type ShownLine = (JobRow, Option<String>, Option<String>);

/// What makes a [`ShownLine`].
macro_rules! shown_columns {
    () => {
        (JobRow::as_select(), jobs::shown_actions, clients::client_id.nullable())
    };
}
pub(super) use shown_columns;

/// Jobs beside their clients, where these are ones of the project `$viewer`.
macro_rules! with_clients {
    ($viewer:expr) => {
        jobs::table.left_join(
            clients::table.on(clients::client_id
                .eq(jobs::client_id)
                .and(clients::project_id.eq($viewer))
                .and(clients::project_id.eq(jobs::project_id).or(clients::is_central.eq(true)))),
        )
    };
}
pub(super) use with_clients;

/// A job that is shown from its row alone.
pub(super) struct ShownRow {
    pub job: JobRow,
    actions: String,
    has_own_client: bool,
}

impl ShownRow {
    /// None where the text is not there, or of another version.
    pub fn of((job, text, own_client): ShownLine) -> Option<Self> {
        let mut actions = text.filter(|text| text.starts_with(VERSION))?;
        actions.remove(0);
        Some(Self { job, actions, has_own_client: own_client.is_some() })
    }

    pub fn seen(self) -> Result<SeenJob, DbError> {
        let job = self.job.into_model(Vec::new())?;
        Ok(SeenJob { job, actions: Some(self.actions), has_own_client: self.has_own_client })
    }
}

impl Jobs<'_> {
    /// As [`Self::get`], to be shown to the project `viewer`.
    pub fn show(
        &mut self,
        project: &ProjectId,
        id: &JobId,
        viewer: Option<&ProjectId>,
    ) -> Result<Option<SeenJob>, DbError> {
        let line: Option<ShownLine> = self.tx.run(NOUN, id.as_str(), |conn| {
            either!(conn => with_clients!(looking(viewer))
                .filter(jobs::project_id.eq(project.as_str()))
                .filter(jobs::job_id.eq(id.as_str()))
                .select(shown_columns!())
                .first(conn)
                .optional())
        })?;
        let Some(line) = line else { return Ok(None) };
        match ShownRow::of(line) {
            Some(row) => row.seen().map(Some),
            None => self.one(project, id, viewer)?.map(WholeRow::seen).transpose(),
        }
    }
}
