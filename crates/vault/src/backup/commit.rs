//! Making a backup visible: small objects in a fixed order, the manifest last.

use super::index::{attachment, pack, seal_packed, text_within};
use super::members::{Member, Members};
use super::run::Plan;
use super::stages::{HashedPiece, Sealed};
use super::upload::place_pieces;
use super::work::{Made, Outcome, Settings};
use crate::VaultError;
use crate::catalogue::mark;
use crate::encryption::{Beside, EncryptionOptions, MacKey};
use crate::layout::{CONTENTS, ENGINE_METADATA, INDEX, MANIFEST};
use crate::manifest::{
    Attachment, EncryptionRecord, Manifest, Metadata, MetadataKind, SourceRecord, Totals, seal,
};
use bytes::Bytes;
use freezer_storage::ObjectName;
use futures_util::future::join_all;

/// Everything there is to write when the payload is sent; the same for all storages.
pub(super) struct Ready {
    outcome: Outcome,
    pieces: Vec<HashedPiece>,
    engine_metadata: Bytes,
    index: Bytes,
    contents: Option<Bytes>,
    metadata: Bytes,
    attachments: Attachments,
    source: Option<SourceRecord>,
}

#[derive(Clone)]
struct Attachments {
    engine_metadata: Attachment,
    index: Attachment,
    contents: Option<Attachment>,
    metadata: Attachment,
}

/// Makes the small objects.
pub(super) async fn prepare(
    request: &Settings,
    plan: &Plan,
    (mut outcome, sealed): (Outcome, Sealed),
    packs_metadata: bool,
) -> Result<Ready, VaultError> {
    // A payload that is read in one go has no stretches, and needs no table of contents.
    let contents = outcome.members_list.take().zip(sealed.stretches);
    let beside = match (&plan.encryption, &plan.mac) {
        (Some(options), Some(mac)) => Some(options.beside(&mac.key)?),
        (None, _) => None,
        (Some(_), None) => {
            let cause = "there is no authentication key".to_owned();
            return Err(VaultError::Internal { what: "encryption", cause });
        }
    };
    let (SmallObjects { engine_metadata, index, contents }, outcome) =
        small_objects(outcome, contents, beside, packs_metadata).await?;
    let metadata = Metadata {
        kind: MetadataKind::Ours,
        compression: Some(request.compression.format),
        encrypted: request.encryption.is_some(),
        rsync_block_bytes: None,
    }
    .to_body(request.engine());
    let key = plan.mac.as_ref().map(|mac| &mac.key);
    let attachments = Attachments {
        engine_metadata: attachment(&engine_metadata, key)?,
        index: attachment(&index, key)?,
        contents: contents.as_deref().map(|contents| attachment(contents, key)).transpose()?,
        metadata: attachment(&metadata, key)?,
    };
    let source = request.source.as_ref().map(|source| mark(plan.hbn.as_str(), source, key)).transpose()?;
    let source = source.map(|source| SourceRecord { succeeds: plan.succeeds.clone(), ..source });
    let pieces = sealed.pieces;
    Ok(Ready { outcome, pieces, engine_metadata, index, contents, metadata, attachments, source })
}

/// Writes everything after the payload's last byte to each storage. One where this fails is left out.
pub(super) async fn commit_all(
    members: &mut Members,
    request: &Settings,
    plan: &Plan,
    ready: &Ready,
) -> Result<(), VaultError> {
    join_all(members.sound_mut().map(|member| commit_or_leave(member, request, plan, ready))).await;
    members.any_left()
}

async fn commit_or_leave(member: &mut Member, request: &Settings, plan: &Plan, ready: &Ready) {
    if let Err(error) = commit(member, request, plan, ready).await {
        member.fail_committing(error);
    }
}

/// The caller removes what is there when this fails.
async fn commit(
    member: &mut Member,
    request: &Settings,
    plan: &Plan,
    ready: &Ready,
) -> Result<(), VaultError> {
    let Some(destination) = member.take_destination() else { return Ok(()) };
    let (hbn, id) = (&plan.hbn, &plan.id);
    let payload = destination.finish().await?;
    let pieces = place_pieces(hbn, id, &ready.pieces, &payload.segments)?;
    let index_body = text_within(&ready.index);
    let contents_body = ready.contents.as_deref().and_then(text_within);
    // What has no room in the manifest is an object of its own.
    let index = index_body.is_none().then(|| ready.index.clone());
    let contents = ready.contents.clone().filter(|_| contents_body.is_none());
    let is_unchanged = id.level > 0 && ready.outcome.content_bytes == 0 && payload.short.is_some();
    // Where there is too much for one listing nobody would find the manifest that says so.
    let may_stay = is_unchanged && member.tree.is_some();
    let (locks_over, stays) =
        member.lock.as_ref().map(|lock| lock.over_once_committed(may_stay)).unwrap_or_default();
    let rest = manifest_of(request, plan, member, (pieces, ready));
    let manifest = Manifest { index_body, contents_body, locks_over, ..rest };
    let (body, _) = seal(&manifest, plan.mac.as_ref().map(|mac| &mac.key))?;

    // In this order: the metadata is what makes a level exist for upstream.
    let mut objects: Vec<(ObjectName, Bytes)> = payload.short.into_iter().collect();
    objects.push((id.object(hbn, ENGINE_METADATA)?, ready.engine_metadata.clone()));
    for (part, body) in [(INDEX, index), (CONTENTS, contents)] {
        if let Some(body) = body {
            objects.push((id.object(hbn, part)?, body));
        }
    }
    objects.push((id.metadata(hbn)?, ready.metadata.clone()));
    member.store.put_all(&objects).await?;
    if let Some(lock) = member.lock.as_ref().filter(|lock| !lock.is_fresh()) {
        lock.still_held().await?;
    }
    member.is_lock_over = stays;
    let stamp = member.store.put_stamped(&id.object(hbn, MANIFEST)?, body.clone()).await?;
    let is_base = request.levels.always_level.is_some_and(|always| always == id.level.saturating_add(1));
    member.remember(body, stamp, is_base).await;
    Ok(())
}

/// As they are stored.
struct SmallObjects {
    engine_metadata: Bytes,
    index: Bytes,
    contents: Option<Bytes>,
}

/// Packing takes a while for large trees and images.
async fn small_objects(
    mut outcome: Outcome,
    contents: Option<(Vec<u8>, Vec<u8>)>,
    encryption: Option<EncryptionOptions>,
    packs_metadata: bool,
) -> Result<(SmallObjects, Outcome), VaultError> {
    let work = move || -> Result<_, VaultError> {
        let mut beside = std::mem::replace(&mut outcome.beside, Box::new(Made::default()));
        let index = pack(|out| beside.write_index(out), encryption.as_ref())?;
        let metadata = beside.engine_metadata();
        let engine_metadata = match packs_metadata {
            true => pack(|out| out.write_all(&metadata), encryption.as_ref())?,
            false => Bytes::from(metadata),
        };
        let contents = contents.map(|(mut members, stretches)| {
            members.extend_from_slice(&stretches);
            seal_packed(members, encryption.as_ref())
        });
        Ok((SmallObjects { engine_metadata, index, contents: contents.transpose()? }, outcome))
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| VaultError::Internal { what: "writing the index", cause: error.to_string() })?
}

fn manifest_of(
    request: &Settings,
    plan: &Plan,
    member: &Member,
    (pieces, ready): (Vec<crate::manifest::Piece>, &Ready),
) -> Manifest {
    let (outcome, attachments) = (&ready.outcome, ready.attachments.clone());
    let stored_bytes = pieces.iter().map(|piece| piece.size_bytes).sum();
    let encryption = plan.encryption.as_ref().zip(plan.mac.as_ref()).map(|(options, mac)| EncryptionRecord {
        cipher: options.cipher,
        chunk_size_bytes: options.cipher.chunk_bytes(),
        derivation: options.derivation,
        beside: Beside::of(options.derivation),
        mac: mac.parameters.clone(),
    });
    Manifest {
        version: Manifest::version_for(encryption.as_ref()),
        tool: concat!("freezer ", env!("CARGO_PKG_VERSION")).into(),
        engine: request.engine().name().into(),
        hbn: plan.hbn.to_string(),
        level: plan.id.level,
        timestamp: plan.id.timestamp,
        chain_timestamp: plan.id.chain_timestamp,
        parent: member.parent.as_ref().map(|parent| parent.link.clone()),
        ancestors_sha256: member.parent.as_ref().and_then(|parent| parent.ancestors_sha256.clone()),
        compression: request.compression.format,
        encryption,
        segment_size_bytes: request.max_segment_size_bytes,
        pieces,
        engine_metadata: attachments.engine_metadata,
        index: attachments.index,
        index_body: None,
        contents: attachments.contents,
        contents_body: None,
        metadata: attachments.metadata,
        totals: Totals {
            files: outcome.members,
            read_bytes: outcome.content_bytes,
            tar_bytes: outcome.archive_bytes,
            stored_bytes,
        },
        problems: outcome.problems.clone(),
        members: outcome.set_members.clone(),
        part_of: request.part_of.clone(),
        source: ready.source.clone(),
        locks_over: Vec::new(),
    }
}

/// A new authentication key and how it was made.
#[derive(Clone, Debug)]
pub(super) struct NewMac {
    pub key: MacKey,
    pub parameters: crate::encryption::MacParameters,
}
