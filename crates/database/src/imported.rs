//! What an import has taken over once. Rows that were deleted here since stay deleted.

use crate::connect::AnyConnection;
use crate::limits::{self, fits};
use crate::schema::imported;
use crate::{DbError, Tx};
use diesel::prelude::*;
use freezer_model::ProjectId;

/// Repository of one transaction; see [`Tx::imported`].
pub struct Imported<'t> {
    pub(crate) tx: &'t mut Tx,
}

impl Imported<'_> {
    /// `noun` is one of the service's: at most 16 characters.
    pub fn contains(&mut self, noun: &'static str, project: &ProjectId, id: &str) -> Result<bool, DbError> {
        let found: i64 = self.tx.run(noun, id, |conn| {
            imported::table.find((noun, project.as_str(), id)).count().get_result(conn)
        })?;
        Ok(found > 0)
    }

    /// Notes it; once noted is noted for good.
    pub fn note(&mut self, noun: &'static str, project: &ProjectId, id: &str) -> Result<(), DbError> {
        fits("project_id", project.as_str(), limits::PROJECT_ID)?;
        fits("id", id, limits::CLIENT_ID)?;
        let row = (imported::noun.eq(noun), imported::project_id.eq(project.as_str()), imported::id.eq(id));
        self.tx.run(noun, id, |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => {
                diesel::insert_or_ignore_into(imported::table).values(row).execute(mysql)
            }
            AnyConnection::Sqlite(sqlite) => {
                diesel::insert_or_ignore_into(imported::table).values(row).execute(sqlite)
            }
        })?;
        Ok(())
    }
}
