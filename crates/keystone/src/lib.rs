//! Keystone for Rust services: token validation for actix-web and sessions that renew.
//!
//! * [`Session`]: a service's or a user's own login, renewed, repeated when refused, shared by all tasks.
//! * [`Session::in_trust`] and [`Trust`]: act for somebody else, within what was delegated.
//! * [`TokenValidator`]: whose token is this? Asks Keystone, caches the answer.
//! * [`AuthToken`]: the validator as middleware of actix-web; handlers take an [`Identity`].
//!
//! Names, defaults and answers are those of keystoneauth and keystonemiddleware, so that the same
//! configuration files, environments and clients work. Nothing here belongs to any one service.

mod access_rules;
mod answers;
mod authenticate;
mod authtoken_config;
mod authtoken_options;
mod catalog;
mod clock;
mod discovery;
mod error;
mod forged_headers;
mod handed_login;
mod http;
mod identity;
mod login;
mod memcached;
mod memory_cache;
mod middleware;
mod noauth;
mod options;
mod options_source;
mod retry;
mod secret;
mod service_request;
mod session;
mod token_binding;
mod token_document;
mod token_store;
mod trusts;
mod validator;

pub use authenticate::Credentials;
pub use authtoken_config::AuthTokenConfig;
pub use authtoken_options::{AUTHTOKEN_GROUP, OptionInfo, OptionKind, authtoken_options};
pub use catalog::{Catalog, CatalogEndpoint, CatalogService};
pub use clock::{Clock, SharedClock, SystemClock};
pub use error::KeystoneError;
pub use handed_login::HandedLogin;
pub use http::plain_client;
pub use identity::{Identity, ServiceIdentity};
pub use login::Login;
pub use memcached::MemcachePool;
pub use middleware::{AuthToken, AuthTokenService};
pub use options::{
    ApplicationCredential, Auth, Domain, Interface, Named, RetryPolicy, Scope, SessionOptions,
};
pub use secret::Secret;
pub use service_request::ServiceRequest;
pub use session::Session;
pub use token_binding::TokenBinding;
pub use token_document::{
    AccessRule, DomainName, Owner, Role, SystemScope, TokenDocument, UsedCredential, UsedTrust,
};
pub use token_store::CacheProtection;
pub use trusts::{NewTrust, Trust};
pub use validator::{AuthFailure, TokenValidator};
