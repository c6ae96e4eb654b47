//! Nova's REST interface: thin typed calls.

pub mod lookups;
pub mod servers;
