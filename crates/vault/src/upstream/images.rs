//! Disk images that upstream's engines `nova` and `glance` and its mode `cinder` saved: bytes as Glance gave them, neither
//! compressed nor encrypted.
//!
//! How many there are says `engine_metadata`; what follows them (upstream appended an archive to encrypted ones) means nothing.
//! A restore makes one file of them, by way of a tar stream like any other restore.

use crate::VaultError;
use crate::catalogue::{Level, read_whole};
use crate::error::Place;
use crate::layout::{DATA, ENGINE_METADATA, Engine, Hbn};
use crate::restore::read_head;
use crate::tar::{Kind, PlainMember, Stamp, append_plain};
use freezer_storage::Store;
use serde_json::Value;
use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// Longer than any description.
const MOST_FACTS_BYTES: u64 = 16 << 20;
const BLOCK_BYTES: usize = 256 * 1024;
/// Longer ones are no formats, and would make names that no file can have.
const MOST_FORMAT_BYTES: usize = 16;
const QCOW2_MAGIC: &[u8] = b"QFI\xfb";
/// Where the number of bytes is: with the engines, and with mode `cinder`, in the words of Swift's headers.
const LENGTHS: [&str; 2] = ["length", "x-object-meta-length"];

/// One image.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    object: String,
    member: PlainMember,
    /// Its length was recorded: one that lost its end shows.
    pub(crate) is_measured: bool,
}

/// Finds out how long the image is, and what its file is to be called: `<id>.<format>`.
pub(crate) async fn describe(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &Level,
) -> Result<Picture, VaultError> {
    let (name, object) = (level.id.object(hbn, ENGINE_METADATA)?, level.id.object(hbn, DATA)?);
    let unreadable = |cause: String| VaultError::Unreadable { backup: format!("{hbn}, {}", level.id), cause };
    let facts = match read_whole(store, &name, MOST_FACTS_BYTES).await? {
        Some(body) => {
            serde_json::from_slice(&body).map_err(|error| unreadable(format!("{name}: {error}")))?
        }
        None => Value::Null,
    };
    let length = LENGTHS.iter().find_map(|key| facts.get(*key));
    let size = match length {
        Some(Value::String(text)) => text.parse().ok(),
        Some(number) => number.as_u64(),
        None => store.head(&object).await?.map(|info| info.size_bytes),
    };
    let size = size.ok_or_else(|| unreadable(format!("{name} does not say how long the image is")))?;
    let is_format = |text: &str| {
        (1..=MOST_FORMAT_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let format = match ["disk_format", "image_disk_format"].iter().find_map(|key| facts.get(*key)?.as_str()) {
        Some(format) if is_format(format) => format.to_owned(),
        // A volume is raw. What it begins with is up to whoever wrote to it: under the name of another format it would be
        // taken for a list of files to read.
        _ if hbn.engine() == Engine::Cinder => "raw".to_owned(),
        _ if read_head(store, &object).await?.starts_with(QCOW2_MAGIC) => "qcow2".to_owned(),
        _ => "raw".to_owned(),
    };
    let id = hbn.as_str().rsplit('/').next().unwrap_or_default();
    let member = PlainMember {
        path: format!("{id}.{format}").into_bytes(),
        link: Vec::new(),
        kind: Kind::File,
        mode: 0o600,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        user: Vec::new(),
        group: Vec::new(),
        size,
        mtime: Stamp { secs: level.id.timestamp, nanos: 0 },
    };
    Ok(Picture { object: object.to_string(), member, is_measured: length.is_some() })
}

/// Sends the image as an archive of one file. Blocking.
pub(crate) fn as_archive(
    picture: &Picture,
    mut stored: Box<dyn Read + Send>,
    level: u32,
    blocks: &SyncSender<Option<Vec<u8>>>,
) -> Result<(), VaultError> {
    let mut head = Vec::new();
    append_plain(&mut head, &picture.member);
    // When the extracting thread has gone, it says why itself.
    let mut is_heard = blocks.send(Some(head)).is_ok();
    let mut done = 0;
    while is_heard && done < picture.member.size {
        let part = (picture.member.size - done).min(BLOCK_BYTES as u64);
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        let damaged = |cause: String| {
            let place = Place { object: picture.object.clone(), level, offset_bytes: done };
            VaultError::Damaged { place, cause }
        };
        let read = (&mut stored).take(part).read_to_end(&mut block);
        if read.map_err(|error| damaged(error.to_string()))? == 0 {
            return Err(damaged(format!(
                "the image should have {} bytes and ends here",
                picture.member.size
            )));
        }
        done += block.len() as u64;
        is_heard = blocks.send(Some(block)).is_ok();
    }
    if is_heard {
        let _ = blocks.send(Some(vec![0; picture.member.padding() + 1024]));
        let _ = blocks.send(None);
    }
    Ok(())
}
