//! The `metadata` object: upstream's commit marker, one line of JSON.
//!
//! Ours carries one key more, which says that a manifest must exist beside the data; a backup with that
//! key and without manifest is not complete. Upstream ignores keys it does not know.

use super::USUAL_VERSION;
use crate::codecs::Compression;
use crate::layout::Engine;
use bytes::Bytes;
use serde_json::{Map, Value, json};

const MANIFEST_KEY: &str = "freezer_manifest";

/// What a metadata object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub kind: MetadataKind,
    /// `None` when it does not say, or says something unknown.
    pub compression: Option<Compression>,
    pub encrypted: bool,
    /// Of upstream's engine rsyncv2, which calls itself `rsync` like its predecessor and is told by this alone.
    pub rsync_block_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataKind {
    /// A manifest must exist.
    Ours,
    Upstream,
}

impl Metadata {
    /// As upstream writes it, and our key.
    pub fn to_body(&self, engine: Engine) -> Bytes {
        let mut map = Map::new();
        map.insert("engine_name".into(), json!(engine.name()));
        map.insert("compression".into(), json!(self.compression.unwrap_or_default().name()));
        map.insert("encryption".into(), json!(self.encrypted));
        if self.kind == MetadataKind::Ours {
            map.insert(MANIFEST_KEY.into(), json!(USUAL_VERSION));
        }
        Bytes::from(Value::Object(map).to_string())
    }

    /// Reads one of `engine`'s; errors are causes for people.
    pub fn parse(engine: Engine, body: &[u8]) -> Result<Self, String> {
        let map: Map<String, Value> =
            serde_json::from_slice(body).map_err(|error| format!("it is no JSON object: {error}"))?;
        let named = map.get("engine_name").and_then(Value::as_str);
        if let Some(other) = named.filter(|name| *name != engine.name()) {
            return Err(format!("it belongs to the engine '{other}'"));
        }
        let encrypted = match map.get("encryption") {
            // Upstream never encrypts images, whatever it says.
            _ if engine.is_of_raw_images() => false,
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::String(text)) => !text.is_empty() && text != "False",
            Some(_) => true,
        };
        let compression = map.get("compression").and_then(Value::as_str).and_then(|name| name.parse().ok());
        let kind = if map.contains_key(MANIFEST_KEY) { MetadataKind::Ours } else { MetadataKind::Upstream };
        let rsync_block_bytes = map.get("rsync_block_size").and_then(Value::as_u64);
        Ok(Self { kind, compression, encrypted, rsync_block_bytes })
    }
}
