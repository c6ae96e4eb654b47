//! Glance's REST interface: thin typed calls.

pub mod download;
pub mod images;
