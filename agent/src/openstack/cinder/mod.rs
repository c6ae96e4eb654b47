//! Cinder's REST interface: thin typed calls.

pub mod attachments;
pub mod backups;
pub mod groups;
pub mod snapshots;
pub mod volume_actions;
pub mod volumes;
