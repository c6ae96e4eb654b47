//! A session with Keystone: one login shared by everybody who holds a clone.
//!
//! Invariants: at most one login is under way at any time, and all who need it wait for the same one; a token
//! that is about to end is renewed before it is handed out; a token that was refused is never handed out again.
//! A login runs in a task of its own, so that a caller who gives up does not stop it for the others.

use crate::catalog::Catalog;
use crate::clock::{Clock, SharedClock, SystemClock};
use crate::discovery::find_v3;
use crate::error::KeystoneError;
use crate::handed_login::HandedLogin;
use crate::http::build_client;
use crate::identity::Identity;
use crate::login::{Login, LoginFailure, log_in};
use crate::options::{Auth, Interface, Named, Scope, SessionOptions};
use crate::secret::Secret;
use crate::token_document::{Owner, TokenDocument};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// After a renewal failed while the old token still lives: seconds until the next try.
const RENEWAL_PAUSE_SECS: i64 = 30;
/// After Keystone refused the credentials: seconds for which the refusal is not asked for again. A wrong
/// password in a busy service would otherwise hammer Keystone and lock its own account.
const REFUSAL_HOLD_SECS: i64 = 10;

type Flight = Shared<BoxFuture<'static, Result<Arc<Login>, KeystoneError>>>;

/// A login that renews itself. Clones are cheap and share everything.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    options: SessionOptions,
    client: reqwest::Client,
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    login: Option<Arc<Login>>,
    flight: Option<(u64, Flight)>,
    /// Number of the latest flight, so that an ended one never clears a later one.
    flights: u64,
    identity_url: Option<String>,
    renewal_pause_ends: Option<DateTime<Utc>>,
    refusal: Option<(DateTime<Utc>, KeystoneError)>,
}

enum Step {
    Use(Arc<Login>),
    Wait(Flight),
    Fail(KeystoneError),
}

impl Session {
    /// Checks the options and loads certificates. Talks to nobody: the first use logs in.
    pub fn new(options: SessionOptions) -> Result<Self, KeystoneError> {
        Self::with_clock(options, Arc::new(SystemClock))
    }

    /// As [`Session::new`], with another clock to judge expiry by.
    pub fn with_clock(options: SessionOptions, clock: Arc<dyn Clock>) -> Result<Self, KeystoneError> {
        let client = build_client(&options)?;
        let mut state = State::default();
        match &options.auth {
            Auth::None { user_id, project_id } => {
                state.login = Some(Arc::new(noauth_login(user_id, project_id)))
            }
            _ => check_auth_url(&options.auth_url)?,
        }
        Ok(Self { inner: Arc::new(Inner { options, client, clock, state: Mutex::new(state) }) })
    }

    /// As [`Session::new`], beginning with a login that another process has made with the same credentials.
    pub fn with_login(options: SessionOptions, login: HandedLogin) -> Result<Self, KeystoneError> {
        let session = Self::new(options)?;
        let login = login.taken(session.now(), session.inner.options.renewal_margin);
        session.inner.state().login = Some(Arc::new(login));
        Ok(session)
    }

    /// The present login for another process of the same owner; `None` before the first use.
    pub fn handed(&self) -> Option<HandedLogin> {
        self.inner.state().login.as_ref().map(|login| HandedLogin::of(login))
    }

    /// A session with other credentials at the same Keystone; it shares settings and connections with this one.
    pub fn with_auth(&self, auth: Auth) -> Result<Self, KeystoneError> {
        let options = SessionOptions { auth, ..self.inner.options.clone() };
        check_auth_url(&options.auth_url)?;
        let state = State { identity_url: self.inner.state().identity_url.clone(), ..State::default() };
        let (client, clock) = (self.inner.client.clone(), Arc::clone(&self.inner.clock));
        Ok(Self { inner: Arc::new(Inner { options, client, clock, state: Mutex::new(state) }) })
    }

    /// The same user under a trust: the token is good for the trust's project and roles and nothing else.
    ///
    /// # Errors
    /// For credentials that Keystone does not scope to trusts: application credentials, and none at all.
    pub fn in_trust(&self, trust_id: &str) -> Result<Self, KeystoneError> {
        self.with_auth(self.inner.options.auth.in_trust(trust_id)?)
    }

    /// The sender of a request, within `project_id`: with the token as it came when that is its project, else with one
    /// that Keystone gives for it.
    pub async fn on_behalf_of(&self, identity: &Identity, project_id: &str) -> Result<Self, KeystoneError> {
        let scope = Scope::Project(Named::Id(project_id.to_owned()));
        let session = self.with_auth(Auth::Token { token: identity.token.clone(), scope })?;
        if identity.project_id.as_deref() == Some(project_id)
            && let Some(document) = identity.document()
        {
            session.inner.state().login = Some(Arc::new(Login {
                token: identity.token.clone(),
                document: document.clone(),
                identity_url: self.login().await?.identity_url.clone(),
                renew_at: document.expires_at,
            }));
        }
        Ok(session)
    }

    /// A token that is good now: the one at hand, or a new one.
    pub async fn token(&self) -> Result<Secret, KeystoneError> {
        Ok(self.login().await?.token.clone())
    }

    /// Says that a service refused `token` with 401. The next use logs in again, once, however many tasks
    /// report the same token.
    pub fn refuse(&self, token: &Secret) {
        if matches!(self.inner.options.auth, Auth::None { .. }) {
            return;
        }
        let mut state = self.inner.state();
        if state.login.as_ref().is_some_and(|login| login.token == *token) {
            state.login = None;
        }
    }

    /// Token, catalogue, roles and owner of the present login.
    pub async fn login(&self) -> Result<Arc<Login>, KeystoneError> {
        match self.inner.next_step() {
            Step::Use(login) => Ok(login),
            Step::Wait(flight) => flight.await,
            Step::Fail(error) => Err(error),
        }
    }

    /// Address of a service: an override of the options, else from the catalogue. `interface` and `region`
    /// default to those of the options. No slash at the end.
    pub async fn endpoint(
        &self,
        service_type: &str,
        interface: Option<Interface>,
        region: Option<&str>,
    ) -> Result<String, KeystoneError> {
        let options = self.options();
        if let Some(address) = options.endpoint_overrides.get(service_type) {
            return Ok(address.trim_end_matches('/').to_owned());
        }
        let interface = interface.unwrap_or(options.interface);
        let region = region.or(options.region.as_deref());
        let login = self.login().await?;
        let catalog = login.document.catalog.as_ref();
        let found = catalog.and_then(|catalog| catalog.endpoint(service_type, interface, region));
        found.map(|url| url.trim_end_matches('/').to_owned()).ok_or_else(|| KeystoneError::NoEndpoint {
            service_type: service_type.to_owned(),
            interface: interface.to_string(),
            region: region.unwrap_or("(any)").to_owned(),
            known: catalog.map_or_else(|| "nothing".to_owned(), Catalog::summary),
        })
    }

    /// The HTTP client of this session, for requests that [`Session::request`] does not fit.
    pub fn http(&self) -> &reqwest::Client {
        &self.inner.client
    }

    pub fn options(&self) -> &SessionOptions {
        &self.inner.options
    }

    pub async fn user_id(&self) -> Result<String, KeystoneError> {
        Ok(self.login().await?.document.user.id.clone())
    }

    /// None unless the token is scoped to a project.
    pub async fn project_id(&self) -> Result<Option<String>, KeystoneError> {
        Ok(self.login().await?.document.project.as_ref().map(|project| project.id.clone()))
    }

    pub async fn roles(&self) -> Result<Vec<String>, KeystoneError> {
        Ok(self.login().await?.document.role_names())
    }

    pub async fn expires_at(&self) -> Result<DateTime<Utc>, KeystoneError> {
        Ok(self.login().await?.document.expires_at)
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.inner.clock.now()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_step(self: &Arc<Self>) -> Step {
        let now = self.clock.now();
        let mut state = self.state();
        if let Some(login) = state.login.clone() {
            let resting = state.renewal_pause_ends.is_some_and(|end| now < end);
            if now < login.renew_at || (resting && !login.document.is_expired(now)) {
                return Step::Use(login);
            }
        }
        // One that ended and is still noted was stopped before it began.
        if let Some((_, flight)) = state.flight.as_ref().filter(|(_, flight)| flight.peek().is_none()) {
            return Step::Wait(flight.clone());
        }
        if let Some((end, error)) = &state.refusal
            && now < *end
        {
            return Step::Fail(error.clone());
        }
        state.flights += 1;
        let flight = self.start_flight(state.flights);
        state.flight = Some((state.flights, flight.clone()));
        Step::Wait(flight)
    }

    fn start_flight(self: &Arc<Self>, number: u64) -> Flight {
        let inner = Arc::clone(self);
        let task = tokio::spawn(async move {
            let landing = Landing { inner, number };
            let result = landing.inner.log_in_patiently().await;
            landing.inner.land(result)
        });
        task.map(|outcome| outcome.unwrap_or(Err(KeystoneError::Stopped))).boxed().shared()
    }

    async fn log_in_patiently(&self) -> Result<Login, KeystoneError> {
        let policy = &self.options.retries;
        let mut repetition = 0;
        loop {
            let failure = match self.log_in_once().await {
                Ok(login) => return Ok(login),
                Err(failure) => failure,
            };
            if !failure.error.is_temporary() || repetition >= policy.max_retries {
                return Err(failure.error);
            }
            let pause = policy.pause(repetition, failure.retry_after);
            tracing::warn!(error = %failure.error, ?pause, "login failed, trying again");
            tokio::time::sleep(pause).await;
            repetition += 1;
        }
    }

    async fn log_in_once(&self) -> Result<Login, LoginFailure> {
        let known = self.state().identity_url.clone();
        let identity_url = match known {
            Some(url) => url,
            None => find_v3(&self.client, &self.options.auth_url, self.options.keystone_timeout).await?,
        };
        self.state().identity_url = Some(identity_url.clone());
        log_in(&self.client, &identity_url, &self.options, self.clock.now()).await
    }

    /// Notes the outcome. A failed renewal is no failure while the old token lives.
    fn land(&self, result: Result<Login, KeystoneError>) -> Result<Arc<Login>, KeystoneError> {
        let now = self.clock.now();
        let mut state = self.state();
        state.flight = None;
        let error = match result {
            Ok(login) => {
                let login = Arc::new(login);
                state.login = Some(Arc::clone(&login));
                state.renewal_pause_ends = None;
                state.refusal = None;
                return Ok(login);
            }
            Err(error) => error,
        };
        if let Some(login) = state.login.clone().filter(|login| !login.document.is_expired(now)) {
            tracing::warn!(%error, "renewal failed, the old token is used on");
            state.renewal_pause_ends = Some(now + TimeDelta::seconds(RENEWAL_PAUSE_SECS));
            return Ok(login);
        }
        if matches!(error, KeystoneError::Refused { .. }) {
            state.refusal = Some((now + TimeDelta::seconds(REFUSAL_HOLD_SECS), error.clone()));
        }
        Err(error)
    }
}

/// Clears the flight even when its task is stopped halfway (a runtime shutting down), so that the next caller
/// starts a new one instead of waiting for a dead one. Made inside the task: a runtime that shuts down drops new
/// tasks at once, while the state is still locked.
struct Landing {
    inner: Arc<Inner>,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        if state.flight.as_ref().is_some_and(|(number, _)| *number == self.number) {
            state.flight = None;
        }
    }
}

fn check_auth_url(auth_url: &str) -> Result<(), KeystoneError> {
    let place = || "session options".to_owned();
    let problem = match reqwest::Url::parse(auth_url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => return Ok(()),
        Ok(_) => format!("auth_url \"{auth_url}\" is no http or https address"),
        Err(error) => format!("auth_url \"{auth_url}\" is no address ({error})"),
    };
    Err(KeystoneError::Options { place: place(), problems: vec![problem] })
}

fn noauth_login(user_id: &str, project_id: &str) -> Login {
    let owner = |id: &str| Owner { id: id.to_owned(), ..Owner::default() };
    let document = TokenDocument {
        expires_at: DateTime::<Utc>::MAX_UTC,
        methods: Vec::new(),
        user: owner(user_id),
        project: Some(owner(project_id)),
        domain: None,
        system: None,
        roles: Vec::new(),
        catalog: None,
        is_admin_project: None,
        application_credential: None,
        trust: None,
        bind: None,
    };
    Login {
        token: Secret::new(format!("{user_id}:{project_id}")),
        document,
        identity_url: String::new(),
        renew_at: DateTime::<Utc>::MAX_UTC,
    }
}
