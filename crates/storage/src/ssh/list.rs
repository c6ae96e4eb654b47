//! Listing a folder.

use super::connect::Link;
use super::error::{is_end, is_missing};
use super::{SshStore, Wrong};
use crate::local::TEMPORARY_PREFIX;
use crate::stamp::Stamp;
use crate::store::{Entry, StoreError};
use russh_sftp::client::error::Error;
use russh_sftp::protocol::{File, FileAttributes};
use std::sync::Arc;

/// What the library puts where a name is no UTF-8. Such a file was not made by a store.
const NO_TEXT: char = '\u{fffd}';

impl SshStore {
    pub(super) async fn entries(&self, name: &str) -> Result<Vec<Entry>, StoreError> {
        let link = self.link().await?;
        let path = Self::path(&link, name);
        let files = match read_folder(&link, &path).await {
            Ok(files) => files,
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            Err(error) => {
                // OpenSSH says "failure" when the path is a file.
                return match link.sftp.stat(path.as_str()).await {
                    Ok(answer) if !answer.attrs.file_type().is_dir() => Ok(Vec::new()),
                    _ => Err(self.wrong(&Wrong { link: &link, name }, "listing", error).await),
                };
            }
        };
        let mut entries = Vec::new();
        for file in files {
            if file.filename.starts_with(TEMPORARY_PREFIX) || file.filename.contains(NO_TEXT) {
                continue;
            }
            let Some(attributes) = self.behind_links(&link, &path, &file).await? else { continue };
            let kind = attributes.file_type();
            if kind.is_dir() || kind.is_file() {
                let is_folder = kind.is_dir();
                let size_bytes = if is_folder { 0 } else { attributes.size.unwrap_or(0) };
                let stamp = attributes.mtime.filter(|_| !is_folder).map(stamp);
                entries.push(Entry { name: file.filename, is_folder, size_bytes, tag: None, stamp });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Reading follows links, so listing does; a link that leads nowhere is nothing.
    async fn behind_links(
        &self,
        link: &Arc<Link>,
        folder: &str,
        file: &File,
    ) -> Result<Option<FileAttributes>, StoreError> {
        if !file.attrs.file_type().is_symlink() {
            return Ok(Some(file.attrs.clone()));
        }
        match link.sftp.stat(format!("{folder}/{}", file.filename)).await {
            Ok(answer) => Ok(Some(answer.attrs)),
            Err(Error::Status(_)) => Ok(None),
            Err(error) => Err(self.wrong(&Wrong { link, name: &file.filename }, "looking at", error).await),
        }
    }
}

/// Whole seconds are all there is.
pub(super) fn stamp(modified: u32) -> Stamp {
    Stamp { modified_secs: modified.into(), more: String::new() }
}

/// All that is in a folder, but not the folder itself and the one above.
pub(super) async fn read_folder(link: &Link, path: &str) -> Result<Vec<File>, Error> {
    let handle = link.sftp.opendir(path).await?.handle;
    let mut files = Vec::new();
    let result = loop {
        match link.sftp.readdir(handle.as_str()).await {
            Ok(page) => {
                files.extend(page.files.into_iter().filter(|f| f.filename != "." && f.filename != ".."))
            }
            Err(error) if is_end(&error) => break Ok(files),
            Err(error) => break Err(error),
        }
    };
    let _ = link.sftp.close(handle).await;
    result
}
