//! `freezer-manage import`: takes over the database of Freezer in Python.
//!
//! One snapshot is read and everything is written in one transaction, so an import that fails leaves nothing, and a dry run is the
//! import itself, undone. What is there already stays as it is, and what was taken
//! once and deleted here since stays deleted: a second run changes nothing. A row that cannot be kept is named
//! with the reason, and the others are taken all the same.

mod convert;
mod report;
mod take;

pub use report::Partial;

use clap::Args;
use freezer_database::upstream::Upstream;
use freezer_database::{Database, DatabaseOptions, DbError};
use oslo_config::Config;
use report::Report;
use std::error::Error;
use std::io::Write;

const VARIABLE: &str = "FREEZER_IMPORT_CONNECTION";

#[derive(Args)]
pub struct Command {
    /// Only print what would be imported
    #[arg(long)]
    dry_run: bool,
}

/// Ends a transaction that must not be kept.
enum Undone {
    DryRun(Report),
    Failed(DbError),
}

impl From<DbError> for Undone {
    fn from(error: DbError) -> Self {
        Self::Failed(error)
    }
}

pub fn run(command: &Command, config: &Config, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let source = std::env::var(VARIABLE).ok().filter(|url| !url.is_empty());
    let source = source.or_else(|| config.opt_str("import", "connection").map(str::to_owned)).ok_or(format!(
        "no database to import from: set [import] connection in the configuration file, or the variable {VARIABLE}"
    ))?;
    let db = Database::connect(&DatabaseOptions::from_config(config))?;
    if let Some(trouble) = db.version()?.trouble() {
        return Err(format!("our own database: {trouble}").into());
    }
    let mut upstream =
        Upstream::open(&source, &db).map_err(|error| format!("the database to import from: {error}"))?;
    let outcome = db.transaction(|tx| {
        let report = take::everything(&mut upstream, tx)?;
        if command.dry_run { Err(Undone::DryRun(report)) } else { Ok(report) }
    });
    let report = match outcome {
        Ok(report) | Err(Undone::DryRun(report)) => report,
        Err(Undone::Failed(error)) => return Err(format!("{error}; nothing was imported").into()),
    };
    report.print(command.dry_run, out)?;
    report.verdict().map_err(Into::into)
}
