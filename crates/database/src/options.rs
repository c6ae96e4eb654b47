//! The groups `[database]` and `[quota]` of a configuration file: declared for samples and checks, read into
//! [`DatabaseOptions`] and [`Limits`].

use crate::DatabaseOptions;
use freezer_model::Limits;
use freezer_model::quota::limit;
use oslo_config::{Config, Opt, OptGroup};
use std::time::Duration;

const GROUP: &str = "database";
const QUOTA: &str = "quota";

/// The options of oslo.db that have an effect here.
pub fn options() -> OptGroup {
    OptGroup::new(
        GROUP,
        vec![
            Opt::str("connection").secret().required().sample_default("mysql+pymysql://freezer:password@host/freezer?charset=utf8").help(
                "The database: mysql+pymysql://user:password@host:port/database, or sqlite:///path for one machine.",
            ),
            Opt::int("max_pool_size").default("5").min(1).max(10_000).help("Connections kept open."),
            Opt::int("max_overflow").default("50").min(0).max(10_000).help("Connections beyond max_pool_size at peaks."),
            Opt::int("pool_timeout").default("30").min(1).help("Seconds to wait for a free connection."),
            Opt::int("max_retries").default("10").min(-1).help("Attempts to reach the database at start after the first one; -1: for ever."),
            Opt::int("retry_interval").default("10").min(0).help("Seconds between those attempts."),
            Opt::int("db_max_retries").default("20").min(0).help("How often a transaction that lost a deadlock is run again."),
        ],
    )
}

impl DatabaseOptions {
    /// Reads `[database]` of a configuration that has [`options`] registered.
    pub fn from_config(config: &Config) -> Self {
        let count = |name| u32::try_from(config.int(GROUP, name)).unwrap_or(u32::MAX);
        let secs = |name| Duration::from_secs(config.int(GROUP, name).unsigned_abs());
        Self {
            max_pool_size: count("max_pool_size"),
            max_overflow: count("max_overflow"),
            pool_timeout: secs("pool_timeout"),
            max_retries: i32::try_from(config.int(GROUP, "max_retries")).unwrap_or(i32::MAX),
            retry_interval: secs("retry_interval"),
            deadlock_retries: count("db_max_retries"),
            ..Self::new(config.str(GROUP, "connection"))
        }
    }
}

/// `[quota]`: what a project may use unless its own quota says otherwise.
pub fn quota_options() -> OptGroup {
    let opts = vec![
        Opt::int("jobs").default("-1").min(-1).help("Jobs of a project; -1: no limit."),
        Opt::int("runs").default("-1").min(-1).help("Runs of a project that are at work at a time; further ones wait. -1: no limit."),
        Opt::int("stored_bytes").default("-1").min(-1).help(
            "Bytes that a project's backup records say are stored; at this size no new backup begins. -1: no limit.",
        ),
    ];
    OptGroup::new(QUOTA, opts).help(
        "Limits of projects that have none of their own; freezer-api and freezer-conductor read the same.",
    )
}

/// Reads `[quota]` of a configuration that has [`quota_options`] registered.
pub fn default_limits(config: &Config) -> Limits {
    let read = |name| limit(config.int(QUOTA, name));
    Limits { jobs: read("jobs"), runs: read("runs"), stored_bytes: read("stored_bytes") }
}
