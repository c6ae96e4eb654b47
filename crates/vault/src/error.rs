//! What can go wrong with a backup, its chain or its restore.
//!
//! Every message names the thing, the cause and the next step. Pass phrases and keys never appear.

use freezer_storage::StoreError;
use std::path::PathBuf;

/// Which bytes of a backup are meant: an object, the level it belongs to and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Full name of the object below the store's root.
    pub object: String,
    pub level: u32,
    /// Offset of the first byte of the damaged piece in the object, in bytes.
    pub offset_bytes: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (level {}, offset {})", self.object, self.level, self.offset_bytes)
    }
}

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tar(crate::tar::TarError),
    #[error("cancelled")]
    Cancelled,
    #[error("no storage has taken the backup: {}", causes.join("; "))]
    NoStorageLeft { causes: Vec<String> },
    /// What a backup reads from; the cause comes from whoever opened it.
    #[error("{cause}")]
    Source { cause: String },
    #[error("bad request: {cause}")]
    BadRequest { cause: String },
    #[error(
        "pass phrase file {}: {cause}; give a readable file whose first line is the pass phrase",
        path.display()
    )]
    PassPhraseFile { path: PathBuf, cause: String },
    #[error("{backup} is encrypted and no pass phrase was given; name its pass phrase file")]
    PassPhraseMissing { backup: String },
    #[error(
        "wrong pass phrase for {backup}; nothing was restored from it; give the pass phrase it was made with"
    )]
    WrongPassPhrase { backup: String },
    #[error(
        "{backup} is not protected by an authentication code and only authenticated backups were asked for; \
         allow unauthenticated backups to restore it"
    )]
    NotAuthenticated { backup: String },
    #[error("{place} is damaged: {cause}; restore an older date, or bring back this object from a copy")]
    Damaged { place: Place, cause: String },
    #[error(
        "manifest {object} is not valid: {cause}; restore an older date, or bring back this object from a copy"
    )]
    BadManifest { object: String, cause: String },
    #[error("{hbn}: {cause}; restore an older date")]
    BrokenChain { hbn: String, cause: String },
    #[error("{hbn}: no complete backup{before} in {store}; check host name, backup name, container and date")]
    NoBackup { hbn: String, before: String, store: String },
    #[error(
        "{hbn} holds backups of several folders: {}; say which one is meant by its path (path_to_backup), or by a date",
        sources.join(", ")
    )]
    SeveralSources { hbn: String, sources: Vec<String> },
    #[error("{hbn} holds no backup of {wanted}, only of {found}; leave out path_to_backup to take that")]
    OtherSource { hbn: String, wanted: String, found: String },
    /// Whoever asks can tell what it has to be restored as.
    #[error(
        "{hbn} is a backup of {found}, which is not restored in this way; restore it in the mode that it was made in"
    )]
    OtherKind { hbn: String, found: String },
    #[error(
        "{hbn} does not hold {paths} at that time; give paths relative to the folder that was saved, or another date"
    )]
    NoSuchPath { hbn: String, paths: String },
    #[error(
        "{hbn} is in use by {owner} since {since}; wait until it ends, or until the lock expires at {expires}"
    )]
    Locked { hbn: String, owner: String, since: String, expires: String },
    #[error("the lock of {hbn} was lost while working ({cause}); nothing was committed, run it again")]
    LockLost { hbn: String, cause: String },
    #[error("a restore is at work in {} already; wait until it ends, or stop it first", path.display())]
    TargetInUse { path: PathBuf },
    #[error("restore target {} is not empty; choose an empty folder or allow overwriting", path.display())]
    TargetNotEmpty { path: PathBuf },
    #[error("{}: {cause}", path.display())]
    Local { path: PathBuf, cause: String },
    #[error("{backup}: {cause}; the backup may be damaged, or made by an unknown program")]
    Unreadable { backup: String, cause: String },
    #[error("compression: {cause}")]
    Codec { cause: String },
    #[error("{what} stopped unexpectedly: {cause}; this is a fault of the program, please report it")]
    Internal { what: &'static str, cause: String },
}

impl From<crate::tar::TarError> for VaultError {
    fn from(error: crate::tar::TarError) -> Self {
        match error {
            crate::tar::TarError::Cancelled => Self::Cancelled,
            other => Self::Tar(other),
        }
    }
}
