//! Owner, attributes, mode and times, from one open object to another.

use rustix::fd::OwnedFd;
use rustix::fs::{
    Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, fchmod, fchown, fgetxattr, flistxattr,
    fremovexattr, fsetxattr, futimens,
};
use rustix::io::{Errno, Result};

/// Owner, attributes (ACLs are among them), mode and times of what was restored go to the one that stays. What one of them cannot
/// have keeps it from none of the others; the first cause is told.
pub(super) fn copy_facts(from: &OwnedFd, to: &OwnedFd, stat: &Stat) -> Result<()> {
    let owner = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    let owned = if rustix::process::geteuid().is_root() { fchown(to, owner.0, owner.1) } else { Ok(()) };
    let attributes = copy_attributes(from, to);
    // A set-id bit without its owner would hand somebody's rights to somebody else.
    let bits = if owned.is_ok() { stat.st_mode } else { stat.st_mode & 0o1777 };
    let mode = fchmod(to, Mode::from_raw_mode(bits));
    owned.and(attributes).and(mode).and(futimens(to, &times(stat)))
}

pub(super) fn times(stat: &Stat) -> Timestamps {
    let time = |secs, nanos: u64| Timespec { tv_sec: secs, tv_nsec: i64::try_from(nanos).unwrap_or(0) };
    let last_access = time(stat.st_atime, stat.st_atime_nsec);
    let last_modification = time(stat.st_mtime, stat.st_mtime_nsec);
    Timestamps { last_access, last_modification }
}

fn attribute_names(object: &OwnedFd) -> Result<Vec<Vec<u8>>> {
    // The kernel's own limit for names.
    let mut list = vec![0u8; 65_536];
    let size = match flistxattr(object, list.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        size => size?,
    };
    let names = list.get(..size).unwrap_or_default().split(|byte| *byte == 0);
    Ok(names.filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
}

pub(super) fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    // The kernel's own limit for values.
    let (mut value, mut present) = (vec![0u8; 65_536], vec![0u8; 65_536]);
    for name in attribute_names(from)? {
        let size = fgetxattr(from, name.as_slice(), value.as_mut_slice())?;
        let wanted = value.get(..size).unwrap_or_default();
        let has = fgetxattr(to, name.as_slice(), present.as_mut_slice());
        // Not everybody who may leave it as it is may set it (labels).
        if has.is_ok_and(|size| present.get(..size) == Some(wanted)) {
            continue;
        }
        fsetxattr(to, name.as_slice(), wanted, XattrFlags::empty())?;
    }
    Ok(())
}

/// Takes away what a restore takes away from an object that has it and should not.
pub(super) fn drop_attributes(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    const STALE: [&[u8]; 3] = [b"user.", b"trusted.", b"system.posix_acl_"];
    let kept = attribute_names(from)?;
    for name in attribute_names(to)? {
        if STALE.iter().any(|prefix| name.starts_with(prefix)) && !kept.contains(&name) {
            fremovexattr(to, name.as_slice())?;
        }
    }
    Ok(())
}
