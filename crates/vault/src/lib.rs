//! What a backup is: tar and image engines, compression, encryption, chains, manifests, restore, retention.
//!
//! Entrances: [`backup::backup`], [`restore::restore`], [`image`], [`verify::verify`], [`catalogue`], [`prune`].
//! All of them work on a [`freezer_storage::Store`], report to a [`Monitor`] and read no clock: requests say what time it was when
//! the action began, and measure how long ago that is.

pub mod backup;
pub mod catalogue;
pub mod codecs;
pub mod consistency;
mod contents;
pub mod encryption;
mod error;
pub mod hold;
pub mod image;
pub mod layout;
pub mod levels;
mod lock;
pub mod manifest;
mod monitor;
mod problem;
pub mod prune;
pub mod restore;
mod sample;
pub mod set;
pub mod tar;
pub mod upstream;
pub mod verify;

pub use backup::{BackupReport, BackupRequest, backup};
pub use error::{Place, VaultError};
pub use layout::{Engine, Hbn, LevelId};
pub use lock::present_secs;
pub use monitor::{Monitor, Phase, Progress};
pub use problem::{FileProblem, Weight};
pub use restore::{RestoreReport, RestoreRequest, restore};
pub use sample::Sample;
pub use verify::{VerifyReport, VerifyRequest, verify};
