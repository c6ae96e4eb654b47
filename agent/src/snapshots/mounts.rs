//! The kernel's table of mounts.

use super::host::Host;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub device: (u32, u32),
    /// Which part of the file system is mounted.
    pub root: PathBuf,
    pub point: PathBuf,
    /// Of the file system: `ext4`.
    pub kind: String,
    pub source: String,
}

/// All of them, in the order in which they were mounted.
pub fn all(host: &dyn Host) -> Result<Vec<Mount>, String> {
    let table = host.mount_table()?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// The one that a path (absolute, without links) lies on.
pub fn of(host: &dyn Host, path: &Path) -> Result<Mount, String> {
    let on = |mount: &Mount| path.starts_with(&mount.point);
    let length = |mount: &Mount| mount.point.components().count();
    // Of those on one place the latest is on top: of equals `max_by_key` takes the last.
    let found = all(host)?.into_iter().filter(on).max_by_key(length);
    found.ok_or_else(|| format!("no mounted file system holds {}", path.display()))
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (major, minor) = std::str::from_utf8(fields.nth(2)?).ok()?.split_once(':')?;
    let (root, point) = (path(fields.next()?), path(fields.next()?));
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let text = |field: &[u8]| String::from_utf8_lossy(&unescaped(field)).into_owned();
    let (kind, source) = (text(rest.next()?), text(rest.next()?));
    Some(Mount { device: (major.parse().ok()?, minor.parse().ok()?), root, point, kind, source })
}

fn path(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescaped(field)))
}

/// Blanks and backslashes stand as three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, more)) = rest.split_first() {
        let code = (*first == b'\\').then(|| more.get(..3)).flatten();
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match code {
            Some(byte) => {
                out.push(byte);
                rest = more.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = more;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::recorded::Recorded;
    use super::*;

    #[test]
    fn the_mount_of_a_path_is_found() {
        let host = Recorded::new(
            "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
             30 22 253:2 / /srv rw - xfs /dev/mapper/vg-srv rw\n\
             31 30 253:3 /part /srv/a\\040b rw master:2 propagate_from:1 - ext4 /dev/mapper/vg-two rw\n\
             32 22 253:4 / /srv rw - ext4 /dev/mapper/vg-over rw\n\
             broken line\n",
        );
        let on = |path: &str| of(&host, Path::new(path)).unwrap();
        assert_eq!((on("/srvx").source.as_str(), on("/").device), ("/dev/sda1", (8, 1)));
        assert_eq!(on("/srv/a").source, "/dev/mapper/vg-over", "what is on top");
        let part = on("/srv/a b/c");
        assert_eq!((part.root.to_str(), part.kind.as_str()), (Some("/part"), "ext4"));
    }
}
