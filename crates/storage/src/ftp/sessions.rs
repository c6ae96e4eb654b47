//! The TLS sessions of one control connection, which its data connections go on with.
//!
//! A ticket of TLS 1.3 serves once. A server gives a few when the control connection comes up, and need not give another for
//! one that was used: ProFTPD does so for downloads and listings, but not for uploads, and refuses data connections without one. So
//! it is known here when the last one was used, and the control connection is replaced before that matters, unless the server
//! does without (see `reuse`). Sessions of TLS 1.2 serve any number of times.

use crate::clock::lock;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// More are not kept.
const MOST_TICKETS: usize = 8;
/// Servers forget sessions; the first of them after five minutes, which is OpenSSL's own measure.
const SESSION_TIME: Duration = Duration::from_secs(240);

/// All are of one server, so its name is of no matter.
pub(super) struct Sessions {
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    group: Option<NamedGroup>,
    of_tls12: Option<Tls12ClientSessionValue>,
    /// Oldest first: they end first.
    tickets: VecDeque<Tls13ClientSessionValue>,
    had_tickets: bool,
}

impl Sessions {
    pub fn new() -> Self {
        Self { begun: Instant::now(), state: Mutex::new(State::default()) }
    }

    /// The next data connection might find no session that the server still takes. Without TLS, and with a server that has no
    /// sessions, this never is so.
    pub fn are_spent(&self) -> bool {
        let state = lock(&self.state);
        let had_any = state.had_tickets || state.of_tls12.is_some();
        (had_any && self.begun.elapsed() > SESSION_TIME) || (state.had_tickets && state.tickets.is_empty())
    }

    /// Offers none of them any more.
    pub fn forget(&self) {
        let mut state = lock(&self.state);
        state.of_tls12 = None;
        state.tickets.clear();
    }
}

/// They are secrets.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        lock(&self.state).group = Some(group);
    }
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        lock(&self.state).group
    }
    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        lock(&self.state).of_tls12 = Some(session);
    }
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        lock(&self.state).of_tls12.clone()
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        lock(&self.state).of_tls12 = None;
    }
    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut state = lock(&self.state);
        if state.tickets.len() >= MOST_TICKETS {
            state.tickets.pop_front();
        }
        state.tickets.push_back(ticket);
        state.had_tickets = true;
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        lock(&self.state).tickets.pop_front()
    }
}
