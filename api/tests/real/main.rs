#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
//! The programs as an operator starts them, on real parts: MariaDB, RabbitMQ, Keystone, the unmodified command line
//! clients. Needs the cargo feature `mysql`.

mod away;
mod clients;
mod events;
mod main_paths;
mod stage;
