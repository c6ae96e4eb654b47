//! Databases of this host, saved with their own programs.

pub mod mariadb;
pub mod postgresql;
mod program;
mod scratch;
