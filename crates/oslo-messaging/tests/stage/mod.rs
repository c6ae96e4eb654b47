//! What the tests need around them: a vhost of their own, an endpoint, a Python peer, waiting on conditions.
#![allow(dead_code, unreachable_pub)] // each test program uses its part

use async_trait::async_trait;
use oslo_messaging::{
    Context, Endpoint, EndpointTarget, RabbitOptions, RemoteFailure, RpcClient, RpcServer, ServerOptions,
    Target, Transport,
};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::future::Future;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

pub mod python;
pub mod relay;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a condition; fails when it does not come.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come true within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A future that must end in time.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.unwrap_or_else(|_| panic!("{what} did not end within {PATIENCE:?}"))
}

/// Runs the broker's control program.
pub fn rabbitmqctl(args: &[&str]) -> String {
    let program = std::env::var("FREEZER_TEST_RABBITMQCTL")
        .unwrap_or_else(|_| "/var/lib/minicloud/run/rabbitmqctl".to_owned());
    let output = Command::new(&program).args(args).output().unwrap_or_else(|error| {
        panic!("{program} cannot be run ({error}): start the services: make services");
    });
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text}{errors}: start the services: make services");
    text
}

/// A vhost on the real broker, removed at the end.
pub struct Vhost {
    pub name: String,
    /// `user:password@host:port`
    authority: String,
}

impl Vhost {
    pub fn new() -> Self {
        let base = std::env::var("FREEZER_TEST_RABBIT")
            .unwrap_or_else(|_| "rabbit://freezer_test:freezer_test@127.0.0.1:5672/".to_owned());
        let authority = base.trim_start_matches("rabbit://").trim_end_matches('/').to_owned();
        let user = authority.split(':').next().unwrap().to_owned();
        let name = format!("oslo-test-{}", uuid::Uuid::new_v4().simple());
        rabbitmqctl(&["-q", "add_vhost", &name]);
        let vhost = Self { name, authority };
        rabbitmqctl(&["-q", "set_permissions", "-p", &vhost.name, &user, ".*", ".*", ".*"]);
        vhost
    }

    pub fn url(&self) -> String {
        format!("rabbit://{}/{}", self.authority, self.name)
    }

    /// The URL of another way to the same vhost.
    pub fn url_at(&self, address: &str) -> String {
        let credentials = self.authority.rsplit_once('@').unwrap().0;
        format!("rabbit://{credentials}@{address}/{}", self.name)
    }

    pub fn amqp(&self) -> String {
        format!("amqp://{}/{}", self.authority, self.name)
    }

    pub fn address(&self) -> String {
        self.authority.rsplit_once('@').unwrap().1.to_owned()
    }

    /// Queue names with the number of messages waiting.
    pub fn queues(&self) -> HashMap<String, u64> {
        let text =
            rabbitmqctl(&["-q", "list_queues", "-p", &self.name, "--no-table-headers", "name", "messages"]);
        let lines = text.lines().filter_map(|line| line.split_once('\t'));
        lines.map(|(name, count)| (name.to_owned(), count.trim().parse().unwrap())).collect()
    }

    pub fn close_all_connections(&self) {
        rabbitmqctl(&["-q", "close_all_connections", "--vhost", &self.name, "closed by a test"]);
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let program = std::env::var("FREEZER_TEST_RABBITMQCTL")
            .unwrap_or_else(|_| "/var/lib/minicloud/run/rabbitmqctl".to_owned());
        let _ = Command::new(program).args(["-q", "delete_vhost", &self.name]).output();
    }
}

/// Options with short waits, so that recovery is quick.
pub fn quick() -> RabbitOptions {
    RabbitOptions {
        kombu_reconnect_delay: Duration::from_millis(50),
        kombu_reconnect_splay: Duration::from_millis(50),
        rabbit_retry_interval: Duration::from_millis(100),
        rabbit_retry_backoff: Duration::from_millis(100),
        rabbit_interval_max: Duration::from_secs(1),
        ..RabbitOptions::default()
    }
}

pub fn connect(url: &str) -> Transport {
    Transport::connect(url, quick()).unwrap()
}

/// The endpoint of the tests; counts what it ran.
pub struct Desk {
    pub name: String,
    target: EndpointTarget,
    counts: Mutex<HashMap<String, usize>>,
    contexts: Mutex<Vec<Context>>,
    /// `hold` waits for a permit of it.
    pub gate: Semaphore,
    pub running: AtomicUsize,
    pub most: AtomicUsize,
}

impl Desk {
    pub fn new(name: &str) -> Arc<Self> {
        Self::with_target(name, EndpointTarget::version("1.5"))
    }

    pub fn with_target(name: &str, target: EndpointTarget) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            target,
            counts: Mutex::default(),
            contexts: Mutex::default(),
            gate: Semaphore::new(0),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    pub fn count(&self, method: &str) -> usize {
        self.counts.lock().unwrap().get(method).copied().unwrap_or(0)
    }

    pub fn last_context(&self) -> Context {
        self.contexts.lock().unwrap().last().cloned().unwrap_or_default()
    }

    async fn hold(&self) -> Value {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
        json!("let go")
    }
}

#[async_trait]
impl Endpoint for Desk {
    fn target(&self) -> EndpointTarget {
        self.target.clone()
    }

    fn methods(&self) -> &[&str] {
        &[
            "echo",
            "context",
            "nothing",
            "sleep",
            "big",
            "fail",
            "fail_not_found",
            "whoami",
            "hold",
            "safe_hold",
            "panic",
        ]
    }

    fn idempotent(&self, method: &str) -> bool {
        method.starts_with("safe_")
    }

    async fn call(&self, ctx: &Context, method: &str, args: Value) -> Result<Value, RemoteFailure> {
        *self.counts.lock().unwrap().entry(method.to_owned()).or_default() += 1;
        self.contexts.lock().unwrap().push(ctx.clone());
        match method {
            "echo" => Ok(json!({"args": args})),
            "context" => Ok(Value::Object(ctx.as_map().clone())),
            "nothing" => Ok(Value::Null),
            "whoami" => Ok(json!(self.name)),
            "hold" | "safe_hold" => Ok(self.hold().await),
            "big" => Ok(json!("x".repeat(usize::try_from(args["size"].as_u64().unwrap()).unwrap()))),
            "sleep" => {
                tokio::time::sleep(Duration::from_secs_f64(args["seconds"].as_f64().unwrap())).await;
                Ok(args["seconds"].clone())
            }
            "fail_not_found" => {
                Err(RemoteFailure::new("oslo_peer_exc", "BackupNotFound", "Backup b-5 could not be found.")
                    .with_kwarg("backup_id", "b-5"))
            }
            "panic" => panic!("asked to"),
            _ => Err(RemoteFailure::new("builtins", "ValueError", "bad value from Rust")),
        }
    }
}

pub fn target() -> Target {
    Target::topic("t").exchange("ex")
}

pub fn client(transport: &Transport) -> RpcClient {
    RpcClient::new(transport, target()).timeout(Duration::from_secs(30))
}

pub async fn serve(transport: &Transport, desk: &Arc<Desk>) -> RpcServer {
    serve_with(transport, desk, ServerOptions::default()).await
}

pub async fn serve_with(transport: &Transport, desk: &Arc<Desk>, options: ServerOptions) -> RpcServer {
    let endpoints: Vec<Arc<dyn Endpoint>> = vec![desk.clone()];
    let start = RpcServer::start(transport, target().server(desk.name.as_str()), endpoints, options);
    in_time("the start of a server", start).await.unwrap()
}
