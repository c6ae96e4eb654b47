//! `/metrics` and `/healthcheck` of the agent's daemon.

use crate::daemon::Executor;
use actix_web::{App, HttpResponse, HttpServer, web};
use oslo_config::Config;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use tokio::sync::watch;

struct State {
    greeted: watch::Receiver<bool>,
    executor: Arc<Executor>,
}

/// Serves until aborted; does nothing when the port is 0.
pub fn serve(
    config: &Config,
    greeted: watch::Receiver<bool>,
    executor: Arc<Executor>,
) -> tokio::task::JoinHandle<()> {
    let address =
        (config.str("agent", "metrics_bind_host").to_owned(), config.port("agent", "metrics_bind_port"));
    if address.1 == 0 {
        return tokio::spawn(async {});
    }
    let state = web::Data::new(State { greeted, executor });
    let app = move || {
        App::new()
            .app_data(state.clone())
            .route("/metrics", web::get().to(metrics))
            .route("/healthcheck", web::get().to(healthcheck))
    };
    let server = match HttpServer::new(app).workers(1).disable_signals().bind(address.clone()) {
        Ok(bound) => bound.run(),
        Err(error) => {
            tracing::error!("metrics: cannot listen on {}:{}: {error}", address.0, address.1);
            return tokio::spawn(async {});
        }
    };
    tokio::spawn(async move {
        let _ = server.await;
    })
}

async fn metrics(state: web::Data<State>) -> HttpResponse {
    let mut registry = Registry::with_prefix("freezer_agent");
    let steps = Gauge::<i64>::default();
    steps.set(i64::try_from(state.executor.running()).unwrap_or(i64::MAX));
    registry.register("steps_held", "Steps that run, wait for a slot, or are not reported yet", steps);
    let connected = Gauge::<i64>::default();
    connected.set(i64::from(*state.greeted.borrow()));
    registry.register("conductor_answers", "1 while a conductor answers", connected);
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => HttpResponse::Ok()
            .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
            .body(text),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

async fn healthcheck(state: web::Data<State>) -> HttpResponse {
    if *state.greeted.borrow() {
        HttpResponse::Ok().content_type("text/plain; charset=UTF-8").body("OK")
    } else {
        HttpResponse::ServiceUnavailable()
            .content_type("text/plain; charset=UTF-8")
            .body("NO CONDUCTOR ANSWERS")
    }
}
