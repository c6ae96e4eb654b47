//! The file that names the daemon's process. The daemon keeps it locked as long as it lives: the lock, not the number in
//! it, tells whether it runs, so that a number which was given to another process since is never signalled.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Held by the daemon; removed with this value.
pub struct PidFile {
    path: PathBuf,
    file: File,
}

fn open(path: &Path, is_new: bool) -> std::io::Result<File> {
    // The folder for temporary files belongs to everybody: no link is followed there, and nobody else's file is used.
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(is_new)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)?;
    let (owner, own) = (file.metadata()?.uid(), rustix::process::geteuid().as_raw());
    if owner != own && own != 0 {
        return Err(std::io::Error::other(format!("it belongs to user {owner}, not to us")));
    }
    Ok(file)
}

impl PidFile {
    /// Takes the file for this process; `None` when a daemon has it.
    pub fn take(path: &Path) -> std::io::Result<Option<Self>> {
        let mut file = open(path, true)?;
        if file.try_lock().is_err() {
            return Ok(None);
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        file.sync_all()?;
        Ok(Some(Self { path: path.to_path_buf(), file }))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

/// The process id of the daemon that lives.
pub fn running(path: &Path) -> std::io::Result<Option<i32>> {
    let mut file = match open(path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.try_lock_shared().is_ok() {
        return Ok(None);
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    match text.trim().parse() {
        Ok(pid) => Ok(Some(pid)),
        // It has the lock and has not written yet.
        Err(_) => Err(std::io::Error::other("a daemon is just starting")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_daemon_at_a_time_and_no_stale_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        assert_eq!(running(&path).unwrap(), None);
        let held = PidFile::take(&path).unwrap().unwrap();
        assert!(PidFile::take(&path).unwrap().is_none());
        assert_eq!(running(&path).unwrap(), i32::try_from(std::process::id()).ok());
        drop(held);
        assert!(!path.exists());
        std::fs::write(&path, "1\n").unwrap();
        assert_eq!(running(&path).unwrap(), None, "what a dead daemon left is not alive");
        assert!(PidFile::take(&path).unwrap().is_some());
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("pid"), folder.path().join("precious"));
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(PidFile::take(&path).is_err());
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    }
}
