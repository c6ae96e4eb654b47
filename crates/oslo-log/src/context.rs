//! Who a request is from, and the span that carries it.
//!
//! The context travels as fields of a span whose target is [`TARGET`]; the layer keeps it with the span and gives it
//! to every event inside, also across tasks and threads if they are instrumented with the span. Tokens are never in it.

use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::{Span, info_span};
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

/// Target of spans made by [`span`]; the filter lets them through at any level.
pub(crate) const TARGET: &str = "oslo_log::request";

/// The identity of a request, as oslo.context has it. All are ids unless named `_name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// `req-…`, made by this service.
    pub request_id: Option<String>,
    /// `req-…`, given by the service that called.
    pub global_request_id: Option<String>,
    /// Who asks.
    pub user: Option<String>,
    /// The project the token is for.
    pub project: Option<String>,
    /// The domain the token is for.
    pub domain: Option<String>,
    /// `all` for a token for the whole cloud.
    pub system_scope: Option<String>,
    /// Domain of the user.
    pub user_domain: Option<String>,
    /// Domain of the project.
    pub project_domain: Option<String>,
    /// Name of the user.
    pub user_name: Option<String>,
    /// Name of the project.
    pub project_name: Option<String>,
    /// Name of the domain.
    pub domain_name: Option<String>,
    /// Name of the user's domain.
    pub user_domain_name: Option<String>,
    /// Name of the project's domain.
    pub project_domain_name: Option<String>,
    /// What the request is about.
    pub resource_uuid: Option<String>,
    /// Names of the user's roles.
    pub roles: Vec<String>,
    /// Whether the service takes the user for an administrator.
    pub is_admin: bool,
}

macro_rules! each_text {
    ($do:ident) => {
        $do!(
            request_id,
            global_request_id,
            user,
            project,
            domain,
            system_scope,
            user_domain,
            project_domain,
            user_name,
            project_name,
            domain_name,
            user_domain_name,
            project_domain_name,
            resource_uuid
        )
    };
}

impl RequestContext {
    /// A context with only a request id, for work that no user asked for.
    pub fn new(request_id: impl Into<String>) -> Self {
        RequestContext { request_id: Some(request_id.into()), ..RequestContext::default() }
    }

    /// A field by its name in a log format. None: no such field; inner None: no value.
    pub(crate) fn text(&self, name: &str) -> Option<Option<&str>> {
        macro_rules! find {
            ($($field:ident),*) => { match name {
                $(stringify!($field) => Some(self.$field.as_deref()),)*
                "user_id" => Some(self.user.as_deref()),
                "project_id" | "tenant" => Some(self.project.as_deref()),
                "domain_id" => Some(self.domain.as_deref()),
                "user_domain_id" => Some(self.user_domain.as_deref()),
                "project_domain_id" => Some(self.project_domain.as_deref()),
                _ => None,
            } };
        }
        each_text!(find)
    }

    fn set(&mut self, name: &str, value: &str) {
        macro_rules! assign {
            ($($field:ident),*) => { match name {
                $(stringify!($field) => self.$field = Some(value.to_owned()),)*
                "roles" => self.roles = value.split(',').filter(|role| !role.is_empty()).map(str::to_owned).collect(),
                _ => {}
            } };
        }
        each_text!(assign)
    }

    /// The `context` of a JSON line, keys and order as upstream. There is never a token in it.
    pub(crate) fn to_json(&self) -> Value {
        let dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let identity = [&self.user, &self.project, &self.domain, &self.user_domain, &self.project_domain];
        json!({
            "user_name": self.user_name, "project_name": self.project_name, "domain_name": self.domain_name,
            "user_domain_name": self.user_domain_name, "project_domain_name": self.project_domain_name,
            "user": self.user, "project_id": self.project, "system_scope": self.system_scope, "project": self.project,
            "domain": self.domain, "user_domain": self.user_domain, "project_domain": self.project_domain,
            "is_admin": self.is_admin, "read_only": false, "show_deleted": false, "auth_token": null,
            "request_id": self.request_id, "global_request_id": self.global_request_id,
            "resource_uuid": self.resource_uuid, "roles": self.roles,
            "user_identity": identity.map(dash).join(" "), "is_admin_project": true,
        })
    }
}

/// A span carrying the context: run the request in it with `.instrument(oslo_log::span(&context))`.
/// Fields still unknown can be given later with [`record`].
pub fn span(context: &RequestContext) -> Span {
    use tracing::field::Empty;
    let span = info_span!(
        target: TARGET,
        "request",
        request_id = Empty, global_request_id = Empty, user = Empty, project = Empty, domain = Empty,
        system_scope = Empty, user_domain = Empty, project_domain = Empty, user_name = Empty, project_name = Empty,
        domain_name = Empty, user_domain_name = Empty, project_domain_name = Empty, resource_uuid = Empty,
        roles = Empty, is_admin = Empty,
    );
    record(&span, context);
    span
}

/// Adds what became known meanwhile (after authentication) to a span made by [`span`]; unset fields change nothing.
pub fn record(span: &Span, context: &RequestContext) {
    macro_rules! record_all {
        ($($field:ident),*) => { $(
            if let Some(value) = &context.$field {
                span.record(stringify!($field), value.as_str());
            }
        )* };
    }
    each_text!(record_all);
    if !context.roles.is_empty() {
        span.record("roles", context.roles.join(",").as_str());
    }
    if context.is_admin {
        span.record("is_admin", true);
    }
}

/// The context of the innermost request span this code runs in, e.g. to pass its request id on. Works under a
/// subscriber installed by [`crate::setup`].
pub fn current() -> Option<RequestContext> {
    Span::current()
        .with_subscriber(|(id, dispatch)| {
            let registry = dispatch.downcast_ref::<Registry>()?;
            registry.span(id)?.scope().find_map(|span| span.extensions().get::<RequestContext>().cloned())
        })
        .flatten()
}

/// Collects span fields into a context.
pub(crate) struct Collect<'a>(pub(crate) &'a mut RequestContext);

impl Visit for Collect<'_> {
    fn record_debug(&mut self, _field: &Field, _value: &dyn std::fmt::Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.set(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "is_admin" {
            self.0.is_admin = value;
        }
    }
}
