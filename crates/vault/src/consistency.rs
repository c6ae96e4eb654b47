//! Upstream's consistency checksum of a tree, for jobs that carry one.
//!
//! One running SHA-256 over contents, names and its own intermediate values, in the raw order of the
//! directories. That order may differ between two copies of a tree, so a mismatch is a hint and no
//! proof; what proves a restore here are the hashes of the manifest.

use crate::VaultError;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const HEX_DIGITS: usize = 64;
const READ_BYTES: usize = 1 << 20;

/// Whether symbolic links count as what they point to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Always after a restore, and when links were stored as links.
    Ignore,
    Follow,
}

/// The checksum of a folder or a file. Blocking, and reads everything.
pub fn checksum(source: &Path, links: Links) -> Result<String, VaultError> {
    let mut sum = Sum { hash: Sha256::new(), accumulated: String::new(), count: 0, links };
    if source.is_dir() {
        sum.walk(source, ".")?;
    } else {
        let name = base_name(source);
        sum.visit(source, &name)?;
    }
    let mut text = sum.accumulated;
    if sum.count == 1 {
        text.push_str(&base_name(source));
    }
    Ok(text)
}

/// Compares a restored tree with the checksum of a job; a single file's name follows its digits.
pub fn matches(target: &Path, expected: &str) -> Result<bool, VaultError> {
    let (digits, name) = match expected.split_at_checked(HEX_DIGITS) {
        Some(parts) if parts.0.bytes().all(|byte| byte.is_ascii_hexdigit()) => parts,
        _ => {
            let cause = "the consistency checksum does not begin with 64 hexadecimal digits".into();
            return Err(VaultError::BadRequest { cause });
        }
    };
    if name.split('/').any(|part| part == "..") || name.starts_with('/') {
        return Err(VaultError::BadRequest { cause: "the consistency checksum names a path outside".into() });
    }
    // Of an empty folder upstream adds the folder's own name, which the target need not have.
    let file = target.join(name);
    let path = if name.is_empty() || !file.exists() { target.to_path_buf() } else { file };
    let found = checksum(&path, Links::Ignore)?;
    Ok(found.get(..HEX_DIGITS) == Some(digits))
}

fn base_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

struct Sum {
    hash: Sha256,
    accumulated: String,
    count: u64,
    links: Links,
}

impl Sum {
    /// Answers `false` when the walk as a whole must end: upstream stops at the first linked folder.
    fn walk(&mut self, folder: &Path, shown: &str) -> Result<bool, VaultError> {
        self.visit(folder, shown)?;
        if self.links == Links::Ignore && folder.is_symlink() {
            return Ok(false);
        }
        let fail = |error: std::io::Error| local(folder, &error);
        let mut folders: Vec<(PathBuf, String)> = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let (path, name) = (entry.path(), format!("{shown}/{}", entry.file_name().to_string_lossy()));
            if path.is_dir() {
                folders.push((path, name));
            } else {
                self.visit(&path, &name)?;
            }
        }
        for (path, name) in folders {
            if !self.walk(&path, &name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn visit(&mut self, path: &Path, shown: &str) -> Result<(), VaultError> {
        let ignored = self.links == Links::Ignore && path.is_symlink();
        if path.is_file() && !ignored {
            self.add_content(path)?;
        } else {
            self.hash.update(escaped(shown));
        }
        let digest = self.digest();
        if self.accumulated.is_empty() {
            self.accumulated = digest;
        } else {
            self.hash.update(&self.accumulated);
            self.hash.update(&digest);
            self.accumulated = self.digest();
        }
        self.count += 1;
        Ok(())
    }

    fn add_content(&mut self, path: &Path) -> Result<(), VaultError> {
        let fail = |error: std::io::Error| local(path, &error);
        let mut file = File::open(path).map_err(fail)?;
        let mut buffer = vec![0u8; READ_BYTES];
        loop {
            match file.read(&mut buffer).map_err(fail)? {
                0 => return Ok(()),
                count => self.hash.update(buffer.get(..count).unwrap_or_default()),
            }
        }
    }

    fn digest(&self) -> String {
        hex::encode(self.hash.clone().finalize())
    }
}

fn local(path: &Path, error: &std::io::Error) -> VaultError {
    VaultError::Local { path: path.to_path_buf(), cause: error.to_string() }
}

/// Python's `unicode-escape` encoding.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let code = u32::from(letter);
        // Writing to a String cannot fail.
        let _ = match letter {
            '\\' => write!(out, "\\\\"),
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            ' '..='~' => write!(out, "{letter}"),
            _ if code < 0x100 => write!(out, "\\x{code:02x}"),
            _ if code < 0x1_0000 => write!(out, "\\u{code:04x}"),
            _ => write!(out, "\\U{code:08x}"),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_vectors() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "hello\n").unwrap();
        let first = "d7a2e11a1267d3ee483424946782b39dd2ae0a160beffd1f677b4616b7e5f378";
        assert_eq!(checksum(folder.path(), Links::Ignore).unwrap(), first);
        assert!(matches(folder.path(), first).unwrap());
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        std::fs::write(folder.path().join("sub/b"), "x").unwrap();
        let second = "bdee9d25c32958d5d43527e6e009b25aa3cd38c48b9f195ea96d23da84645ac3";
        assert_eq!(checksum(folder.path(), Links::Ignore).unwrap(), second);
        assert!(!matches(folder.path(), first).unwrap());
    }

    #[test]
    fn single_files_and_bad_text() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("only one");
        std::fs::write(&file, "x").unwrap();
        let sum = checksum(&file, Links::Ignore).unwrap();
        assert!(sum.ends_with("only one") && matches(folder.path(), &sum).unwrap());
        assert!(matches(folder.path(), "short").is_err());
        assert!(matches(folder.path(), &format!("{}../../etc/passwd", "0".repeat(64))).is_err());
    }

    #[test]
    fn names_are_escaped_as_python_does() {
        assert_eq!(escaped("a\\b\n\u{e9}\u{20ac}\u{1f600}\u{1}"), "a\\\\b\\n\\xe9\\u20ac\\U0001f600\\x01");
    }
}
