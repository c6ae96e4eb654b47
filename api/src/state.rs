//! What all requests of one process share.

use crate::notices::Notices;
use crate::patience::Patience;
use crate::pipeline::health::HealthOptions;
use crate::pipeline::metrics::Metrics;
use crate::policy::Policy;
use crate::room::Room;
use crate::together::Together;
use crate::trusts::Trustees;
use crate::work_signals::WorkSignals;
use freezer_database::Database;
use freezer_model::Clock;
use freezer_model::Limits;
use freezer_model::document::StatusShown;
use std::sync::Arc;
use std::time::Duration;

pub struct ApiState {
    pub db: Database,
    /// How long requests wait for it.
    pub patience: Patience,
    /// What large bodies share.
    pub room: Room,
    /// Where insertions line up for the database.
    pub insertions: Together,
    pub policy: Policy,
    /// The way to the conductors.
    pub notices: Notices,
    /// Agents that wait for work here.
    pub work: WorkSignals,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    /// None without Keystone: then no job acts under a trust.
    pub trusts: Option<Trustees>,
    pub options: ApiOptions,
}

/// Settings of the HTTP side; see [`crate::options`] for where they come from.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    pub bind_host: String,
    pub bind_port: u16,
    /// HTTP worker threads; `None` = one for each core.
    pub workers: Option<usize>,
    /// Largest request body.
    pub max_body_bytes: usize,
    /// A connection without a request is kept this long for the next one.
    pub keep_alive: Duration,
    /// A request's line and headers must be there in this time, or the connection is closed with 408.
    pub head_timeout: Duration,
    /// A request's body must be there in this time.
    pub body_timeout: Duration,
    /// The reader of an answer must take some of it in this time.
    pub send_timeout: Duration,
    /// How long the database may take for one piece of work before it counts as gone.
    pub database_timeout: Duration,
    /// Most items of one list answer.
    pub max_limit: u64,
    pub backup_status: StatusShown,
    /// What a project may use unless its own quota says otherwise.
    pub quota: Limits,
    /// `/metrics` on the API's own port.
    pub serves_metrics: bool,
    /// `/metrics` on a port of its own.
    pub metrics_address: Option<(String, u16)>,
    pub trusts_proxy_headers: bool,
    /// A path prefix under which a proxy hands requests on without taking it off.
    pub url_prefix: String,
    /// Requests that are being worked on when the service is told to stop get this long.
    pub shutdown_timeout: Duration,
    pub health: HealthOptions,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            bind_host: "0.0.0.0".to_owned(),
            bind_port: 9090,
            workers: None,
            max_body_bytes: 1 << 20,
            keep_alive: Duration::from_secs(75),
            head_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            database_timeout: Duration::from_secs(30),
            max_limit: 1000,
            backup_status: StatusShown::default(),
            quota: Limits::default(),
            serves_metrics: false,
            metrics_address: None,
            trusts_proxy_headers: false,
            url_prefix: String::new(),
            shutdown_timeout: Duration::from_secs(30),
            health: HealthOptions {
                backends: vec!["disable_by_file".to_owned()],
                ..HealthOptions::default()
            },
        }
    }
}
