//! Swift's REST interface: thin typed calls on what a tenant keeps there. Backups themselves are kept by the crate `storage`.

pub mod containers;
pub mod objects;
