//! The validator as middleware of actix-web.
//!
//! Every request loses the headers only a proxy of ours could rightly send; then its tokens are judged, and an
//! [`Identity`] is put into the request's extensions. Nothing else is set. Who is not let in gets the
//! answers of keystonemiddleware: 401 with `WWW-Authenticate`, or 503 when Keystone cannot be asked.

use crate::answers::{challenge, unauthorized, unavailable};
use crate::authenticate::Credentials;
use crate::forged_headers;
use crate::identity::Identity;
use crate::noauth;
use crate::secret::Secret;
use crate::validator::{AuthFailure, TokenValidator};
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use actix_web::{Error, HttpMessage};
use futures_util::future::LocalBoxFuture;
use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;

/// Middleware that lets only requests with a valid token through. Make one, clone it into every worker's `App`:
/// clones share login and caches.
#[derive(Clone)]
pub struct AuthToken {
    rules: Arc<Rules>,
}

struct Rules {
    source: Source,
    public_paths: Vec<String>,
    challenge: Option<HeaderValue>,
}

enum Source {
    Keystone(TokenValidator),
    NoAuth { project_of_path: fn(&str) -> Option<String> },
}

impl AuthToken {
    /// Identities from Keystone.
    pub fn new(validator: TokenValidator) -> Self {
        let challenge = challenge(&validator.config().www_authenticate_uri);
        Self::made_of(Source::Keystone(validator), challenge)
    }

    /// Identities from whatever the client says: `auth_strategy = noauth`. `project_of_path` finds the project
    /// in a path such as `/v2/{project_id}/jobs`.
    pub fn noauth(project_of_path: fn(&str) -> Option<String>) -> Self {
        tracing::warn!(
            "auth_strategy is noauth: NOBODY IS AUTHENTICATED, everybody who reaches this service is whom they \
             claim to be; use it on a closed machine only"
        );
        Self::made_of(Source::NoAuth { project_of_path }, None)
    }

    fn made_of(source: Source, challenge: Option<HeaderValue>) -> Self {
        Self { rules: Arc::new(Rules { source, public_paths: Vec::new(), challenge }) }
    }

    /// Paths for which nobody needs a token, such as `/`, `/v2/`, `/healthcheck`. They match whole, a slash at
    /// the end aside; `/docs/*` means everything below `/docs/`. No identity is set there.
    pub fn public_paths(self, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let Rules { source, challenge, .. } = match Arc::try_unwrap(self.rules) {
            Ok(rules) => rules,
            Err(shared) => Rules {
                source: shared.source.clone(),
                public_paths: Vec::new(),
                challenge: shared.challenge.clone(),
            },
        };
        let public_paths = paths.into_iter().map(Into::into).collect();
        Self { rules: Arc::new(Rules { source, public_paths, challenge }) }
    }
}

impl Clone for Source {
    fn clone(&self) -> Self {
        match self {
            Self::Keystone(validator) => Self::Keystone(validator.clone()),
            Self::NoAuth { project_of_path } => Self::NoAuth { project_of_path: *project_of_path },
        }
    }
}

impl Rules {
    fn is_public(&self, path: &str) -> bool {
        let whole = |path: &str| path.trim_end_matches('/').to_owned();
        self.public_paths.iter().any(|public| match public.strip_suffix('*') {
            // A path with dots could climb out again behind a proxy that resolves them.
            Some(below) => path.starts_with(below) && !path.contains(".."),
            None => whole(public) == whole(path),
        })
    }

    async fn judge(&self, request: &ServiceRequest, sent: Sent) -> Result<Option<Identity>, AuthFailure> {
        let path = request.uri().path();
        let validator = match &self.source {
            _ if self.is_public(path) => return Ok(None),
            Source::NoAuth { .. } => return Ok(sent.unproven),
            Source::Keystone(validator) => validator,
        };
        let credentials = Credentials {
            user_token: sent.user_token.as_ref(),
            service_token: sent.service_token.as_ref(),
            method: request.method().as_str(),
            path,
        };
        match validator.authenticate(credentials).await {
            Ok(identity) => Ok(Some(identity)),
            Err(failure) => {
                log_failure(request, &failure);
                if validator.config().delay_auth_decision { Ok(None) } else { Err(failure) }
            }
        }
    }
}

fn log_failure(request: &ServiceRequest, failure: &AuthFailure) {
    let (method, path) = (request.method(), request.uri().path());
    match failure {
        AuthFailure::Invalid(why) => tracing::info!(%method, path, why, "request without a valid token"),
        AuthFailure::Unavailable(error) => {
            tracing::error!(%method, path, %error, "tokens cannot be validated")
        }
    }
}

/// What the client says about itself, taken before the headers are cleaned.
struct Sent {
    user_token: Option<Secret>,
    service_token: Option<Secret>,
    unproven: Option<Identity>,
}

impl Sent {
    fn take(request: &mut ServiceRequest, rules: &Rules) -> Self {
        let headers = request.headers();
        let unproven = match &rules.source {
            Source::NoAuth { project_of_path } => {
                Some(noauth::identity(headers, project_of_path(request.uri().path())))
            }
            Source::Keystone(_) => None,
        };
        let sent = Self {
            user_token: token(headers, "X-Auth-Token").or_else(|| token(headers, "X-Storage-Token")),
            service_token: token(headers, "X-Service-Token"),
            unproven,
        };
        forged_headers::remove(request.headers_mut());
        sent
    }
}

/// Blanks around a token do not count. What is no text is kept as such, to be refused.
fn token(headers: &HeaderMap, name: &str) -> Option<Secret> {
    let text = String::from_utf8_lossy(headers.get(name)?.as_bytes());
    let text = text.trim();
    (!text.is_empty()).then(|| Secret::new(text))
}

impl<S, B> Transform<S, ServiceRequest> for AuthToken
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = AuthTokenService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(AuthTokenService { service: Rc::new(service), rules: Arc::clone(&self.rules) }))
    }
}

/// [`AuthToken`] in one worker.
pub struct AuthTokenService<S> {
    service: Rc<S>,
    rules: Arc<Rules>,
}

impl<S, B> Service<ServiceRequest> for AuthTokenService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    forward_ready!(service);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let (service, rules) = (Rc::clone(&self.service), Arc::clone(&self.rules));
        Box::pin(async move {
            let sent = Sent::take(&mut request, &rules);
            match rules.judge(&request, sent).await {
                Ok(Some(identity)) => {
                    request.extensions_mut().insert(identity);
                }
                Ok(None) => {}
                Err(failure) => {
                    let answer = match failure {
                        AuthFailure::Invalid(_) => unauthorized(rules.challenge.as_ref()),
                        AuthFailure::Unavailable(_) => unavailable(request.headers()),
                    };
                    return Ok(request.into_response(answer).map_into_right_body());
                }
            }
            let mut response = service.call(request).await?;
            if response.status() == StatusCode::UNAUTHORIZED
                && let Some(challenge) = &rules.challenge
            {
                response.headers_mut().append(WWW_AUTHENTICATE, challenge.clone());
            }
            Ok(response.map_into_left_body())
        })
    }
}
