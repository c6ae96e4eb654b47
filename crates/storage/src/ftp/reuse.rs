//! Whether the server demands that data connections go on with the TLS session of their control connection.
//!
//! Many do by default, and say so only by refusing (425, 522). It is found out when the sessions of a control connection are spent for the
//! first time, by a listing without one: the connection would be of no more use otherwise, and of a listing nobody thinks that
//! something was saved. In doubt the server demands it, and the connection is replaced, which costs no more than a login.

use super::FtpStore;
use super::connect::Conn;
use super::error::Failure;
use crate::clock::lock;
use std::sync::Mutex;
use std::time::Duration;

/// For a listing of the store's root, which has few entries.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// What is known of one server.
#[derive(Default)]
pub(super) struct Reuse {
    is_demanded: Mutex<Option<bool>>,
}

impl Reuse {
    fn known(&self) -> Option<bool> {
        *lock(&self.is_demanded)
    }

    fn learn(&self, is_demanded: bool) {
        *lock(&self.is_demanded) = Some(is_demanded);
    }
}

impl FtpStore {
    /// Whether a connection whose sessions are spent can be used on.
    pub(super) async fn goes_on_without_session(&self, conn: &mut Conn) -> bool {
        let is_demanded = match self.inner.reuse.known() {
            Some(is_demanded) => is_demanded,
            None => {
                let is_demanded = !conn.lists_without_session().await;
                self.inner.reuse.learn(is_demanded);
                tracing::debug!(store = %self.inner.label, is_demanded, "the server was asked whether it demands TLS sessions to be gone on with");
                is_demanded
            }
        };
        conn.goes_without_session = !is_demanded;
        !is_demanded
    }

    /// A data connection that failed for want of a session would have come up with one: then the server has changed its mind, or
    /// takes listings for something else, and a new connection helps.
    pub(super) fn doubt(&self, conn: &Conn, failure: Failure) -> Failure {
        if !conn.goes_without_session || (failure.leaves_connection() && !failure.is_unprotected()) {
            return failure;
        }
        self.inner.reuse.learn(true);
        match failure {
            Failure::Reply { code: 425 | 522, text } => Failure::Lost(format!("the server says '{text}'")),
            failure => failure,
        }
    }
}

impl Conn {
    async fn lists_without_session(&mut self) -> bool {
        // What is left of them would prove nothing.
        self.forget_sessions();
        let root = self.path("");
        let listing = tokio::time::timeout(TRIAL_TIMEOUT, self.items(&root)).await;
        matches!(listing, Ok(Ok(_)))
    }
}
