//! What can end the work of the tar engine. Trouble with a single file is a [`super::Problem`], not an error.

use std::io;
use std::path::PathBuf;

/// Why an archive could not be written or read to its end.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The root of the source is missing or unreadable.
    #[error("cannot read the source {}: {cause}; check path_to_backup and the agent's rights", path.display())]
    Source { path: PathBuf, cause: io::Error },
    /// The receiver of the archive failed.
    #[error("cannot pass on the archive: {0}")]
    Output(io::Error),
    /// What gives the content failed.
    #[error("the stream to save is not whole: {0}; nothing was stored")]
    Stream(String),
    /// The giver of the archive failed.
    #[error("cannot read the archive at byte {offset}: {cause}")]
    Input { offset: u64, cause: io::Error },
    /// The destination cannot be used at all.
    #[error("cannot restore into {}: {cause}; check restore_abs_path, free space and rights", path.display())]
    Destination { path: PathBuf, cause: io::Error },
    /// One object in the destination could not be written, for a reason that hits the others too (no space).
    #[error(
        "cannot restore '{member}' (archive byte {offset}): {cause}; free space or check the destination"
    )]
    Restore { member: String, offset: u64, cause: io::Error },
    /// The stream ended in the middle.
    #[error("the archive ends too early at byte {offset}, in {place}; fetch the backup again or verify it")]
    Truncated { offset: u64, place: String },
    /// The stream is not a tar archive, or is damaged.
    #[error(
        "the archive is damaged at byte {offset}, {place}: {reason}; fetch the backup again or verify it"
    )]
    Corrupt { offset: u64, place: String, reason: String },
    /// A member that would leave the destination.
    #[error(
        "refused member '{member}' at byte {offset}: {reason}; the archive is hostile or was not made by a backup"
    )]
    Unsafe { member: String, offset: u64, reason: String },
    /// The destination already holds this, and the caller asked to refuse.
    #[error("'{member}' already exists in the destination; allow overwriting or choose an empty directory")]
    Exists { member: String },
    /// Only a part was wanted, and it was called otherwise in earlier levels.
    #[error("'{to}' was called '{from}' before, which was not asked for; restore the whole folder instead")]
    Renamed { from: String, to: String },
    /// Stored index or SNAR bytes that cannot be understood.
    #[error("cannot use the stored index: {0}; a full backup starts a new chain")]
    Index(String),
    /// The watch said so.
    #[error("cancelled")]
    Cancelled,
}
