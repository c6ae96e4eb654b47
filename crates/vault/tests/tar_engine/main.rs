//! The tar engine against itself, against GNU tar, and against bad luck. Needs root, `tar`, `setfacl`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod chain;
mod hostile;
mod living;
mod names;
mod round_trip;
mod sparse;
mod tree;
