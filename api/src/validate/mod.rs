//! What a request body must look like, before anything is read or written.
//!
//! One module per noun; each turns a JSON object into a typed body or a [`Refusal`] that names the field.
//! Pure: no database, no clock. Bodies made here hold only what may be stored: keys that a client is not
//! allowed to set (`project_id`, `user_id`, `user_credentials`, …) never get past this point.

pub mod action;
pub mod backup;
pub mod client;
pub mod job;
pub mod names;
pub mod object;
pub mod schedule;
pub mod session;

pub use object::{Object, Refusal};
