//! The first bytes of a payload, which tell of one of upstream's backups what its metadata do not.

use crate::VaultError;
use crate::catalogue::Level;
use crate::encryption::{HEADER_BYTES, SALTED_MAGIC};
use crate::layout::{DATA, Hbn};
use freezer_storage::{ObjectName, Store, StoreError};
use futures_util::TryStreamExt;
use std::sync::Arc;

/// Enough to see the magic of bare tar.
const HEAD_BYTES: usize = HEADER_BYTES + 512;

/// How a payload of upstream's begins.
pub(crate) enum Head {
    Clear(Vec<u8>),
    /// The header of `openssl enc`, and what follows it.
    Encrypted {
        header: [u8; HEADER_BYTES],
        body: Vec<u8>,
    },
}

/// How the payload of a level of upstream's begins. One that is not encrypted although its metadata say so is an error.
pub(crate) async fn upstream_head(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &Level,
) -> Result<Head, VaultError> {
    let name = level.id.object(hbn, DATA)?;
    let head = read_head(store, &name).await?;
    match head.split_first_chunk::<HEADER_BYTES>() {
        Some((header, body)) if header.starts_with(SALTED_MAGIC) => {
            Ok(Head::Encrypted { header: *header, body: body.to_vec() })
        }
        _ if level.is_encrypted() => {
            let cause =
                format!("{name} has no encryption header although its metadata says that it is encrypted");
            Err(VaultError::Unreadable { backup: format!("{hbn}, {}", level.id), cause })
        }
        _ => Ok(Head::Clear(head)),
    }
}

/// The first bytes of an object, all of them if there are fewer than a head has.
pub(crate) async fn read_head(store: &Arc<dyn Store>, name: &ObjectName) -> Result<Vec<u8>, StoreError> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let mut stream = store.get(name, Some(0..HEAD_BYTES as u64)).await?;
    // Up to the stream's end, with which a store gets its connection back.
    while let Some(bytes) = stream.try_next().await? {
        head.extend_from_slice(&bytes);
    }
    Ok(head)
}
