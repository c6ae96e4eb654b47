//! Starting, looping, stopping.

use crate::claim_jobs::claim_jobs;
use crate::claim_runs::claim_runs;
use crate::courier::deliver;
use crate::desk::Desk;
use crate::dispatch::{Errand, send};
use crate::endpoint::ConductorEndpoint;
use crate::hand_out::{Turn, hand_out};
use crate::heartbeats::note_beats;
use crate::note_sent::{Sent, note_sent};
use crate::serve_metrics::MetricsServer;
use crate::{ConductorError, ConductorOptions};
use freezer_database::Database;
use freezer_model::Clock;
use freezer_model::rpc::{CONDUCTOR_TOPIC, EXCHANGE, VERSION};
use oslo_messaging::{RpcServer, ServerOptions, Target, Transport};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// What a conductor works with.
pub struct ConductorParts {
    pub db: Database,
    pub transport: Transport,
    pub clock: Arc<dyn Clock>,
    pub options: ConductorOptions,
}

/// A running conductor. Dropping it stops its loop at the next chance, without waiting for anything.
#[must_use = "dropping the conductor stops it"]
pub struct Conductor {
    desk: Arc<Desk>,
    door: Arc<Door>,
    metrics: Option<MetricsServer>,
    stop: watch::Sender<bool>,
    looping: JoinHandle<()>,
    noting: JoinHandle<()>,
    beating: JoinHandle<()>,
    courier: JoinHandle<()>,
}

/// Messages being sent at a time.
const SENDERS: usize = 32;
/// Orders that are committed and not yet with the broker, at most: what is handed out must be sent within seconds.
const AHEAD: usize = 400;
/// Reports and heartbeats taken at a time. Most wait, for others that are noted with them.
const REPORTS: usize = 512;
/// Another conductor hands out; it may be gone a moment later.
const PAUSE_FOR_TURN: Duration = Duration::from_millis(100);
/// After an error of the database.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// Starts a conductor: it answers agents and looks after jobs from when this returns.
///
/// # Errors
/// When the schema is older than this program, the bus refuses us, or the metrics port is taken.
pub async fn start(parts: ConductorParts) -> Result<Conductor, ConductorError> {
    let ConductorParts { db, transport, clock, options } = parts;
    check_schema(db.clone()).await?;
    let (beats, heard) = mpsc::unbounded_channel();
    let desk = Arc::new(Desk::new(db, transport, clock, options, beats));
    let metrics = MetricsServer::start(&desk).await?;
    let door = Arc::new(Door::default());
    door.open(&desk).await?;
    let (stop, stopping) = watch::channel(false);
    let courier = tokio::spawn(deliver(desk.clone(), desk.clock.now(), stopping.clone()));
    let (sent, confirmed) = mpsc::unbounded_channel();
    let beating = tokio::spawn(note_beats(desk.clone(), heard));
    let noting = tokio::spawn(note_sent(desk.clone(), confirmed));
    let looping = tokio::spawn(look_after(desk.clone(), door.clone(), Post::new(sent), stopping));
    Ok(Conductor { desk, door, metrics, stop, looping, noting, beating, courier })
}

async fn check_schema(db: Database) -> Result<(), ConductorError> {
    let version = tokio::task::spawn_blocking(move || db.version())
        .await
        .map_err(|error| ConductorError::Worker(error.to_string()))??;
    version.trouble().map_or(Ok(()), |trouble| Err(ConductorError::Schema { trouble }))
}

impl Conductor {
    /// Where metrics are served, if they are.
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.metrics.as_ref().map(MetricsServer::address)
    }

    /// Takes no more work, lets what was begun end, and returns. Runs go on at their agents.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.desk.wake.notify_one();
        let _ = self.looping.await;
        let _ = self.noting.await;
        // A letter under way is claimed: another conductor sends it later.
        self.courier.abort();
        let _ = self.courier.await;
        self.door.close().await;
        self.beating.abort();
        if let Some(metrics) = self.metrics {
            metrics.stop().await;
        }
    }
}

/// Where reports come in. It is shut while this process cannot reach the database: others can take them.
#[derive(Default)]
struct Door(Mutex<Option<RpcServer>>);

impl Door {
    async fn open(&self, desk: &Arc<Desk>) -> Result<(), ConductorError> {
        let mut server = self.0.lock().await;
        if server.is_none() {
            let endpoint = Arc::new(ConductorEndpoint { desk: desk.clone() });
            let target = Target::topic(CONDUCTOR_TOPIC)
                .exchange(EXCHANGE)
                .version(VERSION)
                .server(desk.options.host.as_str());
            let options = ServerOptions {
                delete_server_queue: true,
                ping_enabled: true,
                max_concurrency: REPORTS,
                ..ServerOptions::default()
            };
            *server = Some(RpcServer::start(&desk.transport, target, vec![endpoint], options).await?);
            // Nobody could be heard before.
            desk.is_listening_from(desk.clock.now());
        }
        Ok(())
    }

    async fn close(&self) {
        if let Some(server) = self.0.lock().await.take() {
            server.stop().await;
        }
    }
}

/// What is under way to agents.
struct Post {
    sending: JoinSet<()>,
    room: Arc<Semaphore>,
    /// Where confirmed orders are noted.
    sent: mpsc::UnboundedSender<Sent>,
}

impl Post {
    fn new(sent: mpsc::UnboundedSender<Sent>) -> Self {
        Self { sending: JoinSet::new(), room: Arc::new(Semaphore::new(SENDERS)), sent }
    }

    fn take(&mut self, desk: &Arc<Desk>, errands: Vec<Errand>) {
        for errand in errands {
            let (desk, room, sent) = (desk.clone(), self.room.clone(), self.sent.clone());
            self.sending.spawn(async move {
                // The semaphore is never closed.
                let _permit = room.acquire_owned().await;
                send(desk, errand, sent).await;
            });
        }
    }

    /// Waits until no more than so many are under way.
    async fn only(&mut self, most: usize) {
        while self.sending.try_join_next().is_some() {}
        while self.sending.len() > most {
            self.sending.join_next().await;
        }
    }
}

async fn look_after(desk: Arc<Desk>, door: Arc<Door>, mut post: Post, mut stopping: watch::Receiver<bool>) {
    let mut was_connected = desk.transport.is_connected();
    // Also ends when the handle is gone.
    while !*stopping.borrow() && stopping.has_changed().is_ok() {
        let is_connected = desk.transport.is_connected();
        if is_connected && !was_connected {
            desk.is_listening_from(desk.clock.now());
        }
        was_connected = is_connected;
        let pause = match look_once(&desk, is_connected, &mut post).await {
            Ok(pause) => {
                if is_connected && let Err(error) = door.open(&desk).await {
                    tracing::error!("reports cannot be taken: {error}");
                }
                pause
            }
            Err(error) => {
                tracing::error!("looking after jobs failed: {error}");
                if error.is_without_database() {
                    door.close().await;
                }
                PAUSE_AFTER_ERROR
            }
        };
        tokio::select! {
            () = desk.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
            _ = stopping.changed() => {}
        }
    }
    post.only(0).await;
}

/// Looks at everything that is due, and returns how long to wait for the next look.
async fn look_once(
    desk: &Arc<Desk>,
    is_connected: bool,
    post: &mut Post,
) -> Result<Duration, ConductorError> {
    desk.mend_leases().await?;
    let mut is_elsewhere;
    loop {
        is_elsewhere = false;
        // Side by side: what was fired is handed out while the next jobs are looked at.
        let (fired, handed) = tokio::join!(claim_jobs(desk), hand_on(desk, is_connected, post));
        // What either has committed is sent, whatever became of the other.
        let fired = fired.map(|(looked, errands)| {
            post.take(desk, errands);
            looked
        });
        let handed = handed.map(|(claimed, turn)| match turn {
            Turn::Mine { looked, errands } => {
                post.take(desk, errands);
                claimed + looked
            }
            Turn::Elsewhere => {
                is_elsewhere = true;
                claimed
            }
        });
        let looked = fired? + handed?;
        if looked == 0 {
            break;
        }
    }
    let next = desk
        .read(move |tx| {
            let job = tx.jobs().next_attention()?;
            let run = if is_connected { tx.runs().next_attention()? } else { None };
            Ok(match (job, run) {
                (Some(job), Some(run)) => Some(job.min(run)),
                (job, run) => job.or(run),
            })
        })
        .await?;
    let pause = desk.pause(next);
    Ok(if is_elsewhere { pause.min(PAUSE_FOR_TURN) } else { pause })
}

/// Makes runs ready whose time has come, and hands out what is ready. Without a bus nothing can be handed out, and the silence of
/// agents means nothing.
async fn hand_on(
    desk: &Arc<Desk>,
    is_connected: bool,
    post: &mut Post,
) -> Result<(usize, Turn), ConductorError> {
    if !is_connected {
        return Ok((0, Turn::Mine { looked: 0, errands: Vec::new() }));
    }
    let claimed = claim_runs(desk).await?;
    post.only(AHEAD).await;
    Ok((claimed, hand_out(desk).await?))
}
