//! Headers in which a WSGI service is told who sent a request. A client that sends them itself is lying.
//!
//! Nothing behind this middleware reads them (handlers take an [`Identity`](crate::Identity)); they are removed
//! all the same, so that no handler, log or service further down ever takes one for the truth.

use actix_web::http::header::HeaderMap;

const ALONE: &[&str] = &[
    "x-service-catalog",
    "x-identity-status",
    "x-service-identity-status",
    "x-is-admin-project",
    "x-role",
    "x-user",
    "x-tenant-id",
    "x-tenant-name",
    "x-tenant",
    "x-roles",
    "x-service-roles",
    // Not on keystonemiddleware's list, by which a client can pass for system-scoped there.
    "openstack-system-scope",
];

const PREFIXES: &[&str] = &["x-", "x-service-"];

const PREFIXED: &[&str] = &[
    "domain-id",
    "domain-name",
    "project-id",
    "project-name",
    "project-domain-id",
    "project-domain-name",
    "user-id",
    "user-name",
    "user-domain-id",
    "user-domain-name",
];

pub(crate) fn remove(headers: &mut HeaderMap) {
    let forged: Vec<_> = headers.keys().filter(|name| is_forged(name.as_str())).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}

/// `name` is in lower case, as the HTTP library keeps it.
fn is_forged(name: &str) -> bool {
    let prefixed = |prefix: &&str| name.strip_prefix(*prefix).is_some_and(|rest| PREFIXED.contains(&rest));
    ALONE.contains(&name) || PREFIXES.iter().any(prefixed)
}
