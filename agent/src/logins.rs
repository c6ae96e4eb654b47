//! One Keystone login for a run: a step goes on with what an earlier one of the run left, and leaves its own for the next.
//!
//! A login is only taken on for the scope it was made for. One that has ended or is refused is replaced by the step's own
//! credentials, as if nothing had been handed over.

use keystone::{HandedLogin, KeystoneError, Session, SessionOptions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What a token is good for, and how it was got.
const SCOPE: [&str; 4] = ["OS_TRUST_ID", "OS_PROJECT_ID", "OS_PROJECT_NAME", "OS_INSECURE"];

/// A login on its way from step to step, on pipes between the daemon and its children.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunLogin {
    scope: Vec<Option<String>>,
    login: HandedLogin,
}

impl RunLogin {
    pub fn expires_at(&self) -> chrono::DateTime<chrono::Utc> {
        self.login.expires_at()
    }
}

fn scope(auth: &BTreeMap<String, String>) -> Vec<Option<String>> {
    SCOPE.iter().map(|name| auth.get(*name).cloned()).collect()
}

/// The logins of one step.
#[derive(Default)]
pub struct Logins {
    handed: Option<RunLogin>,
    used: Mutex<Option<(Vec<Option<String>>, Session)>>,
}

impl Logins {
    pub fn after(handed: Option<RunLogin>) -> Self {
        Self { handed, used: Mutex::default() }
    }

    /// A session with these `OS_…` variables: the one the step has already, else one that begins with the run's login.
    pub fn session(&self, auth: &BTreeMap<String, String>) -> Result<Session, KeystoneError> {
        let scope = scope(auth);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, session)) = used.as_ref().filter(|(known, _)| *known == scope) {
            return Ok(session.clone());
        }
        let options = SessionOptions::from_env(&|name| auth.get(name).cloned())?;
        let handed = self.handed.as_ref().filter(|handed| handed.scope == scope);
        let session = match handed {
            Some(handed) => Session::with_login(options, handed.login.clone())?,
            None => Session::new(options)?,
        };
        *used = Some((scope, session.clone()));
        Ok(session)
    }

    /// What the next step of the run may go on with.
    pub fn left(&self) -> Option<RunLogin> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let (scope, session) = used.as_ref()?;
        Some(RunLogin { scope: scope.clone(), login: session.handed()? })
    }
}
