//! Several small objects in one request: an archive that Swift's bulk middleware takes apart, member by member.
//!
//! Swift is not told the MD5 of each object then. What takes its place is bzip2's checksum: the middleware proves it for a block before
//! it gets at any byte of it, and an archive is one block, so what was damaged on the way becomes no object. Whatever is not as
//! expected (no such middleware, an object that was refused, an answer that was lost), the objects are written one by one, which is
//! how everything else is written, and shows the cause.

use super::SwiftStore;
use super::bulk::BulkAnswer;
use super::client::Request;
use crate::store::{ObjectName, Store, StoreError};
use bytes::Bytes;
use bzip2::Compression;
use bzip2::write::BzEncoder;
use reqwest::Method;
use reqwest::header::HeaderValue;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// With their headers these are less than a block of bzip2, which holds 900 000 bytes after a stage that may add a quarter.
const MOST_BYTES: usize = 512 << 10;
const MOST_OBJECTS: usize = 16;
/// What Swift takes by default.
const MOST_NAME_BYTES: usize = 1024;

/// Blocks of a tar archive.
const BLOCK_BYTES: usize = 512;
/// Longer names stand in a header of their own.
const NAME_BYTES: usize = 100;

impl SwiftStore {
    /// Writes the objects in their order, at best with one request.
    pub(super) async fn put_together(&self, objects: &[(ObjectName, Bytes)]) -> Result<(), StoreError> {
        if self.takes_archives.load(Ordering::Relaxed) && self.fit_together(objects) {
            let Err(error) = self.put_archive(objects).await else { return Ok(()) };
            tracing::info!(store = %self.client.label, %error, "no bulk upload; objects are written one by one from now on");
            self.takes_archives.store(false, Ordering::Relaxed);
        }
        for (name, body) in objects {
            self.put(name, body.clone()).await?;
        }
        Ok(())
    }

    /// Only names that no server and no version of its tools reads in another way.
    fn fit_together(&self, objects: &[(ObjectName, Bytes)]) -> bool {
        let bytes: usize = objects.iter().map(|(_, body)| body.len()).sum();
        let is_plain = |name: &str| name.len() <= MOST_NAME_BYTES && is_plain(name);
        (2..=MOST_OBJECTS).contains(&objects.len())
            && bytes <= MOST_BYTES
            && is_plain(&self.root.container)
            && objects.iter().all(|(name, _)| is_plain(&self.root.full(name)))
    }

    async fn put_archive(&self, objects: &[(ObjectName, Bytes)]) -> Result<(), StoreError> {
        let container = self.root.container.as_str();
        let members: Vec<(String, Bytes)> =
            objects.iter().map(|(name, body)| (self.root.full(name), body.clone())).collect();
        let packed = tokio::task::spawn_blocking(move || archive(&members))
            .await
            .map_err(|error| self.client.other(container, error.to_string()))?
            .map_err(|error| self.client.other(container, error.to_string()))?;
        let request = Request::new(Method::PUT, container, None)
            .query("extract-archive", "tar.bz2")
            .header("accept", HeaderValue::from_static("application/json"))
            .body(Arc::new(vec![Bytes::from(packed)]));
        let answer = self.client.send_ok(&request).await?;
        let body = tokio::time::timeout(self.client.stall_timeout, answer.bytes())
            .await
            .map_err(|_| self.client.unavailable(container, "the bulk upload stalled".into()))?
            .map_err(|error| self.client.transport(container, &error))?;
        // Without the middleware this is a request to make the container, which changes nothing and says nothing.
        let answer: BulkAnswer = serde_json::from_slice(&body)
            .map_err(|error| self.client.other(container, format!("no answer to a bulk upload: {error}")))?;
        let is_done = answer.status.starts_with("201") && answer.errors.is_empty();
        if is_done && answer.created == objects.len() {
            return Ok(());
        }
        let cause = format!(
            "bulk upload: {} of {} objects: {} {} {:?}",
            answer.created,
            objects.len(),
            answer.status,
            answer.text,
            answer.errors
        );
        Err(self.client.other(container, cause))
    }
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| (byte.is_ascii_graphic() || byte == b' ') && byte != b'%')
}

/// A tar archive of these members, compressed.
fn archive(members: &[(String, Bytes)]) -> std::io::Result<Vec<u8>> {
    let mut tar = Vec::new();
    for (name, body) in members {
        if name.len() > NAME_BYTES {
            append(&mut tar, "path", 'x', path_record(name).as_bytes());
        }
        append(&mut tar, name, '0', body);
    }
    // Two empty blocks are the end.
    tar.resize(tar.len() + 2 * BLOCK_BYTES, 0);
    let mut packer = BzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(&tar)?;
    packer.finish()
}

fn append(tar: &mut Vec<u8>, name: &str, kind: char, body: &[u8]) {
    let blank = header(name, kind, body.len(), "        ");
    let sum: u64 = blank.iter().copied().map(u64::from).sum();
    tar.extend_from_slice(&header(name, kind, body.len(), &format!("{sum:06o}\0 ")));
    tar.extend_from_slice(body);
    tar.resize(tar.len().next_multiple_of(BLOCK_BYTES), 0);
}

/// A header in the form of POSIX; `checksum` is over it with eight blanks in that place.
fn header(name: &str, kind: char, body_bytes: usize, checksum: &str) -> Vec<u8> {
    let (size, kind) = (format!("{body_bytes:011o}"), kind.to_string());
    let name = name.get(..NAME_BYTES).unwrap_or(name);
    let [mode, nobody, time, link, magic] = ["0000644", "0000000", "00000000000", "", "ustar\x0000"];
    let fields: [(&str, usize); 10] = [
        (name, NAME_BYTES),
        (mode, 8),
        (nobody, 8),
        (nobody, 8),
        (size.as_str(), 12),
        (time, 12),
        (checksum, 8),
        (kind.as_str(), 1),
        (link, 100),
        (magic, 8),
    ];
    let mut head = Vec::with_capacity(BLOCK_BYTES);
    for (text, width) in fields {
        head.extend_from_slice(text.as_bytes());
        head.resize(head.len() + width.saturating_sub(text.len()), 0);
    }
    head.resize(BLOCK_BYTES, 0);
    head
}

/// The name of the member that follows, whose length stands before it and counts itself.
fn path_record(name: &str) -> String {
    let rest = format!(" path={name}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        for length in [1, 90, 91, 92, 93, 989, 990, 991, 992] {
            let record = path_record(&"n".repeat(length));
            let (told, _) = record.split_once(' ').unwrap();
            assert_eq!(told.parse::<usize>().unwrap(), record.len(), "{length}");
        }
    }

    #[test]
    fn only_plain_names() {
        assert!(is_plain("pre fix/data/tar/h_{n}/1/0_1/data"));
        for other in ["50%", "é", "tab\t", "line\n"] {
            assert!(!is_plain(other), "{other}");
        }
    }

    #[test]
    fn tar_reads_the_archive() {
        let long = format!("folder/{}/data", "n".repeat(200));
        let hundred = format!("folder/{}", "h".repeat(93));
        let members: Vec<(String, Bytes)> =
            [("a b", 0), (hundred.as_str(), 512), (long.as_str(), 513), ("z/metadata", 70_000)]
                .into_iter()
                .map(|(name, bytes)| (name.to_owned(), crate::suite::noise(bytes as u64, bytes)))
                .collect();
        let packed = archive(&members).unwrap();
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut bzip2::read::BzDecoder::new(packed.as_slice()), &mut unpacked)
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tar"), unpacked).unwrap();
        let mut tar = std::process::Command::new("tar");
        let done = tar.args(["-x", "-f", "tar"]).current_dir(folder.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        for (name, body) in &members {
            assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), *body, "{name}");
        }
    }
}
