//! `freezer-manage db …`

use clap::Subcommand;
use freezer_database::{Database, DatabaseOptions};
use freezer_model::{Clock, SystemClock, Timestamp};
use std::error::Error;
use std::io::Write;

const DAY_SECS: i64 = 24 * 60 * 60;

#[derive(Subcommand)]
pub enum Command {
    /// Create the schema or bring it up to date
    #[command(alias = "update")]
    Sync,
    /// Print the schema's version and what is missing
    Version,
    /// Print the names of the database's tables as JSON
    Show,
    /// Remove every table of Freezer with all that is in it: jobs, sessions, records of backups. Backups stay on their storages.
    Remove {
        /// Only print what would be removed
        #[arg(long, visible_alias = "dry-run", conflicts_with = "yes")]
        plan: bool,
        /// Remove it. Stop the services before.
        #[arg(long)]
        yes: bool,
    },
    /// Delete old rows for good: runs that ended, and backup records marked as deleted. Never backup data.
    Purge {
        /// Only what is older than this
        #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..))]
        older_than_days: u32,
        /// Only print what would be deleted
        #[arg(long)]
        dry_run: bool,
    },
}

pub fn run(command: Command, options: &DatabaseOptions, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let db = Database::connect(options)?;
    match command {
        Command::Sync => sync(&db, out),
        Command::Version => version(&db, out),
        Command::Show => Ok(writeln!(out, "{}", serde_json::to_string(&db.tables()?)?)?),
        Command::Remove { plan, yes } => remove(&db, plan, yes, out),
        Command::Purge { older_than_days, dry_run } => {
            let secs = i64::from(older_than_days).saturating_mul(DAY_SECS);
            let older_than = Timestamp::from_secs(SystemClock.now().secs().saturating_sub(secs));
            purge(&db, older_than, dry_run, out)
        }
    }
}

fn sync(db: &Database, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let done = db.sync()?;
    if done.is_empty() {
        writeln!(out, "The schema is up to date.")?;
    }
    for migration in done {
        writeln!(out, "done: {migration}")?;
    }
    Ok(())
}

fn version(db: &Database, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let version = db.version()?;
    writeln!(out, "{}", version.newest.as_deref().unwrap_or("empty"))?;
    for migration in version.pending {
        writeln!(out, "missing: {migration} (run: freezer-manage db sync)")?;
    }
    for migration in version.unknown {
        writeln!(out, "unknown: {migration} (a newer program has been here: upgrade this one)")?;
    }
    Ok(())
}

/// Nothing is removed without a word more than the command itself: nothing brings the rows back but a dump.
fn remove(db: &Database, is_plan: bool, is_sure: bool, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let tables = db.removal_plan()?;
    if tables.is_empty() {
        let none = "nothing is removed: no finished `db sync` is recorded in this database, so that its tables, if there are any, are \
                    another's (Freezer in Python has some of the same names)";
        writeln!(out, "{none}")?;
        return Ok(());
    }
    if is_sure {
        for table in db.remove_tables()? {
            writeln!(out, "removed: {table}")?;
        }
        return Ok(());
    }
    for (table, rows) in tables {
        writeln!(out, "would remove: {table}, {rows} rows")?;
    }
    if is_plan {
        return Ok(());
    }
    Err("nothing was removed: look at the tables above, stop the services, make a dump, and say --yes".into())
}

fn purge(
    db: &Database,
    older_than: Timestamp,
    is_dry: bool,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    let plan = if is_dry { db.purge_plan(older_than)? } else { db.purge(older_than)? };
    let verb = if is_dry { "would delete" } else { "deleted" };
    writeln!(out, "{verb}: {} runs, {} backup records", plan.runs, plan.backups)?;
    Ok(())
}
