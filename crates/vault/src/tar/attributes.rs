//! Extended attributes and ACLs of one object, read and set.
//!
//! Objects without a descriptor (links, devices) are reached as `/proc/self/fd/PARENT/NAME`, which never follows
//! a link in the last place with the `l…` calls.

use super::acl;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{self, XattrFlags};
use rustix::io::{Errno, Result};
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What an object carries besides the ordinary.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    /// Names and values, ACLs apart.
    pub plain: Vec<(Vec<u8>, Vec<u8>)>,
    /// The kernel's binary form.
    pub access_acl: Option<Vec<u8>>,
    pub default_acl: Option<Vec<u8>>,
    /// An attribute that is there but could not be read.
    pub failure: Option<String>,
}

/// Where the attributes are.
#[derive(Debug, Clone)]
pub(super) enum Holder<'a> {
    Open(&'a OwnedFd),
    At(PathBuf),
}

impl<'a> Holder<'a> {
    /// An object that cannot be opened.
    pub fn at(parent: &OwnedFd, name: &[u8]) -> Self {
        let mut path = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd()));
        path.push(OsStr::from_bytes(name));
        Self::At(path)
    }

    fn list(&self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Open(fd) => fs::flistxattr(fd, buffer),
            Self::At(path) => fs::llistxattr(path, buffer),
        }
    }

    fn get(&self, name: &CStr, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Open(fd) => fs::fgetxattr(fd, name, buffer),
            Self::At(path) => fs::lgetxattr(path, name, buffer),
        }
    }

    pub fn set(&self, name: &[u8], value: &[u8]) -> Result<()> {
        match self {
            Self::Open(fd) => fs::fsetxattr(fd, name, value, XattrFlags::empty()),
            Self::At(path) => fs::lsetxattr(path, name, value, XattrFlags::empty()),
        }
    }

    /// An attribute that is not there is removed already.
    pub fn remove(&self, name: &[u8]) -> Result<()> {
        let result = match self {
            Self::Open(fd) => fs::fremovexattr(fd, name),
            Self::At(path) => fs::lremovexattr(path, name),
        };
        match result {
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
            other => other,
        }
    }

    /// The names of all attributes.
    pub fn names(&self) -> Result<Vec<CString>> {
        let mut buffer = [0u8; 1024];
        match self.list(&mut buffer) {
            Ok(length) => Ok(split_names(buffer.get(..length).unwrap_or_default())),
            Err(Errno::RANGE) => {
                // The kernel's limit for the list.
                let mut buffer = vec![0u8; 65_536];
                let length = self.list(&mut buffer)?;
                Ok(split_names(buffer.get(..length).unwrap_or_default()))
            }
            Err(Errno::NOTSUP) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn value(&self, name: &CStr) -> Result<Vec<u8>> {
        let mut small = [0u8; 512];
        match self.get(name, &mut small) {
            Ok(length) => Ok(small.get(..length).unwrap_or_default().to_vec()),
            Err(Errno::RANGE) => {
                let mut buffer = vec![0u8; 65_536];
                let length = self.get(name, &mut buffer)?;
                buffer.truncate(length);
                Ok(buffer)
            }
            Err(error) => Err(error),
        }
    }

    /// All of them, sorted by name.
    pub fn read(&self) -> Attributes {
        let mut found = Attributes::default();
        let mut names = match self.names() {
            Ok(names) => names,
            Err(error) => {
                found.failure = Some(format!("extended attributes cannot be listed: {error}"));
                return found;
            }
        };
        names.sort_unstable();
        for name in names {
            match (self.value(&name), name.to_bytes()) {
                (Ok(value), bytes) if bytes == acl::ACCESS.as_bytes() => found.access_acl = Some(value),
                (Ok(value), bytes) if bytes == acl::DEFAULT.as_bytes() => found.default_acl = Some(value),
                (Ok(value), bytes) => found.plain.push((bytes.to_vec(), value)),
                // Removed in between, or shown by name to those who may not read it.
                (Err(Errno::NODATA), _) => {}
                (Err(error), bytes) => {
                    found.failure =
                        Some(format!("attribute {} cannot be read: {error}", bytes.escape_ascii()));
                }
            }
        }
        found
    }
}

fn split_names(list: &[u8]) -> Vec<CString> {
    list.split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .filter_map(|name| CString::new(name).ok())
        .collect()
}
