//! Images of a Ceph cluster through the program `rbd`: no library of Ceph's is linked, and no data touch the disk.
//!
//! The snapshot that the next increment starts from is kept on the image under a name of the form `backup.<id>.snap.<time>`:
//! Cinder counts such snapshots as those of backups and removes them with the volume, so that its owner can delete it.

use super::error::CloudError;
use super::pipe;
use bytes::{Bytes, BytesMut};
use chrono::NaiveDateTime;
use freezer_vault::Monitor;
use freezer_vault::image::ImageInput;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, Command};

const PIECE_BYTES: usize = 256 << 10;
const STDERR_KEPT_BYTES: u64 = 4096;
/// Exit status of `rbd` when there is no such image (ENOENT).
const NOT_THERE: i32 = 2;
/// Of an image that is as large or larger it is asked first how much has changed: to list changes, `rbd` asks the cluster for
/// every object of the image, changed or not.
const LARGE_BYTES: u64 = 32 << 30;
/// Asking for one object takes about as long as reading so many bytes, from a cluster that gives 86 MB/s and 10 000 answers a
/// second; most give more bytes. It is low, as whole objects also cost what is stored of them beyond the change.
const BYTES_PER_ASKED: u64 = 8 << 10;
/// What an object has unless the image says otherwise.
const USUAL_OBJECT_BYTES: u64 = 4 << 20;
/// `rbd` reads whole objects into memory that glibc keeps once it was given back: of a gigabyte 330 MB stay. With these it is the system's
/// again, at the same speed.
const GIVES_BACK: [(&str, &str); 3] =
    [("MALLOC_MMAP_THRESHOLD_", "131072"), ("MALLOC_TRIM_THRESHOLD_", "131072"), ("MALLOC_ARENA_MAX", "2")];
/// How long an import that is broken off may take to let go of its image.
const CLOSING: Duration = Duration::from_secs(10);

/// How this host reaches a Ceph cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CephAccess {
    pub conf: String,
    pub client: Option<String>,
    /// Pool of Cinder's volumes.
    pub pool: String,
    /// The maps of changed objects may lack some: who writes the images is too old.
    #[serde(default)]
    pub without_fast_diff: bool,
}

/// An image by pool and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RbdImage {
    pub pool: String,
    pub name: String,
}

impl std::fmt::Display for RbdImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.pool, self.name)
    }
}

/// What tells an image from another of its name, and how large it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RbdFacts {
    pub id: String,
    pub size_bytes: u64,
    pub object_bytes: u64,
    /// Seconds since 1970; an old cluster does not tell it.
    pub made_at_secs: Option<i64>,
    /// The cluster keeps a map of which objects have changed.
    pub has_fast_diff: bool,
}

/// Names of the snapshots kept for one chain of backups: its storage and name decide.
pub fn snapshot_prefix(chain: &str) -> String {
    let digest = Sha256::digest(chain);
    let id: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("backup.{id}.snap.freezer-")
}

/// The cluster, for one action.
#[derive(Clone)]
pub struct Ceph {
    access: CephAccess,
    monitor: Arc<Monitor>,
}

impl Ceph {
    pub fn new(access: CephAccess, monitor: Arc<Monitor>) -> Self {
        Self { access, monitor }
    }

    /// Not ended by an abort: for tidying up.
    pub fn undisturbed(&self) -> Self {
        Self { access: self.access.clone(), monitor: Arc::new(Monitor::new()) }
    }

    /// Where Cinder keeps a volume, if it keeps it here. Whose volume it is must have been asked of Cinder.
    pub fn image_of_volume(&self, volume_id: &str) -> RbdImage {
        RbdImage { pool: self.access.pool.clone(), name: format!("volume-{volume_id}") }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("rbd");
        command.arg("--conf").arg(&self.access.conf);
        if let Some(client) = &self.access.client {
            command.arg("--id").arg(client);
        }
        command
            .args(words)
            // It tells times in the zone of its environment, without naming it.
            .env("TZ", "UTC0")
            .envs(GIVES_BACK)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs to the end; `None` when the image is not there.
    async fn run(&self, words: &[&str]) -> Result<Option<Vec<u8>>, CloudError> {
        let what = words.join(" ");
        let output = tokio::select! {
            output = self.command(words).output() => output.map_err(|error| cannot_start(&error))?,
            () = self.monitor.token().cancelled() => return Err(CloudError::Aborted),
        };
        match output.status.code() {
            Some(0) => Ok(Some(output.stdout)),
            Some(NOT_THERE) => Ok(None),
            code => Err(failed(&what, code, &String::from_utf8_lossy(&output.stderr))),
        }
    }

    async fn must(&self, words: &[&str]) -> Result<(), CloudError> {
        match self.run(words).await? {
            Some(_) => Ok(()),
            None => Err(failed(&words.join(" "), Some(NOT_THERE), "no such pool, image or snapshot")),
        }
    }

    pub async fn facts(&self, image: &RbdImage) -> Result<Option<RbdFacts>, CloudError> {
        let Some(text) = self.run(&["info", "--format", "json", &image.to_string()]).await? else {
            return Ok(None);
        };
        let document: Value = serde_json::from_slice(&text).unwrap_or_default();
        let id = document.get("id").or_else(|| document.get("block_name_prefix")).and_then(Value::as_str);
        let size = document.get("size").and_then(Value::as_u64);
        let object_bytes = document.get("object_size").and_then(Value::as_u64);
        let object_bytes = object_bytes.filter(|bytes| *bytes > 0).unwrap_or(USUAL_OBJECT_BYTES);
        let made = document.get("create_timestamp").and_then(Value::as_str);
        let made = made.and_then(|text| NaiveDateTime::parse_from_str(text, "%a %b %e %H:%M:%S %Y").ok());
        let made_at_secs = made.map(|made| made.and_utc().timestamp());
        let has = |list: &str, name: &str| {
            let rows = document.get(list).and_then(Value::as_array);
            rows.is_some_and(|rows| rows.iter().any(|row| row.as_str() == Some(name)))
        };
        let has_fast_diff = has("features", "fast-diff") && !has("flags", "fast diff invalid");
        match (id, size) {
            (Some(id), Some(size_bytes)) => Ok(Some(RbdFacts {
                id: id.to_owned(),
                size_bytes,
                object_bytes,
                made_at_secs,
                has_fast_diff,
            })),
            _ => Err(failed("info", None, "its answer names no id and size")),
        }
    }

    /// Names of all images of a pool; none when there is no such pool.
    pub async fn images(&self, pool: &str) -> Result<Vec<String>, CloudError> {
        let text = self.run(&["ls", "--format", "json", pool]).await?.unwrap_or_default();
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }

    pub async fn snapshots(&self, image: &RbdImage) -> Result<Vec<String>, CloudError> {
        let text =
            self.run(&["snap", "ls", "--format", "json", &image.to_string()]).await?.unwrap_or_default();
        let rows: Vec<Value> = serde_json::from_slice(&text).unwrap_or_default();
        Ok(rows.iter().filter_map(|row| row.get("name")?.as_str().map(str::to_owned)).collect())
    }

    /// Whether there is a snapshot that the image can be set back to, of any kind, whose name does not begin so.
    pub async fn has_other_snapshots(&self, image: &RbdImage, beginning: &str) -> Result<bool, CloudError> {
        let told = self.run(&["snap", "ls", "--all", "--format", "json", &image.to_string()]).await?;
        Ok(names_others(&told.unwrap_or_default(), beginning))
    }

    pub async fn create_snapshot(&self, image: &RbdImage, name: &str) -> Result<(), CloudError> {
        self.must(&["snap", "create", "--no-progress", &format!("{image}@{name}")]).await
    }

    /// One that is gone is no error.
    pub async fn remove_snapshot(&self, image: &RbdImage, name: &str) -> Result<(), CloudError> {
        self.run(&["snap", "rm", "--no-progress", &format!("{image}@{name}")]).await.map(|_| ())
    }

    pub async fn create(&self, image: &RbdImage, size_bytes: u64) -> Result<(), CloudError> {
        let size = format!("{size_bytes}B");
        self.must(&["create", "--size", &size, &image.to_string()]).await
    }

    pub async fn resize(&self, image: &RbdImage, size_bytes: u64) -> Result<(), CloudError> {
        let size = format!("{size_bytes}B");
        self.must(&["resize", "--no-progress", "--allow-shrink", "--size", &size, &image.to_string()]).await
    }

    /// Within one pool. An image that has the name already is an error.
    pub async fn rename(&self, image: &RbdImage, to: &RbdImage) -> Result<(), CloudError> {
        self.must(&["rename", &image.to_string(), &to.to_string()]).await
    }

    pub async fn remove(&self, image: &RbdImage) -> Result<(), CloudError> {
        self.run(&["rm", "--no-progress", &image.to_string()]).await.map(|_| ())
    }

    /// All of a snapshot that is not zero, as an `rbd diff v1` stream.
    pub fn export_full(&self, image: &RbdImage, snapshot: &str) -> Result<Box<dyn Read + Send>, CloudError> {
        self.export(&["export-diff", "--no-progress", &format!("{image}@{snapshot}"), "-"])
    }

    /// What changed from one snapshot to another: to the byte, or the objects by the cluster's map when that is quicker.
    /// `is_map_sound`: the image was not set back to an older snapshot since.
    pub async fn export_changes(
        &self,
        (image, facts): (&RbdImage, &RbdFacts),
        (from, to): (&str, &str),
        is_map_sound: bool,
    ) -> Result<ImageInput, CloudError> {
        let source = format!("{image}@{to}");
        let mut words = vec!["export-diff", "--no-progress", "--from-snap", from];
        // Only then does `rbd` go by the map. It reads whole objects, of which the vault keeps what differs.
        let by_map = is_map_sound && self.is_map_quicker(facts, from, &source).await?;
        if by_map {
            words.push("--whole-object");
        }
        words.extend([source.as_str(), "-"]);
        let stream = self.export(&words)?;
        Ok(if by_map { ImageInput::Objects { stream } } else { ImageInput::Changes { stream } })
    }

    /// Whether the map of a large image names so few objects as changed that they are read sooner than all are asked for.
    async fn is_map_quicker(&self, facts: &RbdFacts, from: &str, source: &str) -> Result<bool, CloudError> {
        if self.access.without_fast_diff || !facts.has_fast_diff || facts.size_bytes < LARGE_BYTES {
            return Ok(false);
        }
        // Who writes the images is as a rule of the same release as this host's programs.
        let version = self.run(&["--version"]).await?.unwrap_or_default();
        if !keeps_whole_maps(&String::from_utf8_lossy(&version)) {
            tracing::warn!(
                "{source}: the map of changed objects is not used: {}",
                String::from_utf8_lossy(&version).trim()
            );
            return Ok(false);
        }
        match self.run(&["du", "--format", "json", "--from-snap", from, source]).await {
            Ok(told) => {
                let most = facts.size_bytes.div_ceil(facts.object_bytes).saturating_mul(BYTES_PER_ASKED);
                Ok(written_bytes(&told.unwrap_or_default()).is_some_and(|written| written <= most))
            }
            Err(CloudError::Aborted) => Err(CloudError::Aborted),
            Err(error) => {
                tracing::debug!("what has changed in {source} is listed object by object: {error}");
                Ok(false)
            }
        }
    }

    /// All bytes of a snapshot, in order.
    pub fn export_whole(&self, image: &RbdImage, snapshot: &str) -> Result<Box<dyn Read + Send>, CloudError> {
        self.export(&["export", "--no-progress", &format!("{image}@{snapshot}"), "-"])
    }

    fn export(&self, words: &[&str]) -> Result<Box<dyn Read + Send>, CloudError> {
        let child = self.command(words).spawn().map_err(|error| cannot_start(&error))?;
        Ok(pipe::reader(output_of(child, words.join(" "), self.monitor.clone())))
    }

    /// Applies an `rbd diff v1` stream to an image. A stream that fails ends the program, and the image can be removed.
    pub async fn import_diff<S>(&self, image: &RbdImage, stream: S) -> Result<(), CloudError>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send,
    {
        let name = image.to_string();
        let words = ["import-diff", "--no-progress", "-", name.as_str()];
        let mut child =
            self.command(&words).stdin(Stdio::piped()).spawn().map_err(|error| cannot_start(&error))?;
        let mut stdin = child.stdin.take();
        let mut stderr = child.stderr.take();
        let feed = async {
            let mut stream = std::pin::pin!(stream);
            while let Some(piece) = stream.next().await {
                let piece = piece.map_err(|error| failed("import-diff", None, &error.to_string()))?;
                let Some(pipe) = stdin.as_mut() else { break };
                if pipe.write_all(&piece).await.is_err() {
                    // It ended, and says why.
                    break;
                }
            }
            drop(stdin.take());
            let (said, status) = tokio::join!(tail(stderr.take()), child.wait());
            match status.ok().and_then(|status| status.code()) {
                Some(0) => Ok(()),
                code => Err(failed("import-diff", code, &said)),
            }
        };
        let done: Result<(), CloudError> = tokio::select! {
            done = feed => done,
            () = self.monitor.token().cancelled() => Err(CloudError::Aborted),
        };
        if done.is_err() {
            // Killed, it would hold its image for half a minute more, so that nobody could remove that. At the end of its input it
            // lets go by itself.
            drop(stdin.take());
            let closing = async { tokio::join!(tail(stderr.take()), child.wait()) };
            let _ = tokio::time::timeout(CLOSING, closing).await;
        }
        done
    }
}

/// Whether clients of this release (`ceph version 16.2.15 (…) pacific (stable)`) keep maps that lack nothing. From 16 on they could
/// miss what is written in the moment of a snapshot, until 16.2.14 and 17.2.7 (Ceph's issue 61616).
fn keeps_whole_maps(version: &str) -> bool {
    let Some(numbers) = version.split_whitespace().nth(2) else { return false };
    let mut numbers = numbers.split(['.', '-', '+']).map_while(|number| number.parse::<u32>().ok());
    let Some(major) = numbers.next() else { return false };
    let minor = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    match major {
        16 => minor >= (2, 14),
        17 => minor >= (2, 7),
        _ => true,
    }
}

/// A stream of the standard output of a child; its failure is the stream's.
fn output_of(
    child: Child,
    what: String,
    monitor: Arc<Monitor>,
) -> BoxStream<'static, Result<Bytes, CloudError>> {
    let step = |(mut child, what, monitor): (Child, String, Arc<Monitor>)| async move {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let count = match child.stdout.as_mut() {
            Some(stdout) => tokio::select! {
                count = stdout.read_buf(&mut piece) => count.unwrap_or_default(),
                () = monitor.token().cancelled() => return Err(CloudError::Aborted),
            },
            None => 0,
        };
        if count > 0 {
            return Ok(Some((piece.freeze(), (child, what, monitor))));
        }
        let stderr = child.stderr.take();
        let (said, status) = tokio::join!(tail(stderr), child.wait());
        match status.ok().and_then(|status| status.code()) {
            Some(0) => Ok(None),
            code => Err(failed(&what, code, &said)),
        }
    };
    futures_util::stream::try_unfold((child, what, monitor), step).boxed()
}

async fn tail(stderr: Option<ChildStderr>) -> String {
    let mut text = Vec::new();
    if let Some(stderr) = stderr {
        let _ = stderr.take(STDERR_KEPT_BYTES).read_to_end(&mut text).await;
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn cannot_start(error: &std::io::Error) -> CloudError {
    CloudError::Choice {
        what: "the program rbd".to_owned(),
        cause: format!(
            "cannot be started ({error}); install ceph-common, or leave [ceph] out of the configuration"
        ),
    }
}

fn failed(what: &str, code: Option<i32>, said: &str) -> CloudError {
    let said = said.trim().lines().last().unwrap_or_default().to_owned();
    let status =
        code.map_or_else(|| "was killed or broke off".to_owned(), |code| format!("ended with status {code}"));
    CloudError::Choice { what: format!("rbd {what}"), cause: format!("{status}: {said}") }
}

/// Bytes of the objects that were written to, as `rbd du` tells it of one snapshot after another.
fn written_bytes(told: &[u8]) -> Option<u64> {
    let document: Value = serde_json::from_slice(told).ok()?;
    let rows = document.get("images")?.as_array().filter(|rows| !rows.is_empty())?;
    rows.iter().map(|row| row.get("used_size").and_then(Value::as_u64)).sum()
}

/// Whether `rbd snap ls --all` tells of a snapshot whose name does not begin so. What was removed, and is kept for its clones
/// alone, is nothing to set back to.
fn names_others(told: &[u8], beginning: &str) -> bool {
    let Ok(rows) = serde_json::from_slice::<Vec<Value>>(told) else { return true };
    rows.iter().any(|row| {
        let name = row.get("name").and_then(Value::as_str).unwrap_or_default();
        let kind = row.pointer("/namespace/type").and_then(Value::as_str);
        kind != Some("trash") && !name.starts_with(beginning)
    })
}

/// A diff that makes all of an image zeros.
pub fn zeros_diff(size_bytes: u64) -> Vec<u8> {
    let mut diff = b"rbd diff v1\n".to_vec();
    let mut put = |letter: u8, numbers: &[u64]| {
        diff.push(letter);
        numbers.iter().for_each(|number| diff.extend_from_slice(&number.to_le_bytes()));
    };
    put(b's', &[size_bytes]);
    put(b'z', &[0, size_bytes]);
    put(b'e', &[]);
    diff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_told_of_all_snapshots_counts() {
        let told = |rows: &str| written_bytes(format!(r#"{{"images": [{rows}]}}"#).as_bytes());
        assert_eq!(told(r#"{"snapshot": "b", "used_size": 0}"#), Some(0));
        assert_eq!(told(r#"{"used_size": 0}, {"used_size": 4194304}"#), Some(4_194_304));
        assert_eq!(told(r#"{"used_size": 0}, {"snapshot": "b"}"#), None);
        assert_eq!(told(""), None);
        assert_eq!(written_bytes(b"warning"), None);
    }

    #[test]
    fn snapshots_of_others_are_seen_whatever_their_kind() {
        let others = |rows: &str| names_others(rows.as_bytes(), "backup.1.snap.freezer-");
        let own = r#"{"name": "backup.1.snap.freezer-5-1", "namespace": {"type": "user"}}"#;
        let removed = r#"{"name": "0a1b", "namespace": {"type": "trash", "original_name": "mine"}}"#;
        assert!(!others("[]") && !others(&format!("[{own}, {removed}]")));
        for other in [
            r#"{"name": "mine"}"#,
            r#"{"name": "backup.2.snap.freezer-5-1", "namespace": {"type": "user"}}"#,
            r#"{"name": ".group.3_1", "namespace": {"type": "group"}}"#,
            "{}",
        ] {
            assert!(others(&format!("[{own}, {other}]")), "{other}");
        }
        assert!(others("") && others("warning"));
    }

    #[test]
    fn releases_whose_maps_may_lack_something_are_known() {
        let said = |number: &str| keeps_whole_maps(&format!("ceph version {number} (618f44) name (stable)"));
        for sound in ["15.2.17", "16.2.14", "16.2.15", "16.3.0", "17.2.7", "17.2.9", "18.2.0", "19.2.1-3"] {
            assert!(said(sound), "{sound}");
        }
        for unsound in ["16.2.13", "16.0.0", "16.2", "17.2.6", "17.2.6-100-gabc", ""] {
            assert!(!said(unsound), "{unsound}");
        }
        assert!(!keeps_whole_maps("") && !keeps_whole_maps("rbd: not found"));
    }
}
