#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
//! The programs as an operator starts them, on real parts: MariaDB, RabbitMQ, Keystone, the unmodified command line
//! clients and scheduler of upstream. Needs the cargo feature `mysql`.

mod away;
mod central;
mod clients;
mod connections;
mod events;
#[path = "../rest/fields.rs"]
mod fields;
mod hostile;
mod import;
mod large_rows;
mod lost_updates;
mod main_paths;
mod openapi;
mod refused;
mod region;
mod stage;
mod storage_errors;
mod tenant;
mod together;
mod tokens;
mod trusts;
mod upstream_scheduler;
mod without_lists;
