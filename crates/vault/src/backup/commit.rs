//! Making a backup visible: small objects in a fixed order, the manifest last.

use super::index::{attachment, pack};
use super::run::Plan;
use super::upload::place_pieces;
use super::{BackupRequest, stages::HashedPiece};
use crate::VaultError;
use crate::encryption::{EncryptionOptions, MacKey};
use crate::layout::{ENGINE, ENGINE_METADATA, INDEX, MANIFEST};
use crate::manifest::{
    Attachment, CIPHER, EncryptionRecord, MANIFEST_VERSION, Manifest, Metadata, MetadataKind, ProblemSummary,
    Totals, seal,
};
use crate::problem::FileProblem;
use crate::tar::Written;
use bytes::Bytes;
use freezer_storage::{LargeWriter, Store};
use std::sync::Arc;

/// So many problems are kept in the manifest.
const MOST_PROBLEMS: usize = 1000;

/// The payload was sent: what the threads answered.
pub(super) struct Transferred {
    pub written: Written,
    pub pieces: Vec<HashedPiece>,
    pub writer: Box<dyn LargeWriter>,
}

/// Problems in their stored form, and how many there are.
pub(super) fn summarise(written: &Written) -> ProblemSummary {
    let listed = written.problems.len() as u64;
    ProblemSummary {
        count: listed.saturating_add(written.unlisted_problems),
        first: written.problems.iter().take(MOST_PROBLEMS).map(FileProblem::from).collect(),
    }
}

/// Writes everything after the payload's last byte. The caller removes what is there when this fails.
pub(super) async fn commit(
    store: &Arc<dyn Store>,
    request: &BackupRequest,
    plan: &Plan,
    transferred: Transferred,
) -> Result<(), VaultError> {
    let Transferred { written, pieces, writer } = transferred;
    let (hbn, id) = (&plan.hbn, &plan.id);
    let segments = writer.finish().await?;
    let pieces = place_pieces(hbn, id, pieces, &segments)?;
    let (snapshot, index, written) = small_objects(written, request.encryption.clone()).await?;
    let metadata = Metadata {
        kind: MetadataKind::Ours,
        compression: Some(request.compression.format),
        encrypted: request.encryption.is_some(),
    }
    .to_body();
    let key = plan.mac.as_ref().map(|mac| &mac.key);
    let attachments = Attachments {
        engine_metadata: attachment(&snapshot, key)?,
        index: attachment(&index, key)?,
        metadata: attachment(&metadata, key)?,
    };
    let manifest = manifest_of(request, plan, pieces, attachments, &written);
    let (body, _) = seal(&manifest, key)?;

    store.put(&id.object(hbn, ENGINE_METADATA)?, snapshot).await?;
    store.put(&id.object(hbn, INDEX)?, index).await?;
    store.put(&id.metadata(hbn)?, metadata).await?;
    plan.lock_still_held().await?;
    store.put(&id.object(hbn, MANIFEST)?, body).await?;
    Ok(())
}

struct Attachments {
    engine_metadata: Attachment,
    index: Attachment,
    metadata: Attachment,
}

/// Snapshot file and index take a while for large trees.
async fn small_objects(
    written: Written,
    encryption: Option<EncryptionOptions>,
) -> Result<(Bytes, Bytes, Written), VaultError> {
    let work = move || -> Result<_, VaultError> {
        let snapshot = Bytes::from(written.index.to_snar());
        let index = pack(&written.index, encryption.as_ref())?;
        Ok((snapshot, index, written))
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| VaultError::Internal { what: "writing the index", cause: error.to_string() })?
}

fn manifest_of(
    request: &BackupRequest,
    plan: &Plan,
    pieces: Vec<crate::manifest::Piece>,
    attachments: Attachments,
    written: &Written,
) -> Manifest {
    let stored_bytes = pieces.iter().map(|piece| piece.size_bytes).sum();
    let encryption =
        request.encryption.as_ref().zip(plan.mac.as_ref()).map(|(options, mac)| EncryptionRecord {
            cipher: CIPHER.into(),
            derivation: options.derivation,
            mac: mac.parameters.clone(),
        });
    Manifest {
        version: MANIFEST_VERSION,
        tool: concat!("freezer ", env!("CARGO_PKG_VERSION")).into(),
        engine: ENGINE.into(),
        hbn: plan.hbn.to_string(),
        level: plan.id.level,
        timestamp: plan.id.timestamp,
        chain_timestamp: plan.id.chain_timestamp,
        parent: plan.parent.clone(),
        compression: request.compression.format,
        encryption,
        segment_size_bytes: request.max_segment_size_bytes,
        pieces,
        engine_metadata: attachments.engine_metadata,
        index: attachments.index,
        metadata: attachments.metadata,
        totals: Totals {
            files: written.members,
            read_bytes: written.content_bytes,
            tar_bytes: written.archive_bytes,
            stored_bytes,
        },
        problems: summarise(written),
    }
}

/// A new authentication key and how it was made.
#[derive(Clone, Debug)]
pub(super) struct NewMac {
    pub key: MacKey,
    pub parameters: crate::encryption::MacParameters,
}
