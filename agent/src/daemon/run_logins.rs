//! Logins that steps have left for later steps of their runs. In memory only; the credentials they were got with are in
//! memory just as well.

use crate::logins::RunLogin;
use freezer_model::RunId;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Runs whose logins are kept. An agent learns of steps, not of the ends of runs: those beyond this number log in again.
const RUNS_MAX: usize = 256;

#[derive(Default)]
pub(super) struct RunLogins(Mutex<HashMap<RunId, Kept>>);

struct Kept {
    /// The credentials it was got with: with others it is not taken on.
    auth: BTreeMap<String, String>,
    login: RunLogin,
}

impl RunLogins {
    fn kept(&self) -> MutexGuard<'_, HashMap<RunId, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, run: &RunId, auth: &BTreeMap<String, String>) -> Option<RunLogin> {
        self.kept().get(run).filter(|kept| kept.auth == *auth).map(|kept| kept.login.clone())
    }

    pub(super) fn keep(&self, run: &RunId, auth: &BTreeMap<String, String>, login: RunLogin) {
        let mut kept = self.kept();
        if kept.len() >= RUNS_MAX && !kept.contains_key(run) {
            let first =
                kept.iter().min_by_key(|(_, kept)| kept.login.expires_at()).map(|(run, _)| run.clone());
            first.map(|run| kept.remove(&run));
        }
        kept.insert(run.clone(), Kept { auth: auth.clone(), login });
    }
}
