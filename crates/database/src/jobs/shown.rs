//! What documents of a job say of its actions, kept beside its row as text: a list of jobs is then a look at one table, with nothing
//! to be put together.
//!
//! The text is there only while it is what the rows say. It is made of rows that are held until the transaction ends, and whoever
//! changes an action takes it from the jobs that have that action, or replaces it, in the same transaction. Where it is not there
//! (also after an upgrade, and of long actions), the rows are read.

use super::read::{SeenJob, WholeRow, looking};
use super::row::JobRow;
use super::{Jobs, NOUN};
use crate::actions::ActionRow;
use crate::connect::{AnyConnection, either};
use crate::schema::{clients, jobs};
use crate::{DbError, Tx};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Nullable, Text};
use freezer_model::document::{StoredObject, write_actions};
use freezer_model::{Action, ActionId, Job, JobId, ProjectId};

/// Longer texts are not kept: a hundred of these are no burden to read at once.
const LONGEST: usize = 16 << 10;
/// Begins each text. Another one when [`write_actions`] writes something else: what an older or a newer version has kept is
/// not read then.
const VERSION: char = '1';

/// Their jobs get the new text where they have no other action, and else none.
#[cfg(feature = "mysql")]
const FORGET_IN_MYSQL: &str = "UPDATE job_actions AS its JOIN jobs ON jobs.project_id = its.project_id AND jobs.job_id = its.job_id \
    SET jobs.shown_actions = CASE WHEN EXISTS (SELECT 1 FROM job_actions AS other WHERE other.project_id = its.project_id \
    AND other.job_id = its.job_id AND other.position <> its.position) THEN NULL ELSE ? END \
    WHERE its.project_id = ? AND its.action_id = ?";
const FORGET_IN_SQLITE: &str = "UPDATE jobs SET shown_actions = CASE WHEN (SELECT COUNT(*) FROM job_actions AS other \
    WHERE other.project_id = jobs.project_id AND other.job_id = jobs.job_id) > 1 THEN NULL ELSE ? END \
    WHERE project_id = ? AND job_id IN (SELECT job_id FROM job_actions AS its WHERE its.project_id = jobs.project_id AND its.action_id = ?)";

/// The text for a job that has these actions, if it is to be kept.
pub(crate) fn text_of(rows: Vec<ActionRow>) -> Option<String> {
    let actions: Result<Vec<Action<StoredObject>>, DbError> =
        rows.into_iter().map(ActionRow::into_model).collect();
    let mut text = vec![VERSION as u8];
    // Of what cannot be read lists of jobs tell, when they read the rows.
    write_actions(&actions.ok()?, &mut text).ok()?;
    String::from_utf8(text).ok().filter(|text| text.len() <= LONGEST)
}

/// Takes the text from all jobs that have an action, which changes and is held. `alone` is for jobs that have no other.
pub(crate) fn forget(tx: &mut Tx, project: &str, action: &str, alone: Option<String>) -> Result<(), DbError> {
    tx.run(NOUN, action, |conn| {
        let query = match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(_) => FORGET_IN_MYSQL,
            AnyConnection::Sqlite(_) => FORGET_IN_SQLITE,
        };
        let query = sql_query(query).bind::<Nullable<Text>, _>(alone);
        query.bind::<Text, _>(project).bind::<Text, _>(action).execute(conn)
    })?;
    Ok(())
}

impl Jobs<'_> {
    /// The text for a job, made of its actions as they are stored. They are held from now on.
    pub(super) fn shown_actions(&mut self, job: &Job) -> Result<Option<String>, DbError> {
        let mut ids: Vec<&ActionId> = job.actions.iter().map(|action| &action.action_id).collect();
        let listed = ids.clone();
        // In one order, whoever holds several.
        ids.sort_unstable_by_key(|id| id.as_str());
        ids.dedup();
        for id in ids {
            if held(self.tx, job, id).is_none() {
                let found = self.tx.actions().hold(&job.project_id, id)?;
                self.tx.held_actions.extend(found);
            }
        }
        let rows: Option<Vec<ActionRow>> =
            listed.into_iter().map(|id| held(self.tx, job, id).cloned()).collect();
        Ok(rows.and_then(text_of))
    }
}

fn held<'t>(tx: &'t Tx, job: &Job, id: &ActionId) -> Option<&'t ActionRow> {
    tx.held_actions.iter().find(|held| held.is(job.project_id.as_str(), id.as_str()))
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
