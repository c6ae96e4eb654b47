//! Numbers for Prometheus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct StateLabel {
    pub state: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct JobLabel {
    pub project_id: String,
    pub job_id: String,
}

/// The metrics of one conductor. What concerns all conductors (runs, ages, due jobs) is read from the database when
/// somebody asks.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) runs: Family<StateLabel, Gauge>,
    pub(crate) due_jobs: Gauge,
    pub(crate) last_success_age: Family<JobLabel, Gauge>,
    dispatch_latency: Histogram,
    set_aside: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            runs: Family::default(),
            due_jobs: Gauge::default(),
            last_success_age: Family::default(),
            dispatch_latency: Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 3600.0]),
            set_aside: Counter::default(),
        }
    }
}

impl Metrics {
    /// A step was handed out this long after it was ready.
    pub(crate) fn dispatched(&self, latency: Duration) {
        self.dispatch_latency.observe(latency.as_secs_f64());
    }

    /// So many rows could not be worked on and were postponed.
    pub(crate) fn set_aside(&self, count: u64) {
        self.set_aside.inc_by(count);
    }

    /// All of them, under their names.
    pub(crate) fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("freezer_conductor");
        registry.register("runs", "Runs that are not over, by state", self.runs.clone());
        registry.register(
            "due_jobs",
            "Jobs whose time has come and that no conductor has looked at",
            self.due_jobs.clone(),
        );
        registry.register_with_unit(
            "last_success_age",
            "Time since the job's last run that ended as success",
            Unit::Seconds,
            self.last_success_age.clone(),
        );
        registry.register_with_unit(
            "dispatch_latency",
            "Time from when a step was ready to when it was handed out",
            Unit::Seconds,
            self.dispatch_latency.clone(),
        );
        registry.register(
            "rows_set_aside",
            "Jobs and runs that this version cannot read and has postponed; the log names them",
            self.set_aside.clone(),
        );
        registry
    }
}
