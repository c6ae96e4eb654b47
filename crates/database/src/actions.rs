//! Saved actions.

use crate::connect::{AnyConnection, either};
use crate::jobs::shown;
use crate::json::Stored;
use crate::limits::{self, fits};
use crate::page::{Cursor, Cut, Piece, Place, Rows, advance, collect};
use crate::schema::{actions, job_actions};
use crate::{DbError, Page, Residual, Tx, json};
use diesel::dsl::sql;
use diesel::helper_types::IntoBoxed;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use freezer_model::{Action, ActionId, JobId, ProjectId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

const NOUN: &str = "action";

/// Repository of one transaction; see [`Tx::actions`].
pub struct Actions<'t> {
    pub(crate) tx: &'t mut Tx,
}

#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone, Serialize, Deserialize)]
#[diesel(table_name = actions, primary_key(project_id, action_id), treat_none_as_null = true)]
pub(crate) struct ActionRow {
    pub project_id: String,
    pub action_id: String,
    user_id: String,
    freezer_action: String,
    max_retries: i32,
    max_retries_interval: i32,
    mandatory: bool,
    created_at: i64,
}

impl ActionRow {
    fn of(action: &Action) -> Result<Self, DbError> {
        fits("project_id", action.project_id.as_str(), limits::PROJECT_ID)?;
        fits("action_id", action.action_id.as_str(), limits::ID)?;
        fits("user_id", action.user_id.as_str(), limits::USER_ID)?;
        Ok(Self {
            project_id: action.project_id.to_string(),
            action_id: action.action_id.to_string(),
            user_id: action.user_id.to_string(),
            freezer_action: json::to_text(NOUN, &action.freezer_action)?,
            max_retries: action.max_retries,
            max_retries_interval: action.max_retries_interval,
            mandatory: action.mandatory,
            created_at: action.created_at.0,
        })
    }

    pub(crate) fn is(&self, project: &str, id: &str) -> bool {
        self.action_id == id && self.project_id == project
    }

    /// The text that may be long.
    pub(crate) fn options_text(&mut self) -> &mut String {
        &mut self.freezer_action
    }

    pub(crate) fn into_model<D: Stored>(self) -> Result<Action<D>, DbError> {
        let freezer_action = json::object(NOUN, &self.action_id, "freezer_action", self.freezer_action)?;
        Ok(Action {
            project_id: ProjectId::from(self.project_id),
            action_id: ActionId::from(self.action_id),
            user_id: UserId::from(self.user_id),
            freezer_action,
            max_retries: self.max_retries,
            max_retries_interval: self.max_retries_interval,
            mandatory: self.mandatory,
            created_at: Timestamp(self.created_at),
        })
    }
}

const LONGER_JOB: &str = "SELECT its.job_id AS job_id FROM \
    (SELECT DISTINCT job_id FROM job_actions WHERE project_id = ? AND action_id = ?) AS wanted \
    JOIN job_actions AS its ON its.job_id = wanted.job_id \
    JOIN actions AS one ON one.project_id = its.project_id AND one.action_id = its.action_id \
    WHERE its.project_id = ? GROUP BY its.job_id HAVING SUM(LENGTH(one.freezer_action)) > ? LIMIT 1";

#[derive(QueryableByName)]
struct FoundJob {
    #[diesel(sql_type = Text)]
    job_id: String,
}

/// The rows of one list.
struct Listed<'t> {
    tx: &'t mut Tx,
    project: &'t ProjectId,
}

type Query<'q> = IntoBoxed<'q, actions::table, <AnyConnection as Connection>::Backend>;

fn query<'q>(project: &'q ProjectId, cut: &'q Cut<'_>) -> Query<'q> {
    let mut query = actions::table.into_boxed().filter(actions::project_id.eq(project.as_str()));
    if let Some(last) = cut.after {
        let (at, id) = (last.created_at, last.id.as_str());
        query = query
            .filter(actions::created_at.gt(at).or(actions::created_at.eq(at).and(actions::action_id.gt(id))));
    }
    query.order((actions::created_at, actions::action_id)).offset(cut.offset).limit(cut.limit)
}

impl Rows for Listed<'_> {
    type Row = ActionRow;
    type Item = Action;

    fn weigh(&mut self, cut: &Cut<'_>) -> Result<Vec<i64>, DbError> {
        let query = query(self.project, cut).select(sql::<BigInt>("LENGTH(freezer_action)"));
        self.tx.run(NOUN, "", |conn| query.load(conn))
    }

    fn cut(&mut self, cut: &Cut<'_>) -> Result<Vec<ActionRow>, DbError> {
        let query = query(self.project, cut).select(ActionRow::as_select());
        self.tx.run(NOUN, "", |conn| query.load(conn))
    }

    fn place(row: &ActionRow) -> Place {
        Place { created_at: row.created_at, id: row.action_id.clone(), project: row.project_id.clone() }
    }

    fn read(row: ActionRow) -> Result<Action, DbError> {
        row.into_model()
    }
}

impl Actions<'_> {
    pub fn get(&mut self, project: &ProjectId, id: &ActionId) -> Result<Option<Action>, DbError> {
        let row = self.tx.run(NOUN, id.as_str(), |conn| {
            actions::table
                .find((project.as_str(), id.as_str()))
                .select(ActionRow::as_select())
                .first(conn)
                .optional()
        })?;
        row.map(ActionRow::into_model).transpose()
    }

    /// Those of `ids` that exist, in no particular order. One statement.
    pub fn find_many(&mut self, project: &ProjectId, ids: &[ActionId]) -> Result<Vec<Action>, DbError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&str> = ids.iter().map(ActionId::as_str).collect();
        let rows: Vec<ActionRow> = self.tx.run(NOUN, "", |conn| {
            actions::table
                .filter(actions::project_id.eq(project.as_str()))
                .filter(actions::action_id.eq_any(ids))
                .select(ActionRow::as_select())
                .load(conn)
        })?;
        rows.into_iter().map(ActionRow::into_model).collect()
    }

    /// As [`Self::get`], and keeps others from changing the row until the transaction ends.
    pub fn get_for_update(&mut self, project: &ProjectId, id: &ActionId) -> Result<Option<Action>, DbError> {
        self.hold(project, id)?.map(ActionRow::into_model).transpose()
    }

    /// Those of `ids` that exist, kept from others until the transaction ends. One statement.
    pub(crate) fn hold_many(&mut self, project: &str, ids: &[&str]) -> Result<Vec<ActionRow>, DbError> {
        macro_rules! some {
            () => {
                actions::table
                    .filter(actions::project_id.eq(project))
                    .filter(actions::action_id.eq_any(ids))
                    .order(actions::action_id)
                    .select(ActionRow::as_select())
            };
        }
        self.tx.run(NOUN, "", |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => some!().for_update().load(mysql),
            AnyConnection::Sqlite(sqlite) => some!().load(sqlite),
        })
    }

    fn hold(&mut self, project: &ProjectId, id: &ActionId) -> Result<Option<ActionRow>, DbError> {
        macro_rules! one {
            () => {
                actions::table.find((project.as_str(), id.as_str())).select(ActionRow::as_select())
            };
        }
        self.tx.run(NOUN, id.as_str(), |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => one!().for_update().first(mysql).optional(),
            AnyConnection::Sqlite(sqlite) => one!().first(sqlite).optional(),
        })
    }

    /// Oldest first. One statement, or one for each 1000 rows looked at with a residual condition.
    pub fn list(
        &mut self,
        project: &ProjectId,
        residual: Residual<'_, Action>,
        page: Page,
    ) -> Result<Vec<Action>, DbError> {
        let mut listed = Listed { tx: self.tx, project };
        collect(page, residual, |cut| Ok(Piece::of(listed.cut(&cut)?, Listed::place, ActionRow::into_model)))
    }

    /// Reads the next piece of the list; see [`Cursor`].
    pub fn advance<E: From<DbError>>(
        &mut self,
        project: &ProjectId,
        residual: Residual<'_, Action>,
        cursor: &mut Cursor,
        take: &mut dyn FnMut(Action) -> Result<(), E>,
    ) -> Result<(), E> {
        advance(&mut Listed { tx: self.tx, project }, cursor, residual, take)
    }

    /// [`DbError::Conflict`] when the id is taken in this project.
    pub fn insert(&mut self, action: &Action) -> Result<(), DbError> {
        let row = ActionRow::of(action)?;
        self.tx.run(
            NOUN,
            action.action_id.as_str(),
            |conn| either!(conn => diesel::insert_into(actions::table).values(&row).execute(conn)),
        )?;
        self.tx.remember([row]);
        Ok(())
    }

    /// Several at once. [`DbError::Conflict`] when one of the ids is taken.
    pub fn insert_all(&mut self, actions: &[Action]) -> Result<(), DbError> {
        match actions {
            [] => return Ok(()),
            // The statement for one stays prepared.
            [one] => return self.insert(one),
            [first, ..] => {
                let rows: Vec<ActionRow> = actions.iter().map(ActionRow::of).collect::<Result<_, _>>()?;
                self.tx.run(
                    NOUN,
                    first.action_id.as_str(),
                    |conn| either!(conn => diesel::insert_into(actions::table).values(&rows).execute(conn)),
                )?;
                self.tx.remember(rows);
            }
        }
        Ok(())
    }

    /// Writes all fields of an action that exists; jobs that use it see the change.
    pub fn save(&mut self, action: &Action) -> Result<(), DbError> {
        let row = ActionRow::of(action)?;
        let (project, id) = (row.project_id.clone(), row.action_id.clone());
        let changed = self.tx.run(NOUN, &id, |conn| {
            diesel::update(actions::table.find((project, id.as_str()))).set(&row).execute(conn)
        })?;
        if changed == 0 {
            return Err(DbError::Missing { noun: NOUN, id });
        }
        let alone = shown::text_of(vec![row.clone()]);
        self.tx.forget_action(&row.project_id, &id);
        self.tx.remember([row]);
        let jobs = shown::forget(self.tx, &action.project_id, &action.action_id, alone)?;
        shown::renew(self.tx, &action.project_id, &jobs)
    }

    /// A job with this action whose actions have longer options together than so many bytes, if there is one.
    pub fn job_longer_than(
        &mut self,
        project: &ProjectId,
        id: &ActionId,
        bytes: usize,
    ) -> Result<Option<JobId>, DbError> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let found: Option<FoundJob> = self.tx.run(NOUN, id.as_str(), |conn| {
            let query = sql_query(LONGER_JOB)
                .bind::<Text, _>(project.as_str())
                .bind::<Text, _>(id.as_str())
                .bind::<Text, _>(project.as_str())
                .bind::<BigInt, _>(bytes);
            either!(conn => query.get_result(conn).optional())
        })?;
        Ok(found.map(|found| JobId::from(found.job_id)))
    }

    /// Deletes an action and takes it out of this project's jobs. Returns whether it was there.
    pub fn delete(&mut self, project: &ProjectId, id: &ActionId) -> Result<bool, DbError> {
        // Whoever is putting it into a job has done so before, or does not find it afterwards.
        if self.hold(project, id)?.is_none() {
            return Ok(false);
        }
        let jobs = shown::forget(self.tx, project, id, shown::text_of(Vec::new()))?;
        self.tx.forget_action(project.as_str(), id.as_str());
        let deleted = self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::delete(
                job_actions::table
                    .filter(job_actions::project_id.eq(project.as_str()))
                    .filter(job_actions::action_id.eq(id.as_str())),
            )
            .execute(conn)?;
            diesel::delete(actions::table.find((project.as_str(), id.as_str()))).execute(conn)
        })?;
        shown::renew(self.tx, project, &jobs)?;
        Ok(deleted > 0)
    }
}
