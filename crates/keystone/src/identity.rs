//! Who sent a request, as the token says.

use crate::answers::unauthorized;
use crate::catalog::Catalog;
use crate::secret::Secret;
use crate::token_document::{DomainName, Owner, TokenDocument};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, error::InternalError};
use chrono::{DateTime, Utc};
use std::future::{Ready, ready};
use std::sync::Arc;

/// The sender of a request. Handlers take it as an argument; without a valid token the answer is 401.
///
/// Scope: `project_id`, `domain_id` and `system_scope` exclude each other, and all are none for an unscoped
/// token, which is valid too: the policy must refuse it.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    pub user_id: String,
    pub user_name: Option<String>,
    pub user_domain_id: Option<String>,
    pub user_domain_name: Option<String>,
    pub project_id: Option<String>,
    pub project_name: Option<String>,
    pub project_domain_id: Option<String>,
    pub project_domain_name: Option<String>,
    pub domain_id: Option<String>,
    pub domain_name: Option<String>,
    /// `all` for a system-scoped token.
    pub system_scope: Option<String>,
    pub roles: Vec<String>,
    /// True unless the token says otherwise.
    pub is_admin_project: bool,
    pub trust_id: Option<String>,
    pub application_credential_id: Option<String>,
    /// The service that sent the request on the user's behalf, if its token was valid.
    pub service: Option<ServiceIdentity>,
    /// A service token came and was not valid. Happens only with `delay_auth_decision`.
    pub service_token_invalid: bool,
    /// May lie in the past when a service vouches for the request (`allow_expired`).
    pub expires_at: DateTime<Utc>,
    /// The token itself, for requests on the user's behalf. Empty in noauth mode.
    pub token: Secret,
    document: Option<Arc<TokenDocument>>,
}

/// The sender of the service token.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceIdentity {
    pub user_id: String,
    pub user_name: Option<String>,
    pub user_domain_id: Option<String>,
    pub user_domain_name: Option<String>,
    pub project_id: Option<String>,
    pub project_name: Option<String>,
    pub project_domain_id: Option<String>,
    pub project_domain_name: Option<String>,
    pub roles: Vec<String>,
}

impl Identity {
    pub(crate) fn from_document(document: Arc<TokenDocument>, token: Secret) -> Self {
        let user = &document.user;
        let (user_domain_id, user_domain_name) = domain_of(user);
        let project = OwnerFields::of(document.project.as_ref());
        let domain = document.domain.clone().unwrap_or_default();
        Self {
            user_id: user.id.clone(),
            user_name: user.name.clone(),
            user_domain_id,
            user_domain_name,
            project_id: project.id,
            project_name: project.name,
            project_domain_id: project.domain_id,
            project_domain_name: project.domain_name,
            domain_id: domain.id,
            domain_name: domain.name,
            system_scope: document.system.as_ref().filter(|system| system.all).map(|_| "all".to_owned()),
            roles: document.role_names(),
            is_admin_project: document.is_admin_project.unwrap_or(true),
            trust_id: document.trust.as_ref().map(|trust| trust.id.clone()),
            application_credential_id: document.application_credential.as_ref().map(|used| used.id.clone()),
            service: None,
            service_token_invalid: false,
            expires_at: document.expires_at,
            token,
            document: Some(document),
        }
    }

    /// An identity nobody proved: noauth mode, and tests of what comes behind the middleware.
    pub fn unproven(user_id: &str, project_id: &str, roles: &[&str]) -> Self {
        let default = || Some("default".to_owned());
        Self {
            user_id: user_id.to_owned(),
            user_name: Some(user_id.to_owned()),
            user_domain_id: default(),
            user_domain_name: Some("Default".to_owned()),
            project_id: Some(project_id.to_owned()),
            project_name: Some(project_id.to_owned()),
            project_domain_id: default(),
            project_domain_name: Some("Default".to_owned()),
            domain_id: None,
            domain_name: None,
            system_scope: None,
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            is_admin_project: true,
            trust_id: None,
            application_credential_id: None,
            service: None,
            service_token_invalid: false,
            expires_at: DateTime::<Utc>::MAX_UTC,
            token: Secret::new(""),
            document: None,
        }
    }

    /// The services this user may use. None in noauth mode, for unscoped tokens, and where
    /// `include_service_catalog` is off.
    pub fn catalog(&self) -> Option<&Catalog> {
        self.document.as_ref()?.catalog.as_ref()
    }

    /// What Keystone said about the token.
    pub(crate) fn document(&self) -> Option<&TokenDocument> {
        self.document.as_deref()
    }

    /// How the token was got: `password`, `application_credential`, …
    pub fn methods(&self) -> &[String] {
        self.document.as_ref().map_or(&[], |document| &document.methods)
    }
}

impl ServiceIdentity {
    pub(crate) fn from_document(document: &TokenDocument) -> Self {
        let user = OwnerFields::of(Some(&document.user));
        let project = OwnerFields::of(document.project.as_ref());
        Self {
            user_id: document.user.id.clone(),
            user_name: user.name,
            user_domain_id: user.domain_id,
            user_domain_name: user.domain_name,
            project_id: project.id,
            project_name: project.name,
            project_domain_id: project.domain_id,
            project_domain_name: project.domain_name,
            roles: document.role_names(),
        }
    }
}

#[derive(Default)]
struct OwnerFields {
    id: Option<String>,
    name: Option<String>,
    domain_id: Option<String>,
    domain_name: Option<String>,
}

impl OwnerFields {
    fn of(owner: Option<&Owner>) -> Self {
        let Some(owner) = owner else { return Self::default() };
        let (domain_id, domain_name) = domain_of(owner);
        Self { id: Some(owner.id.clone()), name: owner.name.clone(), domain_id, domain_name }
    }
}

fn domain_of(owner: &Owner) -> (Option<String>, Option<String>) {
    let DomainName { id, name } = owner.domain.clone().unwrap_or_default();
    (id, name)
}

impl FromRequest for Identity {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = request.extensions().get::<Identity>().cloned();
        // The middleware adds WWW-Authenticate to this answer.
        ready(found.ok_or_else(|| InternalError::from_response("no identity", unauthorized(None)).into()))
    }
}
