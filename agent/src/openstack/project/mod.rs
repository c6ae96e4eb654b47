//! Mode project: everything a project consists of, saved as one set and restored as a whole or in parts.

pub mod needs;
pub mod plan;
pub mod requests;
pub mod topology;
