//! `[conductor]`, and what else the program `freezer-conductor` reads.

use freezer_model::JobResult;
use oslo_config::{Config, Opt, OptGroup, Registry};
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
    pub metrics_bind_host: String,
    /// `None`: no metrics. Port 0 here means any free port.
    pub metrics_bind_port: Option<u16>,
}

impl Default for ConductorOptions {
    fn default() -> Self {
        Self {
            host: format!("{}-{}", hostname(), uuid::Uuid::new_v4().simple()),
            poll_interval: Duration::from_secs(5),
            heartbeat: Duration::from_secs(15),
            lease: Duration::from_secs(60),
            max_losses: 2,
            offline_timeout: Duration::from_secs(3600),
            partial_result: JobResult::Fail,
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
        Opt::float("poll_interval").default("5").min(0.05).max(3600).help("Seconds between two looks at the database when nobody asks for one."),
        Opt::int("heartbeat_interval").default("15").min(1).max(3600).help("Seconds between two heartbeats of an agent."),
        Opt::int("lease").default("60").min(2).max(86_400).help(
            "Seconds of silence after which the agent that does a step counts as lost; several heartbeats long.",
        ),
        Opt::int("max_losses").default("2").min(0).max(1000).help("How often a run may lose its agent and be begun again before it fails."),
        Opt::int("offline_timeout").default("3600").min(0).help("Seconds that a run waits for an agent that is not connected before it fails."),
        Opt::str("partial_result").default("fail").choices(&["fail", "success"]).help(
            "What a job's result says when not everything could be saved. The run itself always says \"partial\".",
        ),
        Opt::host_address("metrics_bind_host").default("127.0.0.1").help("Address of /metrics and /healthcheck."),
        Opt::port("metrics_bind_port").default("0").help("Port of /metrics and /healthcheck; 0: not served."),
    ];
    vec![OptGroup::new(GROUP, opts).help("Planning, handing out and supervising runs.")]
}

impl ConductorOptions {
    /// Reads `[conductor]` of a configuration that has [`options`] registered.
    pub fn from_config(config: &Config) -> Self {
        let secs = |name| Duration::from_secs(config.int(GROUP, name).unsigned_abs());
        let default = Self::default();
        Self {
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
            metrics_bind_host: config.str(GROUP, "metrics_bind_host").to_owned(),
            metrics_bind_port: Some(config.port(GROUP, "metrics_bind_port")).filter(|port| *port != 0),
        }
    }
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
