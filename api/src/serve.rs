//! The application and its server, for the binary and for the process that runs all services.

use crate::notices::Notices;
use crate::patience::Patience;
use crate::pipeline::{accept, announce, front, health, metrics};
use crate::policy::Policy;
use crate::room::Room;
use crate::state::{ApiOptions, ApiState};
use crate::together::Together;
use crate::trusts::Trustees;
use crate::work_signals::WorkSignals;
use crate::{routes, versions};
use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer, web};
use freezer_database::Database;
use freezer_model::Clock;
use keystone::AuthToken;
use oslo_messaging::Transport;
use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a caller still sends after its answer, because nobody reads the body of a call that is refused, is thrown away for so long
/// at most: a connection that is closed under a sender loses the answer.
const LINGER_MAX: Duration = Duration::from_secs(10);
/// The library reckons from a clock that it reads twice a second, and misses the end of what is shorter than that.
const LINGER_MIN: Duration = Duration::from_secs(1);

/// What the service is made of; everything else it makes itself.
pub struct ApiParts {
    pub db: Database,
    pub policy: Policy,
    pub notices: Notices,
    pub clock: Arc<dyn Clock>,
    pub auth: AuthToken,
    /// For jobs of central clients; none without Keystone.
    pub trusts: Option<Trustees>,
    pub options: ApiOptions,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(
        "cannot listen on {address}: {source}; is the port taken, or [DEFAULT] bind_host not of this machine?"
    )]
    Bind { address: String, source: std::io::Error },
    #[error("the HTTP server failed: {0}")]
    Run(#[from] std::io::Error),
}

/// The project in a path of this API, for `auth_strategy = noauth`.
pub fn project_of_path(path: &str) -> Option<String> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    parts.find(|part| *part == "v2")?;
    parts.next().map(str::to_owned)
}

/// The whole application; one for each worker, over one shared state.
pub fn app(
    state: web::Data<ApiState>,
    auth: AuthToken,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let serves_metrics = state.options.serves_metrics;
    App::new()
        .app_data(state)
        .service(web::resource("/").to(versions::root))
        .service(web::scope("/healthcheck").default_service(web::route().to(health::health)))
        .configure(move |app| {
            if serves_metrics {
                app.service(web::resource("/metrics").route(web::get().to(metrics::show)));
            }
        })
        .service(
            web::scope("")
                .wrap(from_fn(announce::around))
                .wrap(from_fn(accept::check))
                .wrap(auth)
                .configure(routes::configure)
                .default_service(web::route().to(routes::unknown)),
        )
        .wrap(from_fn(front::around))
}

/// A server with its ports open; it answers once it runs.
pub struct Listening {
    /// Where the API is.
    pub addresses: Vec<SocketAddr>,
    /// Where `/metrics` is, when it has a port of its own.
    pub metrics_addresses: Vec<SocketAddr>,
    api: Server,
    metrics: Option<Server>,
    work: WorkSignals,
    bus: Option<Transport>,
}

impl Listening {
    /// Serves until `stop` is ready, then lets requests that are being worked on end.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let handles: Vec<ServerHandle> =
            std::iter::once(&self.api).chain(&self.metrics).map(Server::handle).collect();
        let metrics = self.metrics.map(tokio::spawn);
        let listening = self.bus.map(|bus| tokio::spawn(hear_of_work(self.work.clone(), bus)));
        let mut api = tokio::spawn(self.api);
        let stop = std::pin::pin!(stop);
        let ended = futures_util::future::select(stop, &mut api).await;
        let outcome = match ended {
            futures_util::future::Either::Right((outcome, _)) => outcome,
            futures_util::future::Either::Left(_) => {
                tracing::info!("stopping: no new requests, waiting for those under way");
                self.work.close();
                for handle in &handles {
                    handle.stop(true).await;
                }
                api.await
            }
        };
        if let Some(metrics) = metrics {
            metrics.abort();
        }
        if let Some(listening) = listening {
            listening.abort();
        }
        outcome.map_err(std::io::Error::other)?.map_err(ServeError::Run)
    }
}

/// Passes on what conductors say until it is aborted. Without it requests for work look for themselves, only later.
async fn hear_of_work(work: WorkSignals, bus: Transport) {
    match work.listen(&bus).await {
        Ok(_server) => std::future::pending().await,
        Err(error) => tracing::error!("agents' requests for work are not woken: {error}"),
    }
}

/// Opens the ports. Runs in any tokio runtime; signals are the caller's business.
pub fn listen(parts: ApiParts) -> Result<Listening, ServeError> {
    let ApiParts { db, policy, notices, clock, auth, trusts, options } = parts;
    let mut metrics = metrics::Metrics::default();
    if let Some(announcer) = notices.announcer() {
        metrics.show_lost_events(announcer.lost());
    }
    let state = ApiState {
        patience: Patience::new(options.database_timeout, db.max_connections()),
        room: Room::default(),
        insertions: Together::new(&db).map_err(ServeError::Run)?,
        db,
        policy,
        notices,
        work: WorkSignals::default(),
        clock,
        metrics,
        trusts,
        options: options.clone(),
    };
    let state = web::Data::new(state);
    let (work, bus) = (state.work.clone(), state.notices.transport().cloned());
    let shared = state.clone();
    let send_timeout = options.send_timeout;
    let mut server = HttpServer::new(move || app(shared.clone(), auth.clone()))
        .on_connect(move |connection, _| limit_silence(connection, send_timeout))
        .disable_signals()
        .keep_alive(options.keep_alive)
        .client_request_timeout(options.head_timeout)
        .client_disconnect_timeout(options.body_timeout.clamp(LINGER_MIN, LINGER_MAX))
        .shutdown_timeout(options.shutdown_timeout.as_secs());
    if let Some(workers) = options.workers {
        server = server.workers(workers);
    }
    let address = (options.bind_host.as_str(), options.bind_port);
    let server = server.bind(address).map_err(|source| refused(address, source))?;
    let addresses = server.addrs();
    let (metrics, metrics_addresses) = match &options.metrics_address {
        Some((host, port)) => {
            let (server, addresses) = metrics_server(state, host, *port)?;
            (Some(server), addresses)
        }
        None => (None, Vec::new()),
    };
    Ok(Listening { addresses, metrics_addresses, api: server.run(), metrics, work, bus })
}

/// Whoever asks and does not read makes us hold a piece of the answer. The kernel ends such a connection: an answer of which the
/// reader takes nothing for so long is given up.
fn limit_silence(connection: &dyn Any, patience: Duration) {
    let Some(socket) = connection.downcast_ref::<TcpStream>() else { return };
    let millis = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(socket, millis) {
        tracing::debug!("[api] send_timeout does not hold for a connection: {error}");
    }
}

/// Serves until the process is told to stop (SIGTERM, SIGINT).
pub async fn serve(parts: ApiParts) -> Result<(), ServeError> {
    let listening = listen(parts)?;
    for address in &listening.addresses {
        tracing::info!("listening on {address}");
    }
    listening.run(stop_signal()).await
}

/// Ready when the process is asked to end.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be caught: only SIGKILL will end this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn metrics_server(
    state: web::Data<ApiState>,
    host: &str,
    port: u16,
) -> Result<(Server, Vec<SocketAddr>), ServeError> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .service(web::resource("/metrics").route(web::get().to(metrics::show)))
    })
    .disable_signals()
    .workers(1)
    .bind((host, port))
    .map_err(|source| refused((host, port), source))?;
    let addresses = server.addrs();
    Ok((server.run(), addresses))
}

fn refused((host, port): (&str, u16), source: std::io::Error) -> ServeError {
    ServeError::Bind { address: format!("{host}:{port}"), source }
}
