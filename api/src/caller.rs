//! Who calls, as policy and the rows they write need it.

use crate::error::ApiError;
use actix_web::{HttpMessage, HttpRequest};
use freezer_model::{ProjectId, UserId};
use keystone::Identity;
use oslo_log::RequestContext;

/// The authenticated sender of a request.
#[derive(Clone, Debug)]
pub struct Caller {
    pub user_id: UserId,
    /// The project of the token; none for domain, system and unscoped tokens.
    pub project_id: Option<ProjectId>,
    pub request_id: Option<String>,
    pub identity: Identity,
}

impl Caller {
    pub fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let identity = require_identity(request)?;
        oslo_log::record(&tracing::Span::current(), &log_context(&identity));
        Ok(Self {
            user_id: UserId::from(identity.user_id.as_str()),
            project_id: identity.project_id.as_deref().map(ProjectId::from),
            request_id: crate::call::request_id(request),
            identity,
        })
    }
}

/// The identity the authentication left in the request.
pub fn require_identity(request: &HttpRequest) -> Result<Identity, ApiError> {
    let found = request.extensions().get::<Identity>().cloned();
    found.ok_or_else(|| {
        ApiError::internal("a request passed authentication without an identity: check delay_auth_decision")
    })
}

/// What log lines of this request say from now on.
fn log_context(identity: &Identity) -> RequestContext {
    RequestContext {
        user: Some(identity.user_id.clone()),
        project: identity.project_id.clone(),
        domain: identity.domain_id.clone(),
        system_scope: identity.system_scope.clone(),
        user_domain: identity.user_domain_id.clone(),
        project_domain: identity.project_domain_id.clone(),
        user_name: identity.user_name.clone(),
        project_name: identity.project_name.clone(),
        roles: identity.roles.clone(),
        ..RequestContext::default()
    }
}
