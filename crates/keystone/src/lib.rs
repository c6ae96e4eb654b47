//! Keystone for Rust services: token validation for actix-web and sessions that renew.
