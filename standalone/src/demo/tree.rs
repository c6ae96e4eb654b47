//! Trees of files for the demo: copy one, change it, and say whether two are equal.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// One entry of a tree, as far as the demo compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Folder { mode: u32 },
    File { mode: u32, mtime_ns: i128, bytes: u64, sha256: String },
    Link { to: PathBuf },
}

/// Path below the root → entry.
pub type Snapshot = BTreeMap<PathBuf, Entry>;

/// Reads a whole tree.
pub fn snapshot(root: &Path) -> io::Result<Snapshot> {
    let mut found = Snapshot::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(root.join(&folder))? {
            let path = folder.join(item?.file_name());
            let full = root.join(&path);
            let meta = fs::symlink_metadata(&full)?;
            let mode = meta.mode() & 0o7777;
            let entry = if meta.is_dir() {
                folders.push(path.clone());
                Entry::Folder { mode }
            } else if meta.is_symlink() {
                Entry::Link { to: fs::read_link(&full)? }
            } else {
                let mtime_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
                Entry::File { mode, mtime_ns, bytes: meta.len(), sha256: digest(&full)? }
            };
            found.insert(path, entry);
        }
    }
    Ok(found)
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex::encode(hash.finalize())),
            count => hash.update(piece.get(..count).unwrap_or_default()),
        }
    }
}

/// What differs between two trees, a line each; empty when they are equal.
pub fn differences(left: &Snapshot, right: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, entry) in left {
        match right.get(path) {
            None => lines.push(format!("{} is missing", path.display())),
            Some(other) if other != entry => {
                lines.push(format!("{} differs: {entry:?} / {other:?}", path.display()))
            }
            Some(_) => {}
        }
    }
    lines.extend(
        right
            .keys()
            .filter(|path| !left.contains_key(*path))
            .map(|path| format!("{} is too much", path.display())),
    );
    lines
}

/// Total bytes and number of files.
pub fn size(snapshot: &Snapshot) -> (u64, u64) {
    snapshot.values().fold((0, 0), |(bytes, files), entry| match entry {
        Entry::File { bytes: own, .. } => (bytes + own, files + 1),
        _ => (bytes, files),
    })
}

/// Copies folders, files and links, with modes and times; what cannot be read, or is of another kind,
/// is left out. The demo works on a copy so that it never touches what is yours.
pub fn copy(from: &Path, to: &Path, most_bytes: u64) -> io::Result<u64> {
    let mut left = most_bytes;
    copy_folder(from, to, &mut left)?;
    Ok(most_bytes - left)
}

fn copy_folder(from: &Path, to: &Path, left: &mut u64) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let Ok(items) = fs::read_dir(from) else { return Ok(()) };
    let mut items: Vec<_> = items.filter_map(Result::ok).collect();
    items.sort_by_key(fs::DirEntry::file_name);
    for item in items {
        let (source, target) = (item.path(), to.join(item.file_name()));
        let Ok(meta) = fs::symlink_metadata(&source) else { continue };
        if meta.is_dir() {
            copy_folder(&source, &target, left)?;
        } else if meta.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if meta.is_file() && meta.len() <= *left && fs::copy(&source, &target).is_ok() {
            *left -= meta.len();
            fs::File::options().write(true).open(&target)?.set_modified(meta.modified()?)?;
        }
    }
    let mode = fs::metadata(from)?.permissions().mode() | 0o700;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
}

/// Changes of every kind: a file rewritten, one grown, one deleted, one renamed, new ones, a new folder.
/// Answers what was done.
pub fn change(root: &Path, before: &Snapshot) -> io::Result<Vec<String>> {
    let files: Vec<&PathBuf> = before
        .iter()
        .filter(|(_, entry)| matches!(entry, Entry::File { .. }))
        .map(|(path, _)| path)
        .collect();
    let mut done = Vec::new();
    let pick = |part: usize| files.get(files.len().saturating_mul(part) / 8).copied();
    if let Some(path) = pick(1) {
        fs::write(root.join(path), "rewritten by the demo\n")?;
        done.push(format!("rewrote  {}", path.display()));
    }
    if let Some(path) = pick(3) {
        io::Write::write_all(
            &mut fs::File::options().append(true).open(root.join(path))?,
            b"\nand one line more\n",
        )?;
        done.push(format!("appended {}", path.display()));
    }
    if let Some(path) = pick(5) {
        fs::remove_file(root.join(path))?;
        done.push(format!("deleted  {}", path.display()));
    }
    if let Some(path) = pick(7) {
        let renamed = path.with_extension("renamed");
        fs::rename(root.join(path), root.join(&renamed))?;
        done.push(format!("renamed  {} to {}", path.display(), renamed.display()));
    }
    fs::create_dir_all(root.join("new folder/deep"))?;
    fs::write(root.join("new folder/deep/größe.txt"), "a new file with a name beyond ASCII\n")?;
    symlink("deep/größe.txt", root.join("new folder/link"))?;
    done.push("created  new folder/, a file and a link in it".to_owned());
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_equal_and_a_change_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        fs::create_dir_all(from.join("x")).unwrap();
        for name in ["1", "2", "3", "4", "x/5", "x/6", "x/7", "x/8", "x/9"] {
            fs::write(from.join(name), name).unwrap();
        }
        copy(&from, &to, 1 << 20).unwrap();
        let before = snapshot(&to).unwrap();
        assert_eq!(differences(&snapshot(&from).unwrap(), &before), Vec::<String>::new());
        assert_eq!(size(&before), (19, 9));
        change(&to, &before).unwrap();
        assert!(differences(&before, &snapshot(&to).unwrap()).len() >= 6);
    }
}
