//! The three services in one process, on embedded parts: SQLite, the in-process bus, no authentication,
//! everything under one folder. They are started exactly as their own programs start them; this file only
//! puts them together.

use freezer_api::notices::Notices;
use freezer_api::policy::Policy;
use freezer_api::serve::project_of_path;
use freezer_api::{ApiOptions, ApiParts};
use freezer_conductor::{Conductor, ConductorOptions, ConductorParts};
use freezer_database::{Database, DatabaseOptions};
use freezer_model::{Clock, SystemClock};
use keystone::AuthToken;
use oslo_messaging::{RabbitOptions, Transport};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The one project of a service without identity.
pub const PROJECT: &str = "demo";
/// What clients send as a token: `user:project`, as other services take it without Keystone.
pub const TOKEN: &str = "admin:demo";

pub struct Service {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    pub client_id: String,
    pub hostname: String,
    conductor: Conductor,
    agent: freezer_agent::serve::Agent,
    transport: Transport,
    stop_api: oneshot::Sender<()>,
    api: tokio::task::JoinHandle<Result<(), freezer_api::ServeError>>,
}

impl Service {
    /// Starts everything; `port` 0 is any free one.
    pub async fn start(folder: &Path, port: u16) -> Result<Self, String> {
        let db = open_database(folder).await?;
        let transport = Transport::connect("fake://standalone/", RabbitOptions::default())
            .map_err(|error| error.to_string())?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (address, stop_api, api) = start_api(db.clone(), &transport, clock.clone(), port)?;
        let options =
            ConductorOptions { poll_interval: Duration::from_millis(500), ..ConductorOptions::default() };
        let parts = ConductorParts { db, transport: transport.clone(), clock, options };
        let conductor = freezer_conductor::start(parts).await.map_err(|error| error.to_string())?;
        let hostname = freezer_agent::serve::hostname();
        let client_id = format!("{PROJECT}_{hostname}");
        let agent = start_agent(folder, &transport, &client_id).await?;
        let mut service = Self {
            url: format!("http://{address}"),
            client_id,
            hostname,
            conductor,
            agent,
            transport,
            stop_api,
            api,
        };
        service.wait_for_agent().await?;
        Ok(service)
    }

    /// A client counts as ours once its agent has said hello.
    async fn wait_for_agent(&mut self) -> Result<(), String> {
        let greeted = self.agent.greeted.wait_for(|greeted| *greeted);
        match tokio::time::timeout(Duration::from_secs(30), greeted).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err("the conductor did not answer the agent".to_owned()),
        }
    }

    pub async fn stop(self) {
        let _ = self.stop_api.send(());
        let _ = self.api.await;
        self.agent.stop().await;
        self.conductor.stop().await;
        self.transport.close().await;
    }
}

async fn open_database(folder: &Path) -> Result<Database, String> {
    let url = format!("sqlite:///{}", folder.join("freezer.sqlite").display());
    let opened = tokio::task::spawn_blocking(move || {
        let db = Database::connect(&DatabaseOptions::new(url))?;
        db.sync()?;
        Ok::<_, freezer_database::DbError>(db)
    });
    opened.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

type Api =
    (std::net::SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<Result<(), freezer_api::ServeError>>);

fn start_api(db: Database, transport: &Transport, clock: Arc<dyn Clock>, port: u16) -> Result<Api, String> {
    let options = ApiOptions {
        bind_host: "127.0.0.1".to_owned(),
        bind_port: port,
        workers: Some(2),
        serves_metrics: true,
        shutdown_timeout: Duration::from_secs(2),
        ..ApiOptions::default()
    };
    let parts = ApiParts {
        db,
        policy: Policy::defaults().map_err(|error| error.to_string())?,
        notices: Notices::on(transport),
        clock,
        auth: AuthToken::noauth(project_of_path),
        trusts: None,
        options,
    };
    let listening = freezer_api::listen(parts).map_err(|error| error.to_string())?;
    let address = *listening.addresses.first().ok_or("the API has no address")?;
    let (stop, stopped) = oneshot::channel::<()>();
    let api = tokio::spawn(listening.run(async move {
        let _ = stopped.await;
    }));
    Ok((address, stop, api))
}

async fn start_agent(
    folder: &Path,
    transport: &Transport,
    client_id: &str,
) -> Result<freezer_agent::serve::Agent, String> {
    let registry = freezer_agent::config::registry();
    let arguments = oslo_config::LoadArgs::default()
        .option("agent", "client_id", client_id)
        .option("agent", "project_id", PROJECT)
        .option("agent", "concurrent_jobs", "2")
        .option("agent", "progress_interval", "0.2")
        .option("DEFAULT", "log_file", folder.join("freezer.log").display().to_string())
        .option("agent", "state_dir", folder.join("agent").display().to_string());
    let config = registry.load(arguments).map_err(|error| error.to_string())?;
    // The children are this very program, started as an agent.
    let options = freezer_agent::serve::executor_options(&config, &["agent"])?;
    freezer_agent::serve::start(options, transport).await
}
