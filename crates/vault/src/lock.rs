//! One worker per HBN at a time.
//!
//! A store has no exclusive create, so a worker announces itself under a name of its own and then looks
//! for others: if two come at once, both see each other and both give up, which is safe. A late comer's note harms nobody. A lock is
//! renewed while work goes on, and expires when nobody renews it; one left by a process of this very
//! machine that is gone is taken over at once. Upstream's agent knows nothing of these locks.
//!
//! A lock is over when its run has written its manifest, which is the last thing that it writes. Where a removal is a request that is
//! better spared ([`Store::spares_requests`]) the manifest of an unchanged increment says so, and the lock stays. Whoever comes next
//! reads that manifest anyway. Names of locks are never used again, so what a manifest says of them is true for ever. Who sees a lock
//! before that manifest (a Swift that answers as S3 lists what other servers know; folders are listed one after the other, and the run
//! may end meanwhile) waits until it does, or the lock has expired. Who sees both comes after that run: it goes on from what it lists
//! then, where what the manifest needs is there, or is missed and looked for. So in any order of listing a lock that stays can but
//! stop somebody who need not be stopped, and a removal can do no more.
//!
//! It does stop those who do not know of it, programs from before there was that: until it expires, unless its process was one of
//! their own machine, which they see to be gone. Where the store itself keeps clocks together
//! ([`Store::refuses_wrong_clocks`]) it expires early. Elsewhere two machines' clocks may be any time apart, and a lock is good for as
//! long as one that does not stay: a shorter one would be taken over sooner, while its run still works, by a machine that is ahead.

use crate::VaultError;
use crate::catalogue::{Level, Memory, Tree};
use crate::layout::{Engine, Hbn};
use bytes::Bytes;
use freezer_model::clock::time_text;
use freezer_storage::{ObjectName, Store, StoreError};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::task::AbortOnDropHandle;

/// What a lock that may stay is good for until it is first renewed, on a store that keeps clocks together: so long it keeps out those
/// who do not know that it is over. Longer than two clocks can be apart that S3 still answers, each by 15 minutes from its own: whoever
/// is ahead does not take it for expired.
const FIRST_LEASE: Duration = Duration::from_secs(1900);
/// So many of them stay at most.
const MOST_LEFT: usize = 32;

/// The time now, in seconds since 1970, of a run that read `now_secs` from its clock when it `began`. Without that no time has passed.
pub fn present_secs(now_secs: i64, began: Option<Instant>) -> i64 {
    now_secs.saturating_add(began.map_or(0, |began| seconds(began.elapsed())))
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    host: String,
    purpose: String,
    since_secs: i64,
    renewed_secs: i64,
    expiry_secs: u64,
    process: Option<ProcessMark>,
}

/// Tells a process apart from every other one of every machine and boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ProcessMark {
    boot_id: String,
    pid_namespace: String,
    pid: u32,
    start_ticks: u64,
}

impl ProcessMark {
    fn own() -> Option<Self> {
        let pid = std::process::id();
        Some(Self {
            boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned(),
            pid_namespace: std::fs::read_link("/proc/self/ns/pid").ok()?.to_string_lossy().into_owned(),
            pid,
            start_ticks: start_ticks(pid)?,
        })
    }
    /// Certain only for processes this one can see.
    fn is_gone(&self) -> bool {
        let Some(own) = Self::own() else { return false };
        let visible = own.boot_id == self.boot_id && own.pid_namespace == self.pid_namespace;
        visible && start_ticks(self.pid) != Some(self.start_ticks)
    }
}

/// Field 22 of `/proc/<pid>/stat`: when the process started, in ticks since boot. `None` for one that has
/// ended and only waits to be collected by its parent.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may itself hold blanks and parentheses.
    let after_name = stat.get(stat.rfind(')')? + 1..)?;
    let mut fields = after_name.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// A lock that is held. Release it with [`Lock::release`].
pub(crate) struct Lock {
    store: Arc<dyn Store>,
    hbn: Hbn,
    name: ObjectName,
    started: Instant,
    /// What it is good for until it is first renewed.
    lease: Duration,
    /// It may be left where it is once it is over.
    may_stay: bool,
    renewal: AbortOnDropHandle<()>,
    released: bool,
    note: Note,
    /// Locks of runs that are over; they go when this one is removed.
    over: Vec<ObjectName>,
}

/// What locks are good for: until they are first renewed, and from then on.
type Leases = (Duration, Duration);

impl Lock {
    /// Takes the lock of `hbn` or says who has it. `now_secs` is what [`present_secs`] says.
    pub(crate) async fn take(
        store: &Arc<dyn Store>,
        hbn: &Hbn,
        purpose: &str,
        now_secs: i64,
        expiry: Duration,
    ) -> Result<Self, VaultError> {
        // Whoever only comes to see that it is held should not announce anything.
        refuse_if_held(store, hbn, None, now_secs).await?;
        let mut lock = Self::announce(store, hbn, purpose, now_secs, (expiry, expiry)).await?;
        match refuse_if_held(store, hbn, Some(&lock.name), now_secs).await {
            Ok(over) => {
                lock.over = over;
                Ok(lock)
            }
            Err(error) => {
                lock.release().await;
                Err(error)
            }
        }
    }

    /// The same for a backup, with one listing that shows as well what there is; none when there is too much for one.
    pub(crate) async fn take_and_look(
        store: &Arc<dyn Store>,
        hbn: &Hbn,
        memory: Option<Memory>,
        now_secs: i64,
        expiry: Duration,
    ) -> Result<(Self, Option<Tree>), VaultError> {
        // Disk images are read for long even when nothing has changed: their locks are renewed anyway, and do not stay.
        let may_stay = store.spares_requests() && hbn.engine() == Engine::Tar;
        let is_short = may_stay && store.refuses_wrong_clocks();
        let lease = if is_short { expiry.min(FIRST_LEASE) } else { expiry };
        let announce = || Self::announce(store, hbn, "backup", now_secs, (lease, expiry));
        let mut lock = match announce().await {
            // Only when it cannot be written to, the store is looked at, and made if it is not there.
            Err(VaultError::Store(error)) if !error.is_transient() => {
                tracing::info!(%error, "preparing the store");
                store.prepare().await?;
                announce().await?
            }
            announced => announced?,
        };
        lock.may_stay = may_stay;
        let look = async {
            let tree = Tree::read(store, hbn).await?.map(|tree| tree.of_run(&lock.name, memory));
            let over = match &tree {
                Some(tree) => {
                    let names = (tree.locks.as_slice(), Some(&lock.name));
                    refuse_if_any_held((store, hbn), Some(tree), names, now_secs).await?
                }
                None => refuse_if_held(store, hbn, Some(&lock.name), now_secs).await?,
            };
            Ok((tree, over))
        };
        match look.await {
            Ok((tree, over)) => {
                lock.over = over;
                Ok((lock, tree))
            }
            Err(error) => {
                lock.release().await;
                Err(error)
            }
        }
    }

    async fn announce(
        store: &Arc<dyn Store>,
        hbn: &Hbn,
        purpose: &str,
        now_secs: i64,
        (lease, expiry): Leases,
    ) -> Result<Self, VaultError> {
        let name = hbn.lock_folder()?.join(&uuid::Uuid::new_v4().simple().to_string())?;
        let note = Note {
            host: machine_name(),
            purpose: purpose.into(),
            since_secs: now_secs,
            renewed_secs: now_secs,
            expiry_secs: lease.as_secs().max(1),
            process: ProcessMark::own(),
        };
        // Before it is written, which may take its time: nobody counts on it for longer than others do.
        let started = Instant::now();
        write(store, &name, &note).await?;
        let place = (store.clone(), name.clone());
        let renewal = tokio::spawn(renew(place, note.clone(), started, (lease, expiry)));
        Ok(Self {
            store: store.clone(),
            hbn: hbn.clone(),
            name,
            started,
            lease,
            may_stay: false,
            renewal: AbortOnDropHandle::new(renewal),
            released: false,
            note,
            over: Vec::new(),
        })
    }

    /// Nobody takes over what was announced so short a time ago, whatever is wrong with the clocks.
    pub(crate) fn is_fresh(&self) -> bool {
        self.started.elapsed() < self.lease / 24
    }

    /// What a manifest says of locks: the names of those that are over as soon as it is there. And whether this one is among them;
    /// [`Lock::leave`] is enough then.
    pub(crate) fn over_once_committed(&self, is_unchanged: bool) -> (Vec<String>, bool) {
        // It keeps others out for longer once it is renewed, which is after a quarter of the lease. Half of that time is for the objects
        // that come before the manifest.
        let stays = is_unchanged
            && self.may_stay
            && self.over.len() < MOST_LEFT
            && self.started.elapsed() < self.lease / 8;
        let own = stays.then_some(&self.name);
        let names = self.over.iter().chain(own).filter_map(|name| name.as_str().rsplit('/').next());
        (names.map(str::to_owned).collect(), stays)
    }

    /// Lets go of a lock that is over and stays: a manifest that is there says so.
    pub(crate) async fn leave(mut self) {
        self.released = true;
        self.renewal.abort();
        let _ = (&mut self.renewal).await;
    }

    /// Proves, before something becomes visible or vanishes, that nobody took the lock over: whoever does removes it first.
    pub(crate) async fn still_held(&self) -> Result<(), VaultError> {
        let lost = |cause: String| VaultError::LockLost { hbn: self.hbn.to_string(), cause };
        match self.store.head(&self.name).await? {
            Some(_) => Ok(()),
            None => Err(lost("somebody removed it, or took it over".into())),
        }
    }

    pub(crate) async fn release(mut self) {
        self.released = true;
        // A renewal on its way could bring the lock back after its removal.
        self.renewal.abort();
        let _ = (&mut self.renewal).await;
        let Err(error) = self.remove().await else { return };
        // A lock that cannot be removed can still say that it is over.
        let over = Note { expiry_secs: 0, renewed_secs: 0, process: None, ..self.note.clone() };
        if write(&self.store, &self.name, &over).await.is_err() {
            tracing::warn!(lock = %self.name, %error, "the lock could not be removed and stays until it expires");
        }
    }

    /// And those with it that are over.
    async fn remove(&self) -> Result<(), StoreError> {
        if self.over.is_empty() {
            return self.store.delete(&self.name).await;
        }
        let names: Vec<ObjectName> = self.over.iter().chain([&self.name]).cloned().collect();
        let Err(error) = self.store.delete_all(&names).await else { return Ok(()) };
        // They stop nobody who knows of them. Its own does.
        tracing::info!(lock = %self.name, %error, "locks that are over stay for the next run");
        self.store.delete(&self.name).await
    }
}

impl Drop for Lock {
    /// Whoever lets go of the work without releasing (a panic, a dropped future) frees the name still.
    fn drop(&mut self) {
        if self.released {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (store, name) = (self.store.clone(), self.name.clone());
            runtime.spawn(async move { store.delete(&name).await });
        }
    }
}

fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "an unnamed machine".into() } else { name.trim().to_owned() }
}

async fn renew(
    (store, name): (Arc<dyn Store>, ObjectName),
    mut note: Note,
    started: Instant,
    (lease, expiry): Leases,
) {
    let taken_secs = note.renewed_secs;
    let mut valid = lease;
    loop {
        tokio::time::sleep((valid / 4).max(Duration::from_secs(1))).await;
        note.expiry_secs = expiry.as_secs().max(1);
        note.renewed_secs = taken_secs.saturating_add(seconds(started.elapsed()));
        // Never brings a lock back that somebody removed.
        if !matches!(store.head(&name).await, Ok(Some(_))) {
            continue;
        }
        match write(&store, &name, &note).await {
            Ok(()) => valid = expiry,
            Err(error) => tracing::warn!(lock = %name, %error, "the lock could not be renewed; trying again"),
        }
    }
}

/// Fails when a lock of somebody else is valid; removes those that are not, but for those of runs that are over, which it answers.
async fn refuse_if_held(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    own: Option<&ObjectName>,
    now_secs: i64,
) -> Result<Vec<ObjectName>, VaultError> {
    let folder = hbn.lock_folder()?;
    let entries = store.list(Some(&folder)).await?.into_iter().filter(|entry| !entry.is_folder);
    let names: Vec<ObjectName> = entries.map(|entry| folder.join(&entry.name)).collect::<Result<_, _>>()?;
    refuse_if_any_held((store, hbn), None, (names.as_slice(), own), now_secs).await
}

/// `tree` is the listing that shows these locks, if they were found so.
async fn refuse_if_any_held(
    (store, hbn): (&Arc<dyn Store>, &Hbn),
    tree: Option<&Tree>,
    (names, own): (&[ObjectName], Option<&ObjectName>),
    now_secs: i64,
) -> Result<Vec<ObjectName>, VaultError> {
    let others: Vec<&ObjectName> = names.iter().filter(|name| Some(*name) != own).collect();
    let said = match store.spares_requests() && !others.is_empty() {
        true => said_to_be_over(store, hbn, tree).await?,
        false => BTreeSet::new(),
    };
    let mut over = Vec::new();
    for name in others {
        if name.as_str().rsplit('/').next().is_some_and(|last| said.contains(last)) {
            over.push(name.clone());
            continue;
        }
        let body = match read(store, name).await {
            Ok(body) => body,
            Err(StoreError::NotFound { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let note: Option<Note> = serde_json::from_slice(&body).ok();
        if let Some(error) = note.as_ref().and_then(|note| refusal(hbn, note, now_secs)) {
            return Err(error);
        }
        tracing::info!(lock = %name, "removing a lock that nobody holds any more");
        store.delete(name).await?;
    }
    Ok(over)
}

/// Names of locks of which the newest manifest says that they are over. Whoever writes the next one takes them over into it while they
/// are there.
async fn said_to_be_over(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    tree: Option<&Tree>,
) -> Result<BTreeSet<String>, VaultError> {
    let listed = match tree {
        Some(_) => None,
        None => Tree::read(store, hbn).await?,
    };
    let Some(tree) = tree.or(listed.as_ref()) else { return Ok(BTreeSet::new()) };
    let Some(newest) = tree.newest_committed() else { return Ok(BTreeSet::new()) };
    let level = tree.committed(store, hbn, newest).await?;
    let names = level.as_ref().and_then(Level::manifest).map(|manifest| manifest.locks_over.iter().cloned());
    Ok(names.into_iter().flatten().collect())
}

/// `None` when the lock has expired or its holder is gone.
fn refusal(hbn: &Hbn, note: &Note, now_secs: i64) -> Option<VaultError> {
    let expires = note.renewed_secs.saturating_add(i64::try_from(note.expiry_secs).unwrap_or(i64::MAX));
    if expires <= now_secs || note.process.as_ref().is_some_and(ProcessMark::is_gone) {
        return None;
    }
    let pid = note.process.as_ref().map(|mark| format!(", process {}", mark.pid)).unwrap_or_default();
    Some(VaultError::Locked {
        hbn: hbn.to_string(),
        owner: format!("a {} on {}{pid}", note.purpose, note.host),
        since: time_text(note.since_secs),
        expires: time_text(expires),
    })
}

async fn write(store: &Arc<dyn Store>, name: &ObjectName, note: &Note) -> Result<(), VaultError> {
    let body = serde_json::to_vec(note)
        .map_err(|error| VaultError::Internal { what: "lock", cause: error.to_string() })?;
    Ok(store.put(name, Bytes::from(body)).await?)
}

async fn read(store: &Arc<dyn Store>, name: &ObjectName) -> Result<Vec<u8>, StoreError> {
    let mut body = Vec::new();
    // Nothing longer is a lock of ours.
    let mut stream = store.get(name, Some(0..65_536)).await?;
    while let Some(piece) = stream.try_next().await? {
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
