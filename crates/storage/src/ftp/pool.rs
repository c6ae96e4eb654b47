//! The connections that wait for the next command.

use super::FtpStore;
use super::connect::{Conn, ConnectError};
use crate::clock::lock;
use crate::store::StoreError;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) struct Pool {
    idle: Mutex<Vec<Conn>>,
    most: usize,
    /// Calls that are done within themselves take turns. Reads do not: whoever holds one may need another to go on.
    turns: Arc<Semaphore>,
}

impl Pool {
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { idle: Mutex::new(Vec::new()), most, turns: Arc::new(Semaphore::new(most)) }
    }

    pub fn give_back(&self, conn: Conn) {
        let mut idle = lock(&self.idle);
        if idle.len() < self.most {
            idle.push(conn);
        }
    }

    pub fn clear(&self) {
        let dropped = std::mem::take(&mut *lock(&self.idle));
        drop(dropped);
    }

    fn take(&self) -> Option<Conn> {
        lock(&self.idle).pop()
    }
}

impl FtpStore {
    /// Waits until a short call may use a connection.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.inner.pool.turns.clone().acquire_owned().await.ok()
    }

    /// A connection that waits and is good for a transfer, or a new one.
    pub(super) async fn conn(&self) -> Result<Conn, StoreError> {
        while let Some(mut conn) = self.inner.pool.take() {
            if !conn.is_quiet().await {
                continue;
            }
            if conn.has_sessions_left() || self.goes_on_without_session(&mut conn).await {
                return Ok(conn);
            }
        }
        let config = &self.inner.config;
        Conn::open(config).await.map_err(|error| match error {
            ConnectError::Refused(cause) => self.refused(cause),
            ConnectError::Unavailable(cause) => {
                self.unavailable("connection", format!("{}:{}: {cause}", config.host, config.port))
            }
        })
    }
}
