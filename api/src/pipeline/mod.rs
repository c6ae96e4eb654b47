//! What every request goes through before a route sees it, outermost first:
//! path and request id ([`front`]) → health check and versions (no token) → authentication → [`accept`] → routes.

pub mod accept;
pub mod announce;
pub mod front;
pub mod health;
pub mod metrics;
pub mod origin;
pub mod paths;
