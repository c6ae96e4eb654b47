//! What a local storage holds.

use std::path::Path;
use std::process::Command;

/// The files of archives in the storage `store`, those of unfinished ones included; none when there is no such folder.
pub fn archive_files(store: &Path) -> Vec<String> {
    let find = Command::new("find").arg(store).args(["-type", "f", "-path", "*/tar/*"]).output();
    let found = find.expect("find runs").stdout;
    String::from_utf8_lossy(&found).lines().map(str::to_owned).collect()
}
