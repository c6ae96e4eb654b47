//! Whose token is this? Caches first, then Keystone; at most one question about a token at any time.
//!
//! Invariants: a yes is believed for `token_cache_time` (that long a revoked token works) and never beyond the
//! token's own end; a no is believed for a few seconds, so that a client with a bad token does not become a
//! load on Keystone; when Keystone cannot be asked, nobody is let in. Tokens are known by their digest and
//! not kept in memory.

use crate::authtoken_config::AuthTokenConfig;
use crate::clock::{SharedClock, SystemClock};
use crate::error::KeystoneError;
use crate::login::error_message;
use crate::memcached::Memcached;
use crate::memory_cache::MemoryCache;
use crate::retry::retry_after;
use crate::secret::Secret;
use crate::session::Session;
use crate::token_document::TokenDocument;
use crate::token_store::{Stored, TokenStore, token_digest};
use chrono::TimeDelta;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use reqwest::header::HeaderValue;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Longer texts are no tokens, and not worth a question.
const LONGEST_TOKEN_BYTES: usize = 8192;

/// Why nobody is let in.
#[derive(Clone, Debug, Error)]
pub enum AuthFailure {
    /// No token or a bad one. The text is for the log: clients learn only that they are not let in.
    #[error("{0}")]
    Invalid(String),
    /// Keystone could not be asked.
    #[error("tokens cannot be validated: {0}")]
    Unavailable(KeystoneError),
}

/// Validates tokens. Clones are cheap and share login and caches.
#[derive(Clone)]
pub struct TokenValidator {
    inner: Arc<Inner>,
}

/// How long a token is taken from memory before memcached is asked again.
const NEAR_LIFE: TimeDelta = TimeDelta::seconds(5);

/// Digest of the token, and whether it may be expired.
type Question = ([u8; 32], bool);
type Answer = Result<Arc<TokenDocument>, AuthFailure>;
type Flight = Shared<BoxFuture<'static, Answer>>;

struct Inner {
    config: AuthTokenConfig,
    session: Session,
    clock: SharedClock,
    good: MemoryCache<[u8; 32], Arc<TokenDocument>>,
    bad: MemoryCache<Question, ()>,
    /// What memcached said a moment ago: a caller that sends many requests would have it asked, and its answer read, for each.
    near: MemoryCache<[u8; 32], Arc<TokenDocument>>,
    store: Option<TokenStore>,
    flights: Mutex<Flights>,
}

#[derive(Default)]
struct Flights {
    under_way: HashMap<Question, (u64, Flight)>,
    started: u64,
}

impl TokenValidator {
    /// Loads certificates; talks to nobody before the first token.
    pub fn new(config: AuthTokenConfig) -> Result<Self, KeystoneError> {
        Self::with_clock(config, Arc::new(SystemClock))
    }

    /// As [`TokenValidator::new`], with another clock to judge expiry by.
    pub fn with_clock(config: AuthTokenConfig, clock: SharedClock) -> Result<Self, KeystoneError> {
        let session = Session::with_clock(config.session.clone(), Arc::clone(&clock))?;
        let seconds = |life: std::time::Duration| TimeDelta::from_std(life).unwrap_or(TimeDelta::MAX / 4);
        let good_life = config.token_cache_time.map_or(TimeDelta::zero(), seconds);
        let store =
            config.token_cache_time.filter(|_| !config.memcached_servers.is_empty()).map(|life| TokenStore {
                memcached: Memcached::new(
                    &config.memcached_servers,
                    config.memcache_pool,
                    Arc::clone(&clock),
                ),
                protection: config.memcache_protection.clone(),
                life,
            });
        let inner = Inner {
            session,
            good: MemoryCache::new(good_life, config.token_cache_limit, Arc::clone(&clock)),
            bad: MemoryCache::new(
                seconds(config.refusal_cache_time),
                config.token_cache_limit,
                Arc::clone(&clock),
            ),
            near: MemoryCache::new(good_life.min(NEAR_LIFE), config.token_cache_limit, Arc::clone(&clock)),
            store,
            flights: Mutex::default(),
            clock,
            config,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub fn config(&self) -> &AuthTokenConfig {
        &self.inner.config
    }

    /// The service's own session: to act as the service elsewhere with the same login.
    pub fn session(&self) -> &Session {
        &self.inner.session
    }

    /// What Keystone knows about `token`. Expired tokens are refused unless `allow_expired`, which is for
    /// requests a service vouches for, and then Keystone still decides how old is too old.
    pub async fn validate(&self, token: &Secret, allow_expired: bool) -> Answer {
        let text = token.expose();
        if text.is_empty()
            || text.len() > LONGEST_TOKEN_BYTES
            || !text.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(invalid("what came as a token cannot be one"));
        }
        let question = (token_digest(text), allow_expired);
        let known = self.inner.good.get(&question.0).or_else(|| self.inner.near.get(&question.0));
        let document = match known {
            Some(document) => document,
            None if self.inner.bad.get(&question).is_some() => {
                return Err(invalid("Keystone refused this token a moment ago"));
            }
            None => self.inner.flight(question, token).await?,
        };
        if !allow_expired && document.is_expired(self.inner.clock.now()) {
            return Err(invalid("the token has expired"));
        }
        Ok(document)
    }
}

pub(crate) fn invalid(why: &str) -> AuthFailure {
    AuthFailure::Invalid(why.to_owned())
}

impl Inner {
    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the question about this token that is under way, or starts it in a task of its own, so that a
    /// client that hangs up does not stop it for others.
    fn flight(self: &Arc<Self>, question: Question, token: &Secret) -> Flight {
        let mut flights = self.flights();
        // One that ended and is still listed was stopped before it began.
        if let Some((_, flight)) =
            flights.under_way.get(&question).filter(|(_, flight)| flight.peek().is_none())
        {
            return flight.clone();
        }
        flights.started += 1;
        let number = flights.started;
        let (inner, token) = (Arc::clone(self), token.clone());
        let task = tokio::spawn(async move {
            let landing = Landing { inner, question, number };
            landing.inner.find_out(question, &token).await
        });
        let stopped = |_| Err(AuthFailure::Unavailable(KeystoneError::Stopped));
        let flight = task.map(move |outcome| outcome.unwrap_or_else(stopped)).boxed().shared();
        flights.under_way.insert(question, (number, flight.clone()));
        flight
    }

    async fn find_out(&self, question: Question, token: &Secret) -> Answer {
        match self.look_in_store(question.1, token).await {
            Some(Stored::Good(document)) => {
                let document: Arc<TokenDocument> = Arc::from(document);
                self.near.put(question.0, Arc::clone(&document));
                return Ok(document);
            }
            Some(Stored::Invalid) => return Err(invalid("memcached says that the token is invalid")),
            None => {}
        }
        let answer = match self.ask(token, question.1).await {
            Ok(answer) => answer,
            Err(failure) => {
                if matches!(failure, AuthFailure::Invalid(_)) {
                    self.bad.put(question, ());
                }
                return Err(failure);
            }
        };
        let unreadable = |cause| {
            let url = "the validation of a token".to_owned();
            AuthFailure::Unavailable(KeystoneError::BadDocument { url, cause })
        };
        let document = Arc::new(TokenDocument::from_answer(&answer).map_err(unreadable)?);
        let stored = match &self.store {
            Some(store) => store.put(token.expose(), &answer).await,
            None => false,
        };
        // With memcached, the memory holds only what memcached would not take.
        if !stored {
            self.good.put(question.0, Arc::clone(&document));
        }
        Ok(document)
    }

    async fn look_in_store(&self, allow_expired: bool, token: &Secret) -> Option<Stored> {
        match self.store.as_ref()?.get(token.expose()).await? {
            // The note was made for a question without allow_expired.
            Stored::Invalid if allow_expired => None,
            // Put there by a service that needs no catalogue; the rules cannot be judged without.
            Stored::Good(document) if has_rules(&document) && document.catalog.is_none() => None,
            stored => Some(stored),
        }
    }

    async fn ask(&self, token: &Secret, allow_expired: bool) -> Result<Value, AuthFailure> {
        let with_catalog = self.config.include_service_catalog;
        let answer = self.ask_keystone(token, allow_expired, with_catalog).await?;
        let rules = answer.pointer("/token/application_credential/access_rules");
        if !with_catalog && rules.is_some_and(|rules| !rules.is_null()) {
            return self.ask_keystone(token, allow_expired, true).await;
        }
        Ok(answer)
    }

    /// `GET /v3/auth/tokens`: one new login when the own token is refused, repetitions only when nobody answers.
    async fn ask_keystone(
        &self,
        token: &Secret,
        allow_expired: bool,
        with_catalog: bool,
    ) -> Result<Value, AuthFailure> {
        let policy = &self.config.validation_retries;
        let mut logged_in_again = false;
        let mut repetition = 0;
        loop {
            let own = self.session.token().await.map_err(AuthFailure::Unavailable)?;
            let url =
                self.validation_url(allow_expired, with_catalog).await.map_err(AuthFailure::Unavailable)?;
            let response = match self.send(&url, token, &own).await {
                Ok(response) => response,
                Err(error) if error.is_connect() && repetition < policy.max_retries => {
                    tokio::time::sleep(policy.pause(repetition, None)).await;
                    repetition += 1;
                    continue;
                }
                Err(error) => return Err(AuthFailure::Unavailable(KeystoneError::unreachable(&url, &error))),
            };
            match response.status().as_u16() {
                200 => {
                    let unreadable = |error: reqwest::Error| {
                        let cause = format!("it is no JSON ({error})");
                        AuthFailure::Unavailable(KeystoneError::BadDocument { url: url.clone(), cause })
                    };
                    return response.json().await.map_err(unreadable);
                }
                404 => return Err(invalid("Keystone does not know the token")),
                401 if !logged_in_again => {
                    tracing::info!("Keystone refused the service's own token, logging in again");
                    self.session.refuse(&own);
                    logged_in_again = true;
                }
                status => {
                    let asked = retry_after(response.headers(), self.clock.now());
                    let detail = error_message(response).await;
                    tracing::error!(status, detail, ?asked, "Keystone cannot validate a token");
                    let method = "GET".to_owned();
                    return Err(AuthFailure::Unavailable(KeystoneError::Answer {
                        method,
                        url,
                        status,
                        detail,
                    }));
                }
            }
        }
    }

    /// Where the own catalogue has Keystone, else where the login was made.
    async fn validation_url(&self, allow_expired: bool, with_catalog: bool) -> Result<String, KeystoneError> {
        let base = match self.session.endpoint("identity", None, None).await {
            Ok(address) => v3_of(&address),
            Err(error @ KeystoneError::NoEndpoint { .. }) => {
                tracing::debug!(%error, "tokens are validated at auth_url");
                self.session.login().await?.identity_url.clone()
            }
            Err(error) => return Err(error),
        };
        let query = match (allow_expired, with_catalog) {
            (false, true) => "",
            (true, true) => "?allow_expired=1",
            (false, false) => "?nocatalog",
            (true, false) => "?nocatalog&allow_expired=1",
        };
        Ok(format!("{base}/auth/tokens{query}"))
    }

    async fn send(&self, url: &str, token: &Secret, own: &Secret) -> reqwest::Result<reqwest::Response> {
        let mut request = self.session.http().get(url).header("Accept", "application/json");
        // Without this Keystone denies tokens with access rules, as it cannot know that we check them.
        request = request.header("OpenStack-Identity-Access-Rules", "1");
        for (name, secret) in [("X-Subject-Token", token), ("X-Auth-Token", own)] {
            if let Ok(mut value) = HeaderValue::from_str(secret.expose()) {
                value.set_sensitive(true);
                request = request.header(name, value);
            }
        }
        request.timeout(self.config.session.keystone_timeout).send().await
    }
}

fn has_rules(document: &TokenDocument) -> bool {
    document.application_credential.as_ref().is_some_and(|used| used.access_rules.is_some())
}

/// A catalogue may hold `http://host:5000`, `…/identity`, `…/v3` or, in old clouds, `…/v2.0`.
fn v3_of(address: &str) -> String {
    let bare = address.trim_end_matches('/');
    if bare.ends_with("/v3") {
        return bare.to_owned();
    }
    format!("{}/v3", bare.strip_suffix("/v2.0").unwrap_or(bare))
}

/// Takes the question off the list, also when its task is stopped halfway. Made inside the task: a runtime that
/// shuts down drops new tasks at once, while the list is still locked.
struct Landing {
    inner: Arc<Inner>,
    question: Question,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut flights = self.inner.flights();
        if flights.under_way.get(&self.question).is_some_and(|(number, _)| *number == self.number) {
            flights.under_way.remove(&self.question);
        }
    }
}
