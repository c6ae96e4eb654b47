//! Snapshots of file systems, for the time that a folder is read.
//!
//! Invariants: what is made is noted first ([`record`]) and removed however the backup ends; what a killed agent leaves, the
//! daemon removes after the step, or the next start or backup does. Only what bears the tag of a note is ever removed. A
//! snapshot that was not whole to the end makes the backup fail before it is committed.

mod btrfs;
mod by_command;
mod freeze;
pub mod host;
mod lvm;
#[cfg(test)]
mod lvm_tests;
mod mounts;
mod record;
#[cfg(test)]
mod recorded;
mod zfs;

use crate::options::snapshot::{SnapshotKind, SnapshotOptions};
use freezer_vault::backup::{SnapshotSource, Witness};
use host::{Host, Machine};
use record::Record;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;

/// Begins the names of snapshots.
const PREFIX: &str = "freezer_snapshot_";
/// How long one that could not be removed is tried again after a step.
const TIDYING: Duration = Duration::from_secs(120);
const TIDYING_PAUSE: Duration = Duration::from_secs(2);

/// A snapshot as it is noted: enough to make, check and remove it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Made {
    Lvm(lvm::Snapshot),
    Btrfs(btrfs::Snapshot),
    Zfs(zfs::Snapshot),
    Commands(by_command::Snapshot),
}

/// Where a path lies, without links.
pub(crate) struct Place {
    path: PathBuf,
    mount: mounts::Mount,
}

impl Place {
    fn of(host: &dyn Host, path: &Path) -> Result<Self, String> {
        let path = path
            .canonicalize()
            .map_err(|error| format!("{}: {error}; check path_to_backup", path.display()))?;
        Ok(Self { mount: mounts::of(host, &path)?, path })
    }

    /// Below its mount point.
    fn relative(&self) -> &Path {
        self.path.strip_prefix(&self.mount.point).unwrap_or(Path::new(""))
    }
}

impl Made {
    /// Decides what will be made; changes nothing.
    async fn plan(
        host: &dyn Host,
        options: &SnapshotOptions,
        place: &Place,
        (tag, folder): (&str, &Path),
    ) -> Result<Self, String> {
        let name = format!("{PREFIX}{tag}");
        match (&options.kind, place.mount.kind.as_str()) {
            (SnapshotKind::Commands(commands), _) => {
                by_command::Snapshot::plan(commands, place, &name, folder.join(tag)).map(Self::Commands)
            }
            (SnapshotKind::Btrfs | SnapshotKind::Guessed(_), "btrfs") => {
                btrfs::Snapshot::plan(place, &name).map(Self::Btrfs)
            }
            (SnapshotKind::Zfs | SnapshotKind::Guessed(_), "zfs") => {
                zfs::Snapshot::plan(place, &name).map(Self::Zfs)
            }
            (SnapshotKind::Btrfs, other) => {
                Err(format!("{} lies on {other}, not on btrfs", place.path.display()))
            }
            (SnapshotKind::Zfs, other) => {
                Err(format!("{} lies on {other}, not on zfs", place.path.display()))
            }
            (SnapshotKind::Lvm(_), "btrfs") => {
                Err("two copies of one btrfs cannot be mounted beside each other; say snapshot=btrfs"
                    .to_owned())
            }
            (SnapshotKind::Lvm(lvm) | SnapshotKind::Guessed(lvm), _) => {
                lvm::Snapshot::plan(host, lvm, place, (&name, folder.join(tag))).await.map(Self::Lvm)
            }
        }
    }

    async fn make(&self, host: &dyn Host, record: &Record) -> Result<(), String> {
        match self {
            Self::Lvm(snapshot) => snapshot.make(host).await,
            Self::Btrfs(snapshot) => snapshot.make(host).await,
            Self::Zfs(snapshot) => snapshot.make(host).await,
            Self::Commands(snapshot) => snapshot.make(host, record).await,
        }
    }

    /// Why it is not what it was.
    async fn check(&self, host: &dyn Host) -> Result<(), String> {
        match self {
            Self::Lvm(snapshot) => snapshot.check(host).await,
            Self::Zfs(snapshot) => snapshot.check(host).await,
            // It cannot run full, and what is read is looked at in any case.
            Self::Btrfs(_) | Self::Commands(_) => Ok(()),
        }
    }

    /// Also where only a part of it was made, or nothing.
    async fn remove(&self, host: &dyn Host, record: &Record) -> Result<(), String> {
        match self {
            Self::Lvm(snapshot) => snapshot.remove(host).await,
            Self::Btrfs(snapshot) => snapshot.remove(host).await,
            Self::Zfs(snapshot) => snapshot.remove(host).await,
            Self::Commands(snapshot) => snapshot.remove(host, record).await,
        }
    }

    /// Where the saved path is in it.
    fn path(&self, place: &Place) -> PathBuf {
        let below =
            |root: PathBuf, rest: &Path| if rest.as_os_str().is_empty() { root } else { root.join(rest) };
        match self {
            Self::Lvm(snapshot) => below(snapshot.root(&place.mount), place.relative()),
            Self::Btrfs(snapshot) => below(snapshot.path.clone(), snapshot.relative(&place.path)),
            Self::Zfs(snapshot) => below(snapshot.root(), place.relative()),
            Self::Commands(snapshot) => below(snapshot.folder.clone(), place.relative()),
        }
    }
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lvm(snapshot) => write!(f, "LVM snapshot {}/{}", snapshot.group, snapshot.name),
            Self::Btrfs(snapshot) => write!(f, "btrfs snapshot {}", snapshot.path.display()),
            Self::Zfs(snapshot) => write!(f, "ZFS snapshot {}", snapshot.full_name()),
            Self::Commands(snapshot) => write!(f, "snapshot {} of snapshot_command", snapshot.name),
        }
    }
}

/// A snapshot that can be read.
pub struct Held {
    made: Made,
    record: Record,
    host: Arc<dyn Host>,
    /// To be read.
    pub path: PathBuf,
    of: PathBuf,
    taken_after: SystemTime,
    /// Device and inode of what is read.
    identity: (u64, u64),
}

/// Takes the snapshot that `options` want of the file system that `path` lies on. What fails leaves nothing behind.
pub async fn take(options: &SnapshotOptions, path: &Path, state_dir: &Path) -> Result<Held, String> {
    let looking = Machine { lock: open_null()? };
    let place = Place::of(&looking, path)?;
    let tag = uuid::Uuid::new_v4().simple().to_string();
    let folder = record::folder(state_dir)?;
    let made = Made::plan(&looking, options, &place, (&tag, &folder)).await?;
    let record = Record::write(state_dir, &tag, &made)?;
    let host: Arc<dyn Host> = match record.lock() {
        Ok(lock) => Arc::new(Machine { lock }),
        Err(error) => {
            record.forget();
            return Err(error);
        }
    };
    hold(made, record, host, (path, place)).await
}

fn open_null() -> Result<std::fs::File, String> {
    std::fs::File::open("/dev/null").map_err(|error| format!("/dev/null: {error}"))
}

async fn hold(
    made: Made,
    record: Record,
    host: Arc<dyn Host>,
    (of, place): (&Path, Place),
) -> Result<Held, String> {
    let live = identity(&place.path);
    let taken_after = SystemTime::now();
    let opened = match made.make(&*host, &record).await {
        Ok(()) => opened(&made, &place, live),
        Err(cause) => Err(format!("{made}: {cause}")),
    };
    match opened {
        Ok((path, identity)) => {
            tracing::info!("{made} taken of {}", place.mount.point.display());
            Ok(Held { made, record, host, path, of: of.to_path_buf(), taken_after, identity })
        }
        Err(cause) => match remove(made, record, &*host).await {
            Ok(()) => Err(cause),
            Err(left) => Err(format!("{cause}; {left}")),
        },
    }
}

/// The path in the snapshot, if it is what was wanted: the same there, and not the living one.
fn opened(
    made: &Made,
    place: &Place,
    live: Result<(u64, u64), String>,
) -> Result<(PathBuf, (u64, u64)), String> {
    let path = made.path(place);
    let (live, found) = (
        live?,
        identity(&path).map_err(|cause| format!("{made} does not hold {}: {cause}", place.path.display()))?,
    );
    if found.0 == live.0 {
        return Err(format!("{} is the living file system itself, not {made}", path.display()));
    }
    // Storage of the operator's own may number files anew.
    if found.1 != live.1 && !matches!(made, Made::Commands(_)) {
        return Err(format!("{} was replaced while {made} was taken; try again", place.path.display()));
    }
    Ok((path, found))
}

fn identity(path: &Path) -> Result<(u64, u64), String> {
    let facts = std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((facts.dev(), facts.ino()))
}

impl Held {
    /// What the backup must know of it.
    pub fn source(&self) -> SnapshotSource {
        let witness = Guard {
            made: self.made.clone(),
            host: self.host.clone(),
            path: self.path.clone(),
            identity: self.identity,
            runtime: Handle::current(),
        };
        SnapshotSource { of: self.of.clone(), taken_after: self.taken_after, witness: Arc::new(witness) }
    }

    /// Names in the folder that is read which are places of snapshots, this one's or others', and nobody's data.
    pub fn places_of_others(&self) -> Vec<String> {
        match self.made {
            Made::Btrfs(_) => btrfs::placeholders(&self.path),
            _ => Vec::new(),
        }
    }

    pub fn told(&self) -> String {
        self.made.to_string()
    }

    /// An error says what stays, and who removes it.
    pub async fn remove(self) -> Result<(), String> {
        remove(self.made, self.record, &*self.host).await
    }
}

async fn remove(made: Made, record: Record, host: &dyn Host) -> Result<(), String> {
    match made.remove(host, &record).await {
        Ok(()) => {
            record.forget();
            Ok(())
        }
        Err(cause) => {
            Err(format!("{made} is still there: {cause}; the next backup or start of the agent tries again"))
        }
    }
}

struct Guard {
    made: Made,
    host: Arc<dyn Host>,
    path: PathBuf,
    identity: (u64, u64),
    runtime: Handle,
}

impl Witness for Guard {
    fn vouch(&self) -> Result<(), String> {
        let check = async {
            self.made.check(&*self.host).await?;
            match identity(&self.path) {
                Ok(now) if now == self.identity => Ok(()),
                Ok(_) => Err(format!("{} was unmounted or replaced while it was read", self.path.display())),
                Err(cause) => Err(cause),
            }
        };
        let checked = self.runtime.block_on(check);
        checked.map_err(|cause| format!("{}: {cause}; the backup was not kept", self.made))
    }
}

/// Removes what agents that are gone have left on this host. Whether there is more that is still worked with, or could not go.
pub async fn tidy_up(state_dir: &Path) -> bool {
    let (left, mut is_more) = record::left(state_dir);
    for (record, made) in left {
        let told = made.to_string();
        let removed = match record.lock() {
            Ok(lock) => remove(made, record, &Machine { lock }).await,
            Err(cause) => Err(cause),
        };
        match removed {
            Ok(()) => tracing::warn!("{told} was left by an agent that is gone; removed"),
            Err(cause) => {
                is_more = true;
                tracing::warn!("left by an agent that is gone: {cause}");
            }
        }
    }
    is_more
}

/// After a step that was killed: a program that it had started may be at work for a while.
pub async fn tidy_up_after_a_kill(state_dir: PathBuf) {
    let until = tokio::time::Instant::now() + TIDYING;
    while tidy_up(&state_dir).await && tokio::time::Instant::now() < until {
        tokio::time::sleep(TIDYING_PAUSE).await;
    }
}
