//! Saved actions.

use crate::connect::{AnyConnection, either};
use crate::json::Stored;
use crate::limits::{self, fits};
use crate::page::{Cut, Piece, Place, collect};
use crate::schema::{actions, job_actions};
use crate::{DbError, Page, Residual, Tx, json};
use diesel::prelude::*;
use freezer_model::{Action, ActionId, ProjectId, Timestamp, UserId};

const NOUN: &str = "action";

/// Repository of one transaction; see [`Tx::actions`].
pub struct Actions<'t> {
    pub(crate) tx: &'t mut Tx,
}

#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone)]
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
        macro_rules! one {
            () => {
                actions::table.find((project.as_str(), id.as_str())).select(ActionRow::as_select())
            };
        }
        let row = self.tx.run(NOUN, id.as_str(), |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => one!().for_update().first(mysql).optional(),
            AnyConnection::Sqlite(sqlite) => one!().first(sqlite).optional(),
        })?;
        row.map(ActionRow::into_model).transpose()
    }

    /// Oldest first. One statement, or one for each 1000 rows looked at with a residual condition.
    pub fn list(
        &mut self,
        project: &ProjectId,
        residual: Residual<'_, Action>,
        page: Page,
    ) -> Result<Vec<Action>, DbError> {
        let place = |row: &ActionRow| Place {
            created_at: row.created_at,
            id: row.action_id.clone(),
            project: row.project_id.clone(),
        };
        collect(page, residual, |cut| Ok(Piece::of(self.cut(project, &cut)?, place, ActionRow::into_model)))
    }

    fn cut(&mut self, project: &ProjectId, cut: &Cut<'_>) -> Result<Vec<ActionRow>, DbError> {
        self.tx.run(NOUN, "", |conn| {
            let mut query = actions::table.filter(actions::project_id.eq(project.as_str())).into_boxed();
            if let Some(last) = cut.after {
                let (at, id) = (last.created_at, last.id.as_str());
                query = query.filter(
                    actions::created_at.gt(at).or(actions::created_at.eq(at).and(actions::action_id.gt(id))),
                );
            }
            query
                .order((actions::created_at, actions::action_id))
                .offset(cut.offset)
                .limit(cut.limit)
                .select(ActionRow::as_select())
                .load(conn)
        })
    }

    /// [`DbError::Conflict`] when the id is taken in this project.
    pub fn insert(&mut self, action: &Action) -> Result<(), DbError> {
        let row = ActionRow::of(action)?;
        self.tx.run(
            NOUN,
            action.action_id.as_str(),
            |conn| either!(conn => diesel::insert_into(actions::table).values(row).execute(conn)),
        )?;
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
            }
        }
        Ok(())
    }

    /// Writes all fields of an action that exists; jobs that use it see the change.
    pub fn save(&mut self, action: &Action) -> Result<(), DbError> {
        let row = ActionRow::of(action)?;
        let (project, id) = (row.project_id.clone(), row.action_id.clone());
        let changed = self.tx.run(NOUN, &id, |conn| {
            diesel::update(actions::table.find((project, id.as_str()))).set(row).execute(conn)
        })?;
        if changed == 0 {
            return Err(DbError::Missing { noun: NOUN, id });
        }
        Ok(())
    }

    /// Deletes an action and takes it out of this project's jobs. Returns whether it was there.
    pub fn delete(&mut self, project: &ProjectId, id: &ActionId) -> Result<bool, DbError> {
        let deleted = self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::delete(
                job_actions::table
                    .filter(job_actions::project_id.eq(project.as_str()))
                    .filter(job_actions::action_id.eq(id.as_str())),
            )
            .execute(conn)?;
            diesel::delete(actions::table.find((project.as_str(), id.as_str()))).execute(conn)
        })?;
        Ok(deleted > 0)
    }
}
