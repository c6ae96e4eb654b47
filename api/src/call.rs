//! One request after authentication: who calls, for which project, with what body.
//!
//! A handler takes a [`Call`], asks its policy question first ([`Call::enforce`]), then reads parameters and the
//! body, and does its database work in [`Call::read`] or [`Call::write`] on a blocking thread,
//! for as long as [`crate::patience`] allows.

use crate::body::{self, JsonBody};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::patience::is_unavailable;
use crate::policy;
use crate::query::Query;
use crate::room::Place;
use crate::state::ApiState;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use freezer_database::{Page, Tx};
use freezer_model::search::Search;
use freezer_model::{JobId, ProjectId, Timestamp};
use oslo_policy::Credentials;
use serde_json::{Map, Value, json};
use std::future::{Ready, ready};

pub struct Call {
    pub state: web::Data<ApiState>,
    pub caller: Caller,
    /// The project in the path: the owner of everything this call touches.
    pub project: ProjectId,
    pub now: Timestamp,
    /// The sender as policy sees him.
    credentials: Credentials,
    request: HttpRequest,
    payload: Payload,
    /// Of a large body, for as long as the call takes.
    _place: Option<Place>,
}

impl FromRequest for Call {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Self::new(request, payload))
    }
}

impl Call {
    fn new(request: &HttpRequest, payload: &mut Payload) -> Result<Self, ApiError> {
        let state = request
            .app_data::<web::Data<ApiState>>()
            .cloned()
            .ok_or_else(|| ApiError::internal("the application was built without its state"))?;
        let project = ProjectId::new(path_part(request, "project_id").unwrap_or_default());
        let caller = Caller::of(request)?;
        Ok(Self {
            now: state.clock.now(),
            credentials: policy::credentials(&caller.identity),
            state,
            caller,
            project,
            request: request.clone(),
            payload: payload.take(),
            _place: None,
        })
    }

    /// A part of the path, decoded; empty when the route has none of that name.
    pub fn path(&self, name: &str) -> String {
        path_part(&self.request, name).unwrap_or_default()
    }

    /// Refuses (403) unless policy lets the caller do this in the path's project.
    pub fn enforce(&self, rule: &str) -> Result<(), ApiError> {
        let target = Map::from_iter([("project_id".to_owned(), json!(self.project))]);
        if self.state.policy.allows(rule, &target, &self.credentials) {
            Ok(())
        } else {
            Err(ApiError::forbidden())
        }
    }

    /// Whether policy lets the caller do this whatever the project.
    pub fn is_allowed_everywhere(&self, rule: &str) -> bool {
        self.state.policy.allows(rule, &Map::new(), &self.credentials)
    }

    pub fn query(&self) -> Result<Query, ApiError> {
        Query::of(&self.request)
    }

    pub fn page(&self) -> Result<Page, ApiError> {
        self.query()?.page(self.state.options.max_limit)
    }

    /// The body as JSON, once.
    pub async fn json(&mut self) -> Result<JsonBody, ApiError> {
        self.json_up_to(0).await
    }

    /// The body as JSON, once; where this many bytes are more than is usual, they are taken.
    pub async fn json_up_to(&mut self, bytes: usize) -> Result<JsonBody, ApiError> {
        let payload = std::mem::replace(&mut self.payload, Payload::None);
        let options = &self.state.options;
        let limits =
            body::Limits { bytes: options.max_body_bytes.max(bytes), patience: options.body_timeout };
        let room = (&self.state.room, self.project.as_str());
        let (body, place) = body::take(&self.request, payload, limits, room).await?;
        self._place = place;
        Ok(body)
    }

    /// The body as the object it must be, once.
    pub async fn object(&mut self) -> Result<Map<String, Value>, ApiError> {
        self.json().await?.into_object()
    }

    /// The search document in the body of a list request.
    pub async fn search(&mut self) -> Result<Search, ApiError> {
        match self.json().await?.0 {
            None => Ok(Search::default()),
            Some(document) => Ok(Search::parse(&document)?),
        }
    }

    /// Runs `work` in a reading transaction on a blocking thread.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let db = self.state.db.clone();
        self.state.patience.blocking(move || db.read(work)).await
    }

    /// Runs `work` in a writing transaction on a blocking thread; it may be run again after a deadlock.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let db = self.state.db.clone();
        self.state.patience.blocking(move || db.transaction(work)).await
    }

    /// As [`Self::write`], for work that changes a row or inserts it when it is not there: when somebody else has inserted it in
    /// between, it is there to be changed.
    pub async fn upsert<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx) -> Result<T, ApiError> + Clone + Send + 'static,
    ) -> Result<T, ApiError> {
        match self.write(work.clone()).await {
            Err(error) if error.status == StatusCode::CONFLICT => self.write(work).await,
            outcome => outcome,
        }
    }

    /// As [`Self::write`], perhaps in one transaction with other calls' insertions; see [`crate::together`].
    pub async fn insert<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let insertions = &self.state.insertions;
        if insertions.is_stuck() {
            return self.write(work).await;
        }
        let outcome = self.state.patience.answered(insertions.write(work)).await;
        if is_unavailable(&outcome) {
            insertions.give_up();
        }
        outcome
    }

    /// Tells the conductors that a job was written. They would find it by themselves a little later, so a broker
    /// that is away is no reason to fail.
    pub fn tell_conductors(&self, project: &ProjectId, job: &JobId) {
        self.request.extensions_mut().insert(ChangedJob(job.clone()));
        self.state.notices.job_changed(&self.caller, project, job);
    }

    pub fn request(&self) -> &HttpRequest {
        &self.request
    }
}

fn path_part(request: &HttpRequest, name: &str) -> Option<String> {
    let mut text = percent_decoded(request.match_info().get(name)?);
    // No id ends with a space, but to MariaDB spaces at an end mean nothing: it would find the id without. This one it does not.
    if text.ends_with(' ') {
        text.push('\u{a0}');
    }
    Some(text)
}

/// The router leaves `%2F`, `%25` and `%2B` in path parts alone; ids are compared decoded.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The id of this request, as the answer's header and the log show it.
pub fn request_id(request: &HttpRequest) -> Option<String> {
    request.extensions().get::<RequestId>().map(|id| id.0.clone())
}

/// Put into the request by the handler that changed it, for those who tell others.
#[derive(Clone, Debug)]
pub struct ChangedJob(pub JobId);

/// Put into the request by the pipeline.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);
