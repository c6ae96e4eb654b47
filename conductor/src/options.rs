//! `[conductor]`, and what else the program `freezer-conductor` reads.

use crate::webhook::WebhookOptions;
use freezer_model::{JobResult, Limits};
use oslo_config::{Config, Opt, OptGroup, Registry};
use oslo_messaging::{NotifierDriver, NotifierOptions, Transport};
use std::time::Duration;

/// The conductor's own options.
#[derive(Clone, Debug)]
pub struct ConductorOptions {
    /// Name of this process on the bus; different for each conductor.
    pub host: String,
    /// Longest time between two looks at the database.
    pub poll_interval: Duration,
    /// How often agents send a heartbeat.
    pub heartbeat: Duration,
    /// Silence after which the holder of a step counts as lost.
    pub lease: Duration,
    /// How often a run may lose its agent before it fails.
    pub max_losses: i32,
    /// How long a run waits for an agent that is not connected.
    pub offline_timeout: Duration,
    /// `job_schedule.result` of a run that ended as partial.
    pub partial_result: JobResult,
    /// Steps at one agent at a time; `None`: as many as the agent says.
    pub max_steps_per_agent: Option<i64>,
    /// Runs at work on one storage at a time; `None`: no limit.
    pub max_runs_per_storage: Option<i64>,
    /// What one project may have of a storage's or a central agent's slots, in percent.
    pub largest_share: i64,
    /// What a project may use unless its own quota says otherwise.
    pub quota: Limits,
    /// How long the database may take for one piece of work before it counts as gone.
    pub database_timeout: Duration,
    /// `[oslo_messaging_notifications]`: where events about backups go.
    pub notifications: NotifierOptions,
    /// The bus for them; `None`: the one for everything else.
    pub notification_bus: Option<Transport>,
    /// CADF events of restores and deletions beside them.
    pub audit: bool,
    pub webhook: WebhookOptions,
    pub metrics_bind_host: String,
    /// `None`: no metrics. Port 0 here means any free port.
    pub metrics_bind_port: Option<u16>,
}

impl Default for ConductorOptions {
    fn default() -> Self {
        Self {
            host: format!("{}-{}", hostname(), uuid::Uuid::new_v4().simple()),
            poll_interval: Duration::from_secs(1),
            heartbeat: Duration::from_secs(15),
            lease: Duration::from_secs(60),
            max_losses: 2,
            offline_timeout: Duration::from_secs(3600),
            partial_result: JobResult::Fail,
            max_steps_per_agent: None,
            max_runs_per_storage: None,
            largest_share: 75,
            quota: Limits::default(),
            database_timeout: Duration::from_secs(30),
            notifications: NotifierOptions::default(),
            notification_bus: None,
            audit: false,
            webhook: WebhookOptions::default(),
            metrics_bind_host: "127.0.0.1".to_owned(),
            metrics_bind_port: None,
        }
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "conductor".to_owned())
}

const GROUP: &str = "conductor";

/// The group `[conductor]`.
pub fn options() -> Vec<OptGroup> {
    let opts = vec![
        Opt::str("host").sample_default("<host name>-<random>").help("Name of this process on the bus; no two conductors may share one."),
        Opt::float("poll_interval").default("1").min(0.05).max(3600).help("Seconds between two looks at the database when nobody asks for one: a conductor takes over from another that died at its next look."),
        Opt::int("heartbeat_interval").default("15").min(1).max(3600).help("Seconds between two heartbeats of an agent."),
        Opt::int("lease").default("60").min(2).max(86_400).help(
            "Seconds of silence after which the agent that does a step counts as lost; several heartbeats long.",
        ),
        Opt::int("max_losses").default("2").min(0).max(1000).help("How often a run may lose its agent and be begun again before it fails."),
        Opt::int("offline_timeout").default("3600").min(0).help("Seconds that a run waits for an agent that is not connected before it fails."),
        Opt::str("partial_result").default("fail").choices(&["fail", "success"]).help(
            "What a job's result says when not everything could be saved. The run itself always says \"partial\".",
        ),
        Opt::int("max_steps_per_agent").default("0").min(0).max(100_000).help(
            "Steps that one agent is given at a time, however many it says it can do; 0: as many as it says.",
        ),
        Opt::int("max_runs_per_storage").default("0").min(0).max(1_000_000).help(
            "Runs at work at a time on one storage (the cloud's Swift, one SSH or FTP server, one S3 endpoint); 0: no limit.",
        ),
        Opt::int("largest_share").default("75").min(1).max(100).help(
            "Most of a storage's or a central agent's places, in percent, that one project may take, however much it has to do.",
        ),
        Opt::int("database_timeout").default("30").min(1).max(3600).help(
            "Seconds without an answer from the database after which this conductor takes no more reports until it is back.",
        ),
        Opt::host_address("metrics_bind_host").default("127.0.0.1").help("Address of /metrics and /healthcheck."),
        Opt::port("metrics_bind_port").default("0").help("Port of /metrics and /healthcheck; 0: not served."),
    ];
    vec![
        freezer_database::quota_options(),
        oslo_messaging::config::notification_options("backups"),
        audit_options(),
        webhook_options(),
        OptGroup::new(GROUP, opts).help("Planning, handing out and supervising runs."),
    ]
}

impl ConductorOptions {
    /// Reads `[conductor]` of a configuration that has [`options`] registered.
    ///
    /// # Errors
    /// When a driver or an address is unknown, or the webhook's secret cannot be read.
    pub fn from_config(config: &Config) -> Result<Self, String> {
        let secs = |name| Duration::from_secs(config.int(GROUP, name).unsigned_abs());
        let default = Self::default();
        Ok(Self {
            host: config
                .opt_str(GROUP, "host")
                .filter(|name| !name.is_empty())
                .map_or(default.host, str::to_owned),
            poll_interval: Duration::from_secs_f64(config.float(GROUP, "poll_interval").clamp(0.05, 3600.0)),
            heartbeat: secs("heartbeat_interval"),
            lease: secs("lease"),
            max_losses: i32::try_from(config.int(GROUP, "max_losses")).unwrap_or(i32::MAX),
            offline_timeout: secs("offline_timeout"),
            partial_result: JobResult::parse(config.str(GROUP, "partial_result")).unwrap_or(JobResult::Fail),
            max_steps_per_agent: Some(config.int(GROUP, "max_steps_per_agent")).filter(|most| *most > 0),
            max_runs_per_storage: Some(config.int(GROUP, "max_runs_per_storage")).filter(|most| *most > 0),
            largest_share: config.int(GROUP, "largest_share"),
            quota: freezer_database::default_limits(config),
            database_timeout: secs("database_timeout"),
            notifications: oslo_messaging::config::notifier_options(config)
                .map_err(|error| format!("[oslo_messaging_notifications] {error}"))?,
            notification_bus: oslo_messaging::config::connect_for_notifications(config)
                .map_err(|error| format!("[oslo_messaging_notifications] transport_url: {error}"))?,
            audit: config.bool("audit", "enabled"),
            webhook: WebhookOptions::from_config(config)?,
            metrics_bind_host: config.str(GROUP, "metrics_bind_host").to_owned(),
            metrics_bind_port: Some(config.port(GROUP, "metrics_bind_port")).filter(|port| *port != 0),
        })
    }

    /// Whether anybody is told of anything over the bus.
    pub(crate) fn announces(&self) -> bool {
        self.notifications.driver != NotifierDriver::Noop
    }
}

fn audit_options() -> OptGroup {
    let opts = vec![Opt::bool("enabled").default("false").help(
        "Also send CADF audit events of reads, restores and deletions; needs [oslo_messaging_notifications] driver.",
    )];
    OptGroup::new("audit", opts).help("Audit events.")
}

fn webhook_options() -> OptGroup {
    let opts = vec![
        Opt::list("urls").secret().default("").help("Addresses that are told by POST when a run failed or did not run; several are separated by commas."),
        Opt::str("secret_file").help("File with the key that bodies are signed with (X-Freezer-Signature)."),
        Opt::int("timeout").default("10").min(1).max(120).help("Seconds that a receiver may take."),
    ];
    OptGroup::new("webhook", opts).help("Webhooks for the operator's own tools.")
}

/// Everything the program reads.
pub fn registry(program: &str) -> Registry {
    Registry::new("freezer", program)
        .groups_of(options())
        .groups_of(oslo_log::options())
        .groups_of(bus_and_database())
}

fn bus_and_database() -> Vec<OptGroup> {
    let bus = Opt::str("transport_url")
        .secret()
        .required()
        .sample_default("rabbit://user:password@host:5672/")
        .help("The bus: rabbit://user:password@host:port/vhost, more hosts separated by commas.");
    vec![
        OptGroup::new("DEFAULT", vec![bus]),
        oslo_messaging::config::rabbit_options(),
        freezer_database::options(),
    ]
}
