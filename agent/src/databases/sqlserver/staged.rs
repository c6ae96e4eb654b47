//! Files in the folder that the server and this host share.

use super::conf::SqlServerConf;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// The server's group reads what lies in its folder.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// A path of the server's, one step further.
pub(super) fn join(folder: &str, name: &str) -> String {
    let separator = if folder.contains('\\') { '\\' } else { '/' };
    format!("{}{separator}{name}", folder.trim_end_matches(separator))
}

/// A backup that the server writes. Whatever happens, the file goes.
pub(super) struct Staged {
    /// Its name within the server's history, too.
    pub name: String,
    /// As the server names it.
    pub server_path: String,
    path: PathBuf,
    is_removed: bool,
}

impl Staged {
    pub(super) fn new(conf: &SqlServerConf) -> Self {
        let name = format!("freezer-{}", uuid::Uuid::new_v4().simple());
        let file = format!("{name}.bak");
        Self {
            server_path: join(&conf.folder, &file),
            path: conf.agent_folder.join(&file),
            name,
            is_removed: false,
        }
    }

    /// The file, and how long it is.
    pub(super) fn open(&self) -> Result<(File, u64), String> {
        let open = || -> std::io::Result<(File, u64)> {
            let file = File::open(&self.path)?;
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        };
        open().map_err(|error| {
            format!(
                "the server wrote {}, but this host cannot read {}: {error}; see folder and agent_folder in sql_server_conf",
                self.server_path,
                self.path.display()
            )
        })
    }

    /// A folder that fills up in silence would end all backups one day.
    pub(super) fn remove(mut self) -> Result<(), String> {
        self.is_removed = true;
        std::fs::remove_file(&self.path).map_err(|error| {
            format!("{} stays: {error}; the agent must be allowed to remove files there", self.path.display())
        })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.is_removed {
            return;
        }
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "a backup of the server stays in its folder");
            }
            _ => {}
        }
    }
}

/// A folder in the shared one, for what is to be restored. It goes with its content.
pub(crate) struct Area {
    /// As the server names it.
    pub(super) server_path: String,
    path: PathBuf,
    is_made: bool,
}

impl Area {
    pub(crate) fn new(conf: &SqlServerConf, is_dry: bool) -> Result<Self, String> {
        let name = format!("freezer-{}", uuid::Uuid::new_v4().simple());
        let path = conf.agent_folder.join(&name);
        if !is_dry {
            std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
                format!("{}: {error}; see agent_folder in sql_server_conf", path.display())
            })?;
        }
        Ok(Self { server_path: join(&conf.folder, &name), path, is_made: !is_dry })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the server read what lies below.
    pub(super) fn share(&self) -> Result<(), String> {
        let fail = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let parent = self.path.parent().unwrap_or(&self.path);
        let group = std::fs::metadata(parent).map_err(fail)?.gid();
        give(&self.path, group).map_err(fail)
    }
}

fn give(path: &Path, group: u32) -> std::io::Result<()> {
    let about = std::fs::symlink_metadata(path)?;
    if about.is_symlink() {
        return Ok(());
    }
    if about.gid() != group {
        chown(path, None, Some(group))?;
    }
    let mode = if about.is_dir() { FOLDER_MODE } else { FILE_MODE };
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode))?;
    if about.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), group)?;
        }
    }
    Ok(())
}

impl Drop for Area {
    fn drop(&mut self) {
        if self.is_made
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the folder of a restore stays");
        }
    }
}
