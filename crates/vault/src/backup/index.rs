//! The stored form of what an engine compares with: zstd, and encrypted like the payload.

use super::work::{StoredIndex, Work};
use crate::VaultError;
use crate::catalogue::{Level, read_whole};
use crate::codecs::{Compression, decompress_all, zstd_of};
use crate::encryption::{Beside, EncryptionOptions, MacKey, PassPhrase, Scheme, open_all, seal_all};
use crate::layout::{ENGINE_METADATA, Hbn, INDEX};
use crate::manifest::{Attachment, Manifest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use freezer_model::clock::time_text;
use freezer_storage::Store;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::Mutex;

/// An index or snapshot file longer than this is taken for damage.
const MOST_INDEX_BYTES: u64 = 16 << 30;

/// Held while an index that is an object of its own is read: it is in memory twice then, packed and clear, and several images may be
/// saved at the same time.
static READING: Mutex<()> = Mutex::const_new(());

/// A longer index or table of contents is an object of its own: manifests are read in great numbers.
const MOST_BYTES_WITHIN: usize = 16 << 10;

/// Hashes of a small object.
pub(crate) fn attachment(body: &[u8], key: Option<&MacKey>) -> Result<Attachment, VaultError> {
    Ok(Attachment {
        size_bytes: body.len() as u64,
        sha256: hex::encode(Sha256::digest(body)),
        hmac: key.map(|key| key.code_of(body)).transpose()?,
    })
}

/// What is wrong with `body`, if anything.
pub(crate) fn attachment_fault(
    body: Option<&[u8]>,
    expected: &Attachment,
    key: Option<&MacKey>,
) -> Result<Option<String>, VaultError> {
    let Some(body) = body else { return Ok(Some("it is missing".into())) };
    let found = body.len() as u64;
    if found != expected.size_bytes {
        return Ok(Some(format!("it has {found} bytes instead of {}", expected.size_bytes)));
    }
    if hex::encode(Sha256::digest(body)) != expected.sha256 {
        return Ok(Some("its content does not fit its SHA-256".into()));
    }
    if let (Some(key), Some(code)) = (key, &expected.hmac)
        && !key.matches(body, code)?
    {
        return Ok(Some("its content does not fit its authentication code".into()));
    }
    Ok(None)
}

/// The object to store, of what `write` writes.
pub(super) fn pack(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    encryption: Option<&EncryptionOptions>,
) -> Result<Bytes, VaultError> {
    seal_packed(zstd_of(write)?, encryption)
}

/// The same of what is compressed already.
pub(super) fn seal_packed(
    packed: Vec<u8>,
    encryption: Option<&EncryptionOptions>,
) -> Result<Bytes, VaultError> {
    let Some(options) = encryption else { return Ok(Bytes::from(packed)) };
    Ok(Bytes::from(seal_all(packed, options)?))
}

/// The clear form of what [`pack`] made. Its hashes must have been checked.
pub(crate) fn unpack(
    body: Vec<u8>,
    manifest: &Manifest,
    secret: (Option<&PassPhrase>, Option<&MacKey>),
) -> Result<Vec<u8>, VaultError> {
    decompress_all(Compression::Zstd, decrypt(body, manifest, secret)?, MOST_INDEX_BYTES)
}

/// Still compressed. Without the authentication key slow where it is needed.
pub(crate) fn decrypt(
    body: Vec<u8>,
    manifest: &Manifest,
    (pass, key): (Option<&PassPhrase>, Option<&MacKey>),
) -> Result<Vec<u8>, VaultError> {
    let Some(record) = &manifest.encryption else { return Ok(body) };
    let pass = pass.ok_or_else(|| VaultError::PassPhraseMissing { backup: manifest.hbn.clone() })?;
    let backup =
        || format!("{}, level {} of {}", manifest.hbn, manifest.level, time_text(manifest.timestamp));
    let opened = match record.beside {
        None => open_all(body, record.scheme(), pass),
        Some(Beside::MacKey) => {
            let scheme = Scheme { derivation: Beside::DERIVATION, ..record.scheme() };
            let own = match key {
                Some(key) => key.pass_phrase_beside()?,
                None => MacKey::derive(pass, &record.mac)?.pass_phrase_beside()?,
            };
            open_all(body, scheme, &own)
        }
    };
    opened.map_err(|cause| VaultError::Unreadable { backup: backup(), cause })
}

/// The index as the manifest holds it, when it does. What cannot be read is empty, and does not fit its hash.
pub(crate) fn index_within(manifest: &Manifest) -> Option<Vec<u8>> {
    within(manifest.index_body.as_deref())
}

/// The same of the table of contents.
pub(crate) fn contents_within(manifest: &Manifest) -> Option<Vec<u8>> {
    within(manifest.contents_body.as_deref())
}

fn within(text: Option<&str>) -> Option<Vec<u8>> {
    text.map(|text| STANDARD.decode(text).unwrap_or_default())
}

/// The form in which what is short is kept in the manifest; `None`: it is an object of its own.
pub(super) fn text_within(packed: &[u8]) -> Option<String> {
    (packed.len() <= MOST_BYTES_WITHIN).then(|| STANDARD.encode(packed))
}

/// Reads what the next level compares with: our index, or upstream's engine metadata.
/// `Ok(Err(cause))`: it is missing or damaged, and a new chain must start.
pub(super) async fn load<W: Work>(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &Level,
    key: Option<MacKey>,
    pass: Option<PassPhrase>,
) -> Result<Result<W::Index, String>, VaultError> {
    let level = &level.whole(store, hbn).await?;
    let part = if level.manifest().is_some() { INDEX } else { ENGINE_METADATA };
    let name = level.id.object(hbn, part)?;
    let (body, turn) = match level.manifest().and_then(index_within) {
        Some(body) => (Some(body), None),
        None => {
            let turn = READING.lock().await;
            (read_whole(store, &name, MOST_INDEX_BYTES).await?, Some(turn))
        }
    };
    let Some(body) = body else { return Ok(Err(format!("{name} is missing"))) };
    let sealed = level.sealed.clone();
    let parse = move || {
        // To the end, also when nobody waits for it any more.
        let _turn = turn;
        match &sealed {
            None => W::read_index(StoredIndex::Upstream(body)),
            Some(sealed) => {
                let fault = attachment_fault(Some(&body), &sealed.manifest.index, key.as_ref());
                match fault.map_err(|error| error.to_string())? {
                    Some(fault) => Err(fault),
                    None => {
                        let clear = unpack(body, &sealed.manifest, (pass.as_ref(), key.as_ref()));
                        W::read_index(StoredIndex::Ours(clear.map_err(|error| error.to_string())?))
                    }
                }
            }
        }
    };
    let parsed = tokio::task::spawn_blocking(parse)
        .await
        .map_err(|error| VaultError::Internal { what: "reading the index", cause: error.to_string() })?;
    Ok(parsed.map_err(|cause| format!("{name} cannot be used: {cause}")))
}
