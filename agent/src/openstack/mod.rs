//! Resources of the cloud.

pub mod project;
