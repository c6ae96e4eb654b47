//! The services of the cloud under the one login of an action.
//!
//! Requests that the session repeats (a refused token, a service that is busy or gone) are repeated there; here answers
//! become documents, refusals become words, and the newest microversion that both sides know is found once a service.

use super::error::CloudError;
use super::trail::Trail;
use super::waiting::{Timer, TokioTimer};
use freezer_vault::Monitor;
use keystone::{KeystoneError, ServiceRequest, Session};
use reqwest::{Method, Response};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub type Version = (u32, u32);

/// For how long the answer to what [`makes`] something is waited for once the action has to end. Whoever ends it kills it some time later
/// (`daemon::child`), and what was made is to be removed before.
const AFTER_ABORT: Duration = Duration::from_secs(15);

/// A service, as the catalogue and people call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    Cinder,
    Glance,
    Nova,
    Neutron,
    Swift,
    Heat,
    Barbican,
}

impl Service {
    pub fn name(self) -> &'static str {
        match self {
            Self::Cinder => "Cinder",
            Self::Glance => "Glance",
            Self::Nova => "Nova",
            Self::Neutron => "Neutron",
            Self::Swift => "Swift",
            Self::Heat => "Heat",
            Self::Barbican => "Barbican",
        }
    }

    /// Type in the catalogue.
    pub fn catalogue_type(self) -> &'static str {
        match self {
            Self::Cinder => "block-storage",
            Self::Glance => "image",
            Self::Nova => "compute",
            Self::Neutron => "network",
            Self::Swift => "object-store",
            Self::Heat => "orchestration",
            Self::Barbican => "key-manager",
        }
    }

    /// What stands before a path: the catalogue's addresses of Glance, Neutron and Barbican name no version.
    fn prefix(self) -> &'static str {
        match self {
            Self::Glance => "/v2",
            Self::Neutron => "/v2.0",
            Self::Barbican => "/v1",
            Self::Cinder | Self::Nova | Self::Swift | Self::Heat => "",
        }
    }

    /// The newest microversion that the calls were written against, and its word in the header.
    fn microversions(self) -> Option<(&'static str, Version)> {
        match self {
            Self::Cinder => Some(("volume", (3, 70))),
            Self::Nova => Some(("compute", (2, 93))),
            Self::Glance | Self::Neutron | Self::Swift | Self::Heat | Self::Barbican => None,
        }
    }
}

/// Clones are cheap and share the login.
#[derive(Clone)]
pub struct Cloud {
    session: Session,
    monitor: Arc<Monitor>,
    timer: Arc<dyn Timer>,
    /// Seconds that a change of state may take.
    timeout_secs: u64,
    /// Sent along, so that the logs of all services can be joined.
    request_id: String,
    versions: Arc<Mutex<BTreeMap<Service, Version>>>,
    /// Of what is made here for the work alone.
    trail: Arc<Trail>,
}

impl Cloud {
    pub fn new(session: Session, monitor: Arc<Monitor>, timeout_secs: u64) -> Self {
        let request_id = format!("req-{}", uuid::Uuid::new_v4());
        let timer = Arc::new(TokioTimer::new());
        let (versions, trail) = (Arc::default(), Arc::default());
        Self { session, monitor, timer, timeout_secs, request_id, versions, trail }
    }

    /// The same login; what it makes for a while goes into this trail.
    pub fn with_trail(self, trail: &Arc<Trail>) -> Self {
        Self { trail: trail.clone(), ..self }
    }

    /// The same login, ended by another's abort.
    pub fn watched_by(&self, monitor: &Arc<Monitor>) -> Self {
        Self { monitor: monitor.clone(), ..self.clone() }
    }

    /// The same login, but not ended by an abort: for tidying up.
    pub fn undisturbed(&self) -> Self {
        Self { monitor: Arc::new(Monitor::new()), ..self.clone() }
    }

    pub fn with_timer(self, timer: Arc<dyn Timer>) -> Self {
        Self { timer, ..self }
    }

    pub fn session(&self) -> &Session {
        &self.session
    }
    pub fn monitor(&self) -> &Arc<Monitor> {
        &self.monitor
    }
    pub fn trail(&self) -> &Trail {
        &self.trail
    }
    pub fn timer(&self) -> &dyn Timer {
        self.timer.as_ref()
    }
    pub fn timeout_secs(&self) -> u64 {
        self.timeout_secs
    }

    /// Id of the project the login is for.
    pub async fn project_id(&self) -> Result<String, CloudError> {
        let session = |cause| CloudError::Session { service: "Keystone", cause };
        let project = self.session.project_id().await.map_err(session)?;
        project.ok_or_else(|| CloudError::Choice {
            what: "the login".to_owned(),
            cause: "is scoped to no project; set project_id, or the project of the agent's login".to_owned(),
        })
    }

    /// Whether the user of the token is another one than who the action is for: a trust that does not impersonate leaves the token to
    /// the trustee. What belongs to users, and not to projects, is his then.
    pub async fn acts_for_another_user(&self) -> Result<bool, CloudError> {
        let session = |cause| CloudError::Session { service: "Keystone", cause };
        let login = self.session.login().await.map_err(session)?;
        Ok(login.document.trust.as_ref().is_some_and(|trust| !trust.impersonation))
    }

    /// Whether the catalogue of the login has the service.
    pub async fn has(&self, service: Service) -> Result<bool, CloudError> {
        match self.session.endpoint(service.catalogue_type(), None, None).await {
            Ok(_) => Ok(true),
            Err(KeystoneError::NoEndpoint { .. }) => Ok(false),
            Err(cause) => Err(CloudError::Session { service: service.name(), cause }),
        }
    }

    pub async fn get(
        &self,
        service: Service,
        path: &str,
        query: &[(&str, &str)],
        what: &str,
    ) -> Result<Value, CloudError> {
        let mut request = self.request(service, Method::GET, path, None).await?;
        for (key, value) in query {
            request = request.query(*key, *value);
        }
        self.document(service, request, what).await
    }

    pub async fn post(
        &self,
        service: Service,
        path: &str,
        body: &Value,
        what: &str,
    ) -> Result<Value, CloudError> {
        let request = self.request(service, Method::POST, path, None).await?.json(body);
        self.document(service, request, what).await
    }

    pub async fn put(
        &self,
        service: Service,
        path: &str,
        body: &Value,
        what: &str,
    ) -> Result<Value, CloudError> {
        let request = self.request(service, Method::PUT, path, None).await?.json(body);
        self.document(service, request, what).await
    }

    /// What is gone already is no error.
    pub async fn delete(&self, service: Service, path: &str, what: &str) -> Result<(), CloudError> {
        let request = self.request(service, Method::DELETE, path, None).await?;
        match self.document(service, request, what).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// A request for `path` in the newest version both sides know, or in `version`.
    pub async fn request(
        &self,
        service: Service,
        method: Method,
        path: &str,
        version: Option<Version>,
    ) -> Result<ServiceRequest, CloudError> {
        let path = format!("{}{path}", service.prefix());
        let mut request =
            self.session.request(method, service.catalogue_type(), &path).request_id(&self.request_id);
        if let Some((word, _)) = service.microversions() {
            let (major, minor) = match version {
                Some(version) => version,
                None => self.version(service).await?,
            };
            request = request.header("OpenStack-API-Version", &format!("{word} {major}.{minor}"));
        }
        Ok(request)
    }

    /// Sends; an abort ends the waiting. Any status is an answer.
    ///
    /// What [`makes`] something and is under way is waited for even then: the service goes on with it, and what it makes can only be
    /// removed once it is known.
    pub async fn send(&self, service: Service, request: ServiceRequest) -> Result<Response, CloudError> {
        let aborted = self.monitor.token();
        if aborted.is_cancelled() {
            return Err(CloudError::Aborted);
        }
        let makes = makes(&request);
        let answer = self.heard(makes, request.send()).await?;
        answer.map_err(|cause| CloudError::Session { service: service.name(), cause })
    }

    /// What `answer` brings, if it comes before an abort, or soon after it of what `makes` something.
    async fn heard<T>(&self, makes: bool, answer: impl Future<Output = T>) -> Result<T, CloudError> {
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => Ok(answer),
            () = self.monitor.token().cancelled() => {
                if !makes {
                    return Err(CloudError::Aborted);
                }
                tokio::time::timeout(AFTER_ABORT, answer).await.map_err(|_| CloudError::Aborted)
            }
        }
    }

    /// Sends, and reads the JSON of a good answer (null when it is empty).
    pub async fn document(
        &self,
        service: Service,
        request: ServiceRequest,
        what: &str,
    ) -> Result<Value, CloudError> {
        let makes = makes(&request);
        let answer = self.send(service, request).await?;
        self.heard(makes, read(service, answer, what)).await?
    }

    /// The microversion that is spoken with a service.
    pub async fn version(&self, service: Service) -> Result<Version, CloudError> {
        let Some((_, newest)) = service.microversions() else { return Ok((0, 0)) };
        if let Some(known) = self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(&service) {
            return Ok(*known);
        }
        let spoken = self.ask_version(service, newest).await?.min(newest);
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).insert(service, spoken);
        Ok(spoken)
    }

    /// # Errors
    /// When the service is older than `version`, which `what` needs.
    pub async fn needs(&self, service: Service, version: Version, what: &str) -> Result<(), CloudError> {
        let known = self.version(service).await?;
        if known >= version {
            return Ok(());
        }
        Err(CloudError::TooOld { service: service.name(), what: what.to_owned(), known, needed: version })
    }

    /// The versions document stands above the project: `…/v3/`, `…/v2.1/`.
    async fn ask_version(&self, service: Service, newest: Version) -> Result<Version, CloudError> {
        let session = |cause| CloudError::Session { service: service.name(), cause };
        let endpoint = self.session.endpoint(service.catalogue_type(), None, None).await.map_err(session)?;
        let major = format!("/v{}", newest.0);
        let (root, rest) = endpoint.split_once(&major).unwrap_or((endpoint.as_str(), ""));
        let rest = rest.split('/').next().unwrap_or_default();
        let address = format!("{root}{major}{rest}/");
        let request = self.session.request_address(Method::GET, &address);
        let document = self.document(service, request, "its versions").await?;
        let text = document.pointer("/versions/0/version").or_else(|| document.pointer("/version/version"));
        let known = text
            .and_then(Value::as_str)
            .and_then(|text| text.split_once('.'))
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        Ok(known.unwrap_or((newest.0, 0)))
    }
}

/// Whether a service may have made something when its answer is not heard. Content that is sent ends with the sender.
fn makes(request: &ServiceRequest) -> bool {
    matches!(*request.method(), Method::POST | Method::PUT) && !request.is_stream()
}

/// The JSON of a good answer.
async fn read(service: Service, answer: Response, what: &str) -> Result<Value, CloudError> {
    let answer = good(service, answer, what).await?;
    let id = request_id(&answer);
    let wrong = |cause: String| CloudError::Answer {
        service: service.name(),
        what: what.to_owned(),
        cause,
        request: id.clone().map(|id| format!(" (request {id})")).unwrap_or_default(),
    };
    let text = answer.text().await.map_err(|error| wrong(error.to_string()))?;
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
}

/// A good answer as it is, or the refusal in the service's words.
pub async fn good(service: Service, answer: Response, what: &str) -> Result<Response, CloudError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let id = request_id(&answer);
    let text = answer.text().await.unwrap_or_default();
    Err(CloudError::refused(service.name(), what.to_owned(), status.as_u16(), &text, id.as_deref()))
}

fn request_id(answer: &Response) -> Option<String> {
    let names = ["x-openstack-request-id", "x-compute-request-id"];
    names.iter().find_map(|name| Some(answer.headers().get(*name)?.to_str().ok()?.to_owned()))
}

/// A text in a document by its JSON pointer.
pub fn text_at(service: Service, document: &Value, pointer: &str) -> Result<String, CloudError> {
    let found = document.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| CloudError::Answer {
        service: service.name(),
        what: "a request".to_owned(),
        cause: format!("it has no {pointer}"),
        request: String::new(),
    })
}

/// An id that goes into a path must be one: anything else would name another resource.
pub fn checked_id<'a>(service: Service, kind: &str, id: &'a str) -> Result<&'a str, CloudError> {
    let is_plain = !id.is_empty()
        && id.len() <= 64
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_plain {
        return Ok(id);
    }
    let what = format!("{kind} '{id}'");
    Err(CloudError::NotFound { service: service.name(), what, request: String::new() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use keystone::{Auth, SessionOptions};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Sends, aborts once the service has the request, and only then lets it answer.
    async fn aborted_under_way(method: Method, body: Option<&'static str>) -> Result<Response, CloudError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/volumes", listener.local_addr().unwrap());
        let auth = Auth::None { user_id: "u".into(), project_id: "p".into() };
        let session = Session::new(SessionOptions::new("", auth)).unwrap();
        let cloud = Cloud::new(session, Arc::new(Monitor::new()), 120);
        let request = cloud.session().request_address(method, &address);
        let request = match body {
            Some(body) => request.stream(body),
            None => request,
        };
        let service = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = [0_u8; 4096];
            assert!(connection.read(&mut head).await.unwrap() > 0);
            cloud.monitor().cancel();
            tokio::task::yield_now().await;
            let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            // Nobody reads it where the waiting has ended.
            let _ = connection.write_all(answer).await;
        };
        tokio::join!(cloud.send(Service::Cinder, request), service).0
    }

    #[tokio::test]
    async fn what_a_service_is_making_is_known_after_an_abort() {
        for method in [Method::POST, Method::PUT] {
            assert_eq!(aborted_under_way(method, None).await.unwrap().status(), 202);
        }
        for (method, body) in [(Method::GET, None), (Method::PUT, Some("content"))] {
            assert!(matches!(aborted_under_way(method, body).await, Err(CloudError::Aborted)));
        }
    }
}
