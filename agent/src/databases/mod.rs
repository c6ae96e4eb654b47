//! Databases, saved with their own programs.

mod access;
pub mod mariadb;
pub mod mongo;
pub mod postgresql;
mod program;
mod scratch;
pub mod sqlserver;
