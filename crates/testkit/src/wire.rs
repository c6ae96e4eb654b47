//! A TCP relay in front of a server that can fall silent, break and be away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// One relay; it ends with the runtime it was started in.
pub struct Wire {
    url: String,
    /// Whether bytes pass.
    speaks: Arc<watch::Sender<bool>>,
    /// Changes when all connections are to break.
    cuts: Arc<watch::Sender<u64>>,
    attempts: Arc<AtomicUsize>,
    is_down: Arc<AtomicBool>,
}

impl Wire {
    /// Relays to the server of an oslo database or transport URL.
    pub async fn start(url: &str) -> Self {
        let (login, rest) = url.split_once('@').expect("a URL with a login");
        let (server, database) = rest.split_once('/').expect("a URL with a path");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        let (speaks, cuts) = (Arc::new(watch::Sender::new(true)), Arc::new(watch::Sender::new(0)));
        let server = server.to_owned();
        let (said, cut) = (speaks.clone(), cuts.clone());
        let attempts = Arc::new(AtomicUsize::new(0));
        let counted = attempts.clone();
        let is_down = Arc::new(AtomicBool::new(false));
        let refuses = is_down.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                if refuses.load(Ordering::Relaxed) {
                    continue;
                }
                tokio::spawn(relay(near, server.clone(), said.subscribe(), cut.subscribe()));
            }
        });
        Self { url: format!("{login}@127.0.0.1:{port}/{database}"), speaks, cuts, attempts, is_down }
    }

    /// The URL it was made for, with the relay's address.
    pub fn url(&self) -> &str {
        &self.url
    }
    /// Connections that were asked for so far.
    pub fn attempts(&self) -> usize {
        self.attempts.load(Ordering::Relaxed)
    }
    /// Connections stay open, and nothing arrives any more.
    pub fn silence(&self) {
        self.speaks.send_replace(false);
    }
    /// What was held up arrives, and all that follows.
    pub fn speak(&self) {
        self.speaks.send_replace(true);
    }
    /// Everything breaks, and who comes is sent away.
    pub fn down(&self) {
        self.is_down.store(true, Ordering::Relaxed);
        self.cut();
    }
    /// Who comes is let in again.
    pub fn up(&self) {
        self.is_down.store(false, Ordering::Relaxed);
    }
    /// All connections break; new ones are let in.
    pub fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }
}

async fn relay(
    near: TcpStream,
    server: String,
    speaks: watch::Receiver<bool>,
    mut cuts: watch::Receiver<u64>,
) {
    let Ok(far) = TcpStream::connect(server).await else { return };
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        () = pass(near_in, far_out, speaks.clone()) => {}
        () = pass(far_in, near_out, speaks) => {}
        _ = cuts.changed() => {}
    }
}

/// Bytes one way, while the wire speaks; a closed end is not told either while it does not.
async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut speaks: watch::Receiver<bool>,
) {
    let mut buffer = [0; 4096];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        if speaks.wait_for(|speaks| *speaks).await.is_err() {
            return;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() || to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
