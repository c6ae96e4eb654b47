//! Backup records. The keys that searches use most stand in columns beside the metadata.

use crate::connect::AnyConnection;
use crate::json::Stored;
use crate::limits::{self, fits, fits_if_any};
use crate::page::{Cursor, Cut, Piece, Place, Rows, advance, collect};
use crate::schema::backups;
use crate::{DbError, Page, Residual, Tx, json};
use diesel::dsl::sql;
use diesel::helper_types::IntoBoxed;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use freezer_model::document::StoredObject;
use freezer_model::{Backup, BackupId, BackupStatus, JobId, ProjectId, TIME_STAMP_MAX, Timestamp, UserId};
use serde_json::{Map, Value};
use std::collections::HashSet;

const NOUN: &str = "backup";

/// A statement has a limited number of parameters, ...
const IDS_IN_ONE_STATEMENT: usize = 500;
/// ... and what it sends or answers a limited size: rows may be large.
const ROWS_IN_ONE_STATEMENT: usize = 50;

/// Repository of one transaction; see [`Tx::backups`].
pub struct Backups<'t> {
    pub(crate) tx: &'t mut Tx,
}

/// A record that is only shown.
pub type ShownBackup = Backup<StoredObject>;

/// Conditions that an index decides; `None` = any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackupFilter {
    pub backup_id: Option<BackupId>,
    pub job_id: Option<JobId>,
    pub status: Option<BackupStatus>,
    pub container: Option<String>,
    pub hostname: Option<String>,
    /// One of these, beside the other conditions; empty = any. A statement has a limited number of parameters.
    pub hostnames: Vec<String>,
    pub backup_name: Option<String>,
    /// As [`Self::hostnames`].
    pub backup_names: Vec<String>,
    /// Inclusive, in seconds, on `backup_metadata.time_stamp`.
    pub time_after: Option<i64>,
    pub time_before: Option<i64>,
}

#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone)]
#[diesel(table_name = backups, primary_key(project_id, backup_id), treat_none_as_null = true)]
struct BackupRow {
    project_id: String,
    backup_id: String,
    user_id: String,
    job_id: Option<String>,
    status: String,
    status_is_explicit: bool,
    time_stamp: Option<i64>,
    backup_name: Option<String>,
    container: Option<String>,
    hostname: Option<String>,
    metadata: String,
    created_at: i64,
    stored_bytes: i64,
}

impl BackupRow {
    /// Older versions took any number; clients that show one that is no date fail at the whole list.
    fn bring_time_stamp_into_range(&mut self) -> Result<(), DbError> {
        let mut metadata: Map<String, Value> =
            json::from_text(NOUN, &self.backup_id, "metadata", &self.metadata)?;
        if let Some(secs) = metadata.get("time_stamp").and_then(Value::as_i64) {
            metadata.insert("time_stamp".to_owned(), secs.clamp(0, TIME_STAMP_MAX).into());
            self.metadata = json::to_text(NOUN, &metadata)?;
        }
        Ok(())
    }

    fn of(backup: &Backup) -> Result<Self, DbError> {
        let text = |key: &str| backup.metadata.get(key).and_then(Value::as_str).map(str::to_owned);
        let row = Self {
            project_id: backup.project_id.to_string(),
            backup_id: backup.backup_id.to_string(),
            user_id: backup.user_id.to_string(),
            job_id: backup.job_id.as_ref().map(ToString::to_string),
            status: backup.status.as_str().to_owned(),
            status_is_explicit: backup.status_is_explicit,
            time_stamp: backup.metadata.get("time_stamp").and_then(Value::as_i64),
            backup_name: text("backup_name"),
            container: text("container"),
            hostname: text("hostname"),
            metadata: json::to_text(NOUN, &backup.metadata)?,
            created_at: backup.created_at.0,
            stored_bytes: Backup::stored_bytes(&backup.metadata),
        };
        fits("project_id", &row.project_id, limits::PROJECT_ID)?;
        fits("backup_id", &row.backup_id, limits::ID)?;
        fits("user_id", &row.user_id, limits::USER_ID)?;
        fits_if_any("job_id", row.job_id.as_deref(), limits::ID)?;
        fits_if_any("backup_name", row.backup_name.as_deref(), limits::NAME)?;
        fits_if_any("container", row.container.as_deref(), limits::NAME)?;
        fits_if_any("hostname", row.hostname.as_deref(), limits::SHORT_TEXT)?;
        Ok(row)
    }

    fn into_model<D: Stored>(mut self) -> Result<Backup<D>, DbError> {
        let status = BackupStatus::parse(&self.status)
            .ok_or_else(|| json::corrupt(NOUN, &self.backup_id, "status", &self.status))?;
        if self.time_stamp.is_some_and(|secs| !(0..=TIME_STAMP_MAX).contains(&secs)) {
            self.bring_time_stamp_into_range()?;
        }
        let metadata = json::object(NOUN, &self.backup_id, "metadata", self.metadata)?;
        Ok(Backup {
            project_id: ProjectId::from(self.project_id),
            backup_id: BackupId::from(self.backup_id),
            user_id: UserId::from(self.user_id),
            job_id: self.job_id.map(JobId::from),
            status,
            status_is_explicit: self.status_is_explicit,
            metadata,
            created_at: Timestamp(self.created_at),
        })
    }
}

/// The rows of one list.
struct Listed<'t> {
    tx: &'t mut Tx,
    project: &'t ProjectId,
    filter: &'t BackupFilter,
}

type Query<'q> = IntoBoxed<'q, backups::table, <AnyConnection as Connection>::Backend>;

fn query<'q>(project: &'q ProjectId, filter: &'q BackupFilter, cut: &'q Cut<'_>) -> Query<'q> {
    let mut query = backups::table.into_boxed().filter(backups::project_id.eq(project.as_str()));
    if let Some(id) = &filter.backup_id {
        query = query.filter(backups::backup_id.eq(id.as_str()));
    }
    if let Some(job) = &filter.job_id {
        query = query.filter(backups::job_id.eq(job.as_str()));
    }
    if let Some(status) = filter.status {
        query = query.filter(backups::status.eq(status.as_str()));
    }
    if let Some(container) = &filter.container {
        query = query.filter(backups::container.eq(container.as_str()));
    }
    if let Some(hostname) = &filter.hostname {
        query = query.filter(backups::hostname.eq(hostname.as_str()));
    }
    if !filter.hostnames.is_empty() {
        query = query.filter(backups::hostname.eq_any(&filter.hostnames));
    }
    if let Some(name) = &filter.backup_name {
        query = query.filter(backups::backup_name.eq(name.as_str()));
    }
    if !filter.backup_names.is_empty() {
        query = query.filter(backups::backup_name.eq_any(&filter.backup_names));
    }
    if let Some(after) = filter.time_after {
        query = query.filter(backups::time_stamp.ge(after));
    }
    if let Some(before) = filter.time_before {
        query = query.filter(backups::time_stamp.le(before));
    }
    if let Some(last) = cut.after {
        let (at, id) = (last.created_at, last.id.as_str());
        query = query
            .filter(backups::created_at.gt(at).or(backups::created_at.eq(at).and(backups::backup_id.gt(id))));
    }
    query.order((backups::created_at, backups::backup_id)).offset(cut.offset).limit(cut.limit)
}

impl Rows for Listed<'_> {
    type Row = BackupRow;
    type Item = ShownBackup;

    fn weigh(&mut self, cut: &Cut<'_>) -> Result<Vec<i64>, DbError> {
        let query = query(self.project, self.filter, cut).select(sql::<BigInt>("LENGTH(metadata)"));
        self.tx.run(NOUN, "", |conn| query.load(conn))
    }

    fn cut(&mut self, cut: &Cut<'_>) -> Result<Vec<BackupRow>, DbError> {
        let query = query(self.project, self.filter, cut).select(BackupRow::as_select());
        self.tx.run(NOUN, "", |conn| query.load(conn))
    }

    fn place(row: &BackupRow) -> Place {
        Place { created_at: row.created_at, id: row.backup_id.clone(), project: row.project_id.clone() }
    }

    fn read(row: BackupRow) -> Result<ShownBackup, DbError> {
        row.into_model()
    }
}

impl Backups<'_> {
    pub fn get(&mut self, project: &ProjectId, id: &BackupId) -> Result<Option<Backup>, DbError> {
        let row = self.tx.run(NOUN, id.as_str(), |conn| {
            backups::table
                .find((project.as_str(), id.as_str()))
                .select(BackupRow::as_select())
                .first(conn)
                .optional()
        })?;
        row.map(BackupRow::into_model).transpose()
    }

    /// As [`Self::get`], and keeps others from changing the row until the transaction ends.
    pub fn get_for_update(&mut self, project: &ProjectId, id: &BackupId) -> Result<Option<Backup>, DbError> {
        macro_rules! one {
            () => {
                backups::table.find((project.as_str(), id.as_str())).select(BackupRow::as_select())
            };
        }
        let row = self.tx.run(NOUN, id.as_str(), |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => one!().for_update().first(mysql).optional(),
            AnyConnection::Sqlite(sqlite) => one!().first(sqlite).optional(),
        })?;
        row.map(BackupRow::into_model).transpose()
    }

    /// Those of the records that exist, kept from others until the transaction ends.
    pub fn find_for_update(&mut self, project: &ProjectId, ids: &[BackupId]) -> Result<Vec<Backup>, DbError> {
        let mut found = Vec::new();
        for ids in ids.chunks(ROWS_IN_ONE_STATEMENT) {
            let texts: Vec<&str> = ids.iter().map(BackupId::as_str).collect();
            macro_rules! those {
                () => {
                    backups::table
                        .filter(backups::project_id.eq(project.as_str()))
                        .filter(backups::backup_id.eq_any(&texts))
                        .order(backups::backup_id)
                        .select(BackupRow::as_select())
                };
            }
            let rows: Vec<BackupRow> = self.tx.run(NOUN, "", |conn| match conn {
                #[cfg(feature = "mysql")]
                AnyConnection::Mysql(mysql) => those!().for_update().load(mysql),
                AnyConnection::Sqlite(sqlite) => those!().load(sqlite),
            })?;
            found.extend(rows.into_iter().map(BackupRow::into_model).collect::<Result<Vec<Backup>, _>>()?);
        }
        Ok(found)
    }

    /// Those of the ids that records of the project have.
    pub fn which_exist(
        &mut self,
        project: &ProjectId,
        ids: &[BackupId],
    ) -> Result<HashSet<BackupId>, DbError> {
        let mut found = HashSet::new();
        for ids in ids.chunks(IDS_IN_ONE_STATEMENT) {
            let texts: Vec<&str> = ids.iter().map(BackupId::as_str).collect();
            let rows: Vec<String> = self.tx.run(NOUN, "", |conn| {
                backups::table
                    .filter(backups::project_id.eq(project.as_str()))
                    .filter(backups::backup_id.eq_any(texts))
                    .select(backups::backup_id)
                    .load(conn)
            })?;
            found.extend(rows.into_iter().map(BackupId::from));
        }
        Ok(found)
    }

    /// Oldest first. One statement, or one for each 1000 rows looked at with a residual condition.
    pub fn list(
        &mut self,
        project: &ProjectId,
        filter: &BackupFilter,
        residual: Residual<'_, Backup>,
        page: Page,
    ) -> Result<Vec<Backup>, DbError> {
        collect(page, residual, |cut| {
            Ok(Piece::of(self.cut(project, filter, &cut)?, Listed::place, BackupRow::into_model))
        })
    }

    /// Reads the next piece of a list; see [`Cursor`].
    pub fn advance<E: From<DbError>>(
        &mut self,
        project: &ProjectId,
        filter: &BackupFilter,
        residual: Residual<'_, ShownBackup>,
        cursor: &mut Cursor,
        take: &mut dyn FnMut(ShownBackup) -> Result<(), E>,
    ) -> Result<(), E> {
        advance(&mut Listed { tx: self.tx, project, filter }, cursor, residual, take)
    }

    fn cut(
        &mut self,
        project: &ProjectId,
        filter: &BackupFilter,
        cut: &Cut<'_>,
    ) -> Result<Vec<BackupRow>, DbError> {
        Listed { tx: self.tx, project, filter }.cut(cut)
    }

    /// [`DbError::Conflict`] when the id is taken in this project.
    pub fn insert(&mut self, backup: &Backup) -> Result<(), DbError> {
        let row = BackupRow::of(backup)?;
        self.tx.run(NOUN, backup.backup_id.as_str(), |conn| {
            diesel::insert_into(backups::table).values(row).execute(conn)
        })?;
        Ok(())
    }

    /// Several at once. Check each with [`Self::check`] before: one that does not fit undoes all.
    pub fn insert_many(&mut self, backups: &[Backup]) -> Result<(), DbError> {
        for backups in backups.chunks(ROWS_IN_ONE_STATEMENT) {
            let rows: Vec<BackupRow> = backups.iter().map(BackupRow::of).collect::<Result<_, _>>()?;
            let rows = rows.as_slice();
            self.tx.run(NOUN, "", |conn| match conn {
                #[cfg(feature = "mysql")]
                AnyConnection::Mysql(mysql) => {
                    diesel::insert_into(backups::table).values(rows).execute(mysql)
                }
                AnyConnection::Sqlite(sqlite) => rows.iter().try_fold(0, |sum, row| {
                    Ok(sum + diesel::insert_into(backups::table).values(row).execute(sqlite)?)
                }),
            })?;
        }
        Ok(())
    }

    /// Whether the database can hold the record.
    pub fn check(backup: &Backup) -> Result<(), DbError> {
        BackupRow::of(backup).map(drop)
    }

    /// Writes all fields of a record that exists.
    pub fn save(&mut self, backup: &Backup) -> Result<(), DbError> {
        let row = BackupRow::of(backup)?;
        let (project, id) = (row.project_id.clone(), row.backup_id.clone());
        let changed = self.tx.run(NOUN, &id, |conn| {
            diesel::update(backups::table.find((project, id.as_str()))).set(row).execute(conn)
        })?;
        if changed == 0 {
            return Err(DbError::Missing { noun: NOUN, id });
        }
        Ok(())
    }

    /// Removes the record (never the data). Returns whether it was there.
    pub fn delete(&mut self, project: &ProjectId, id: &BackupId) -> Result<bool, DbError> {
        let deleted = self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::delete(backups::table.find((project.as_str(), id.as_str()))).execute(conn)
        })?;
        Ok(deleted > 0)
    }

    /// As [`Self::delete`] for several; returns how many were there.
    pub fn delete_many(&mut self, project: &ProjectId, ids: &[BackupId]) -> Result<usize, DbError> {
        let mut deleted = 0;
        for ids in ids.chunks(IDS_IN_ONE_STATEMENT) {
            let texts: Vec<&str> = ids.iter().map(BackupId::as_str).collect();
            let those = backups::table
                .filter(backups::project_id.eq(project.as_str()))
                .filter(backups::backup_id.eq_any(texts));
            deleted += self.tx.run(NOUN, "", |conn| diesel::delete(those).execute(conn))?;
        }
        Ok(deleted)
    }
}
