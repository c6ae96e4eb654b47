//! `/metrics` and `/healthcheck`.

use crate::ConductorError;
use crate::desk::Desk;
use crate::metrics::{JobLabel, StateLabel};
use actix_web::dev::ServerHandle;
use actix_web::http::header::ContentType;
use actix_web::{App, HttpResponse, HttpServer, web};
use freezer_database::DbError;
use std::net::SocketAddr;
use std::sync::Arc;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A running HTTP server for the operator's monitoring.
pub(crate) struct MetricsServer {
    address: SocketAddr,
    handle: ServerHandle,
}

impl MetricsServer {
    /// Serves on the configured port; `None` when none is.
    pub(crate) async fn start(desk: &Arc<Desk>) -> Result<Option<Self>, ConductorError> {
        let Some(port) = desk.options.metrics_bind_port else { return Ok(None) };
        let place = (desk.options.metrics_bind_host.clone(), port);
        let refuse = |cause| ConductorError::Metrics { address: format!("{}:{}", place.0, place.1), cause };
        let data = web::Data::from(desk.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .route("/metrics", web::get().to(metrics))
                .route("/healthcheck", web::get().to(health))
        })
        .workers(1)
        .disable_signals()
        .bind(&place)
        .map_err(refuse)?;
        let address = server.addrs().first().copied();
        let address = address.ok_or_else(|| refuse(std::io::Error::other("no address was bound")))?;
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Some(Self { address, handle }))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn stop(self) {
        self.handle.stop(true).await;
    }
}

async fn metrics(desk: web::Data<Desk>) -> HttpResponse {
    let desk = desk.into_inner();
    let gathered = web::block({
        let desk = desk.clone();
        move || gather(&desk)
    })
    .await;
    match gathered {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return HttpResponse::ServiceUnavailable().body(format!("{error}\n")),
        Err(error) => return HttpResponse::InternalServerError().body(format!("{error}\n")),
    }
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &desk.metrics.registry()) {
        Ok(()) => HttpResponse::Ok().content_type(OPEN_METRICS).body(text),
        Err(error) => HttpResponse::InternalServerError().body(format!("{error}\n")),
    }
}

/// Reads from the database what it alone knows.
fn gather(desk: &Desk) -> Result<(), DbError> {
    let now = desk.clock.now();
    let (states, due, successes) = desk.db.read(|tx| {
        Ok::<_, DbError>((tx.runs().count_active()?, tx.jobs().count_due(now)?, tx.runs().last_successes()?))
    })?;
    for (state, count) in states {
        desk.metrics.runs.get_or_create(&StateLabel { state: state.as_str().to_owned() }).set(count);
    }
    desk.metrics.due_jobs.set(due);
    // Jobs that were deleted must not stay.
    desk.metrics.last_success_age.clear();
    for (project, job, at) in successes {
        let label = JobLabel { project_id: project.into_string(), job_id: job.into_string() };
        let age = i64::try_from(now.since(at).as_secs()).unwrap_or(i64::MAX);
        desk.metrics.last_success_age.get_or_create(&label).set(age);
    }
    Ok(())
}

/// Well when the database answers and the bus is there.
async fn health(desk: web::Data<Desk>) -> HttpResponse {
    let desk = desk.into_inner();
    let is_connected = desk.transport.is_connected();
    let database = web::block(move || desk.db.ping()).await;
    let problem = match database {
        Ok(Ok(())) if is_connected => {
            return HttpResponse::Ok().content_type(ContentType::plaintext()).body("OK\n");
        }
        Ok(Ok(())) => "the message bus is not connected".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    HttpResponse::ServiceUnavailable().content_type(ContentType::plaintext()).body(format!("{problem}\n"))
}
