//! Prometheus metrics: requests by route, method and status, and how long they took.
//!
//! Routes are templates, never paths: ids would make a series each.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, web};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    route: String,
    method: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Asked {
    route: String,
    method: String,
}

/// The counters of one API process.
pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    seconds: Family<Asked, Histogram, fn() -> Histogram>,
    open: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("freezer_api");
        let requests = Family::default();
        let seconds: Family<Asked, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(SECONDS));
        let open = Gauge::default();
        registry.register("requests", "Requests answered", requests.clone());
        registry.register("request_duration_seconds", "Time from head to answer", seconds.clone());
        registry.register("requests_in_progress", "Requests being worked on", open.clone());
        Self { registry, requests, seconds, open }
    }
}

impl Metrics {
    /// Counts a request as begun until the guard is dropped.
    pub fn begin(&self) -> InProgress {
        self.open.inc();
        InProgress(self.open.clone())
    }

    pub fn answered(&self, route: &str, method: &str, status: u16, took: Duration) {
        let (route, method) = (route.to_owned(), method.to_owned());
        self.requests.get_or_create(&Answered { route: route.clone(), method: method.clone(), status }).inc();
        self.seconds.get_or_create(&Asked { route, method }).observe(took.as_secs_f64());
    }

    /// Shows how many events were lost.
    pub fn show_lost_events(&mut self, count: Counter) {
        let text = "Notifications and audit events that were not sent: too many under way, or the bus away";
        self.registry.register("events_lost", text, count);
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

/// A request between its head and its answer; also one whose client went away counts down.
pub struct InProgress(Gauge);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// GET /metrics
pub async fn show(state: web::Data<crate::state::ApiState>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8"))
        .body(state.metrics.text())
}
