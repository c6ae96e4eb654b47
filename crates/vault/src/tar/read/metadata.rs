//! Owner, mode, attributes, ACLs and times of a restored object.

use super::Extract;
use super::member::Member;
use crate::tar::acl;
use crate::tar::attributes::Holder;
use crate::tar::owners::Owners;
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod, fchown, futimens,
    openat, utimensat,
};
use rustix::io::Result;
use std::os::fd::AsRawFd;

/// What is set after the content is there.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    member: Member,
}

/// Prefixes of attributes that are taken away from a directory that has them and should not.
const OURS_TO_REMOVE: [&[u8]; 2] = [b"user.", b"trusted."];

impl Metadata {
    /// Takes what is needed of a member; its dumpdir and map are dropped.
    pub fn new(mut member: Member) -> Self {
        member.dumpdir = None;
        member.sparse = None;
        Self { member }
    }

    pub fn member(&self) -> &Member {
        &self.member
    }

    /// For files and directories. What could not be set, in words; `None` if all is well.
    pub fn apply_open(
        &self,
        fd: &OwnedFd,
        options: &Extract,
        owners: &mut Owners,
        stale: Stale,
    ) -> Option<String> {
        let mut trouble = Vec::new();
        let mut owned = true;
        if let Some((uid, gid)) = self.owner(options, owners) {
            owned = note(&mut trouble, "owner", fchown(fd, Some(uid), Some(gid)));
        }
        let holder = Holder::Open(fd);
        self.attributes(&holder, options, stale, &mut trouble);
        note(&mut trouble, "mode", fchmod(fd, self.mode(owned, options, stale == Stale::Directory)));
        self.acls(&holder, options, owners, stale, &mut trouble);
        note(&mut trouble, "time", futimens(fd, &self.times()));
        (!trouble.is_empty()).then(|| trouble.join(", "))
    }

    /// For links, fifos and devices.
    pub fn apply_at(
        &self,
        parent: &OwnedFd,
        name: &[u8],
        options: &Extract,
        owners: &mut Owners,
        symlink: bool,
    ) -> Option<String> {
        let mut trouble = Vec::new();
        let mut owned = true;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        if let Some((uid, gid)) = self.owner(options, owners) {
            owned = note(&mut trouble, "owner", chownat(parent, name, Some(uid), Some(gid), flags));
        }
        let holder = Holder::at(parent, name);
        self.attributes(&holder, options, Stale::None, &mut trouble);
        if !symlink {
            note(&mut trouble, "mode", chmod_at(parent, name, self.mode(owned, options, false)));
            self.acls(&holder, options, owners, Stale::File, &mut trouble);
        }
        note(&mut trouble, "time", utimensat(parent, name, &self.times(), flags));
        (!trouble.is_empty()).then(|| trouble.join(", "))
    }

    fn owner(&self, options: &Extract, owners: &mut Owners) -> Option<(Uid, Gid)> {
        if !options.restore_owner {
            return None;
        }
        let by_name = !options.numeric_owner;
        let Member { user, uid, group, gid, .. } = &self.member;
        let mapped = (options.owner_map.user(user, *uid), options.owner_map.group(group, *gid));
        let uid = mapped.0.or_else(|| by_name.then(|| owners.user_id(user)).flatten()).or(id(*uid));
        let gid = mapped.1.or_else(|| by_name.then(|| owners.group_id(group)).flatten()).or(id(*gid));
        Some((Uid::from_raw(uid?), Gid::from_raw(gid?)))
    }

    /// A set-id bit without its owner would hand somebody's rights to somebody else.
    fn mode(&self, owned: bool, options: &Extract, directory: bool) -> Mode {
        let trusted = directory || (owned && options.restore_owner);
        let mask = if trusted { 0o7777 } else { 0o1777 };
        Mode::from_raw_mode(self.member.mode & mask)
    }

    fn attributes(&self, holder: &Holder<'_>, options: &Extract, stale: Stale, trouble: &mut Vec<String>) {
        if !options.restore_xattrs {
            return;
        }
        if stale == Stale::Directory
            && let Ok(names) = holder.names()
        {
            for name in names {
                let name = name.to_bytes();
                let removable = OURS_TO_REMOVE.iter().any(|prefix| name.starts_with(prefix));
                if removable && !self.member.xattrs.iter().any(|(wanted, _)| wanted == name) {
                    note(trouble, "attributes", holder.remove(name));
                }
            }
        }
        for (name, value) in &self.member.xattrs {
            let system = name.starts_with(b"system.");
            match holder.set(name, value) {
                // Attributes of another file system's own kind (NFSv4 ACLs).
                Err(rustix::io::Errno::NOTSUP) if system => {}
                other => {
                    note(trouble, &format!("attribute {}", name.escape_ascii()), other);
                }
            }
        }
    }

    /// Sets ACLs, and removes those that the parent's default ACL gave to a new object.
    fn acls(
        &self,
        holder: &Holder<'_>,
        options: &Extract,
        owners: &mut Owners,
        stale: Stale,
        trouble: &mut Vec<String>,
    ) {
        if !options.restore_acls {
            return;
        }
        let numeric = options.numeric_owner;
        let default_too = matches!(stale, Stale::Directory);
        for (name, text, removable) in [
            (acl::ACCESS, &self.member.access_acl, stale != Stale::None),
            (acl::DEFAULT, &self.member.default_acl, default_too),
        ] {
            match text.as_ref().map(|text| acl::from_text(text, numeric, owners)) {
                Some(Some(binary)) => {
                    note(trouble, "ACL", holder.set(name.as_bytes(), &binary));
                }
                Some(None) => trouble.push("ACL: not understood".into()),
                None if removable => {
                    note(trouble, "ACL", holder.remove(name.as_bytes()));
                }
                None => {}
            }
        }
    }

    fn times(&self) -> Timestamps {
        let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ };
        let mtime = self.member.mtime;
        let last_modification = Timespec { tv_sec: mtime.secs as _, tv_nsec: mtime.nanos as _ };
        Timestamps { last_access: omit, last_modification }
    }
}

/// Which attributes an object may have that it should not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stale {
    /// None, or the archive does not know.
    None,
    /// A new file: an ACL from its parent.
    File,
    /// A directory that may have existed, and the archive promises to hold all attributes.
    Directory,
}

fn id(number: u64) -> Option<u32> {
    u32::try_from(number).ok().filter(|&id| id != u32::MAX)
}

/// Remembers a failure in words; true when there was none.
fn note(trouble: &mut Vec<String>, what: &str, result: Result<()>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) => {
            trouble.push(format!("{what}: {error}"));
            false
        }
    }
}

/// Changes the mode of exactly the object that has this name, never of what a link leads to.
pub(crate) fn chmod_at(parent: &OwnedFd, name: &[u8], mode: Mode) -> Result<()> {
    let fd = openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    rustix::fs::chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), mode)
}
