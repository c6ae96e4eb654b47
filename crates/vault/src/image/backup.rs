//! Making a level of an image's chain.

use super::changes::{Listed, write_changes};
use super::diff::DiffWriter;
use super::index::{ImageIndex, region_bytes_for};
use super::whole::{output, write_whole};
use super::{Facts, ImageBase, ImageInput, ImageRequest, OpenImage, OpenedImage};
use crate::VaultError;
use crate::backup::{BackupReport, BesidePayload, Outcome, Settings, StoredIndex, Work, course};
use crate::codecs::Compressor;
use crate::layout::{Engine, Hbn};
use crate::manifest::ProblemSummary;
use crate::monitor::Monitor;
use freezer_storage::Store;
use serde_json::Value;
use std::io::{self, Write};
use std::sync::Arc;

/// All levels of a chain are read at once, and what each of them holds in memory is a few pieces: those of increments, of
/// which there are many, are short.
const FULL_PIECE_BYTES: u64 = 4 << 20;
const INCREMENT_PIECE_BYTES: u64 = 1 << 20;

/// Makes a backup of what `open` opens. When the returned future is dropped, the backup is cancelled and tidies up behind
/// itself, as it does after [`Monitor::cancel`].
///
/// # Errors
/// Those of `open`; [`VaultError::Source`] when the source ends early or lists changes that cannot be.
pub async fn backup(
    store: Arc<dyn Store>,
    request: ImageRequest,
    open: OpenImage,
    monitor: Arc<Monitor>,
) -> Result<BackupReport, VaultError> {
    let settings = Settings {
        hbn: Hbn::of(Engine::Image, &request.hostname, &request.backup_name)?,
        compression: request.compression,
        encryption: request.encryption,
        max_segment_size_bytes: request.max_segment_size_bytes,
        levels: request.levels,
        now_secs: request.now_secs,
        began: request.began,
        lock_expiry: request.lock_expiry,
        dry_run: request.dry_run,
        memory: None,
        part_of: request.part_of,
        source: None,
    };
    course(vec![store], settings, Image { open: Some(open), opened: None }, monitor).await
}

struct Image {
    open: Option<OpenImage>,
    opened: Option<OpenedImage>,
}

impl Work for Image {
    type Index = ImageIndex;
    const PACKS_METADATA: bool = true;

    fn piece_bytes(level: u32) -> u64 {
        if level == 0 { FULL_PIECE_BYTES } else { INCREMENT_PIECE_BYTES }
    }

    fn read_index(stored: StoredIndex) -> Result<ImageIndex, String> {
        match stored {
            StoredIndex::Ours(body) => ImageIndex::from_bytes(body),
            StoredIndex::Upstream(_) => Err("no other program makes such backups".to_owned()),
        }
    }

    async fn open(&mut self, base: Option<&ImageIndex>) -> Result<(), VaultError> {
        let base = base.map(|index| ImageBase { source: index.source.clone(), size_bytes: index.size_bytes });
        if let Some(open) = self.open.take() {
            self.opened = Some(open(base).await?);
        }
        Ok(())
    }

    fn write(
        self,
        base: Option<ImageIndex>,
        mut out: Compressor,
        monitor: Arc<Monitor>,
    ) -> Result<Outcome, VaultError> {
        let Some(OpenedImage { input, source, description }) = self.opened else {
            return Err(VaultError::Source { cause: "the image was not opened".to_owned() });
        };
        let has_base = base.is_some();
        let mut index = match (base, &input) {
            (Some(index), _) => index,
            (None, ImageInput::Whole { size_bytes, .. }) => ImageIndex::new(region_bytes_for(*size_bytes)),
            // The list says the size when it is read.
            (None, ImageInput::Changes { .. } | ImageInput::Objects { .. }) => {
                ImageIndex::new(region_bytes_for(Some(0)))
            }
        };
        let mut diff = DiffWriter::start(&mut out).map_err(output)?;
        match input {
            ImageInput::Whole { reader, size_bytes } => {
                write_whole(reader, size_bytes, &mut index, &mut diff, &monitor)?;
            }
            ImageInput::Changes { stream } => {
                write_changes((stream, Listed::Changes), has_base, &mut index, &mut diff, &monitor)?;
            }
            ImageInput::Objects { stream } => {
                write_changes((stream, Listed::Objects), has_base, &mut index, &mut diff, &monitor)?;
            }
        }
        let (_, archive_bytes) = diff.finish().map_err(output)?;
        out.finish().map_err(output)?;
        index.source = source;
        outcome(index, description, archive_bytes, monitor.progress().bytes_read)
    }
}

/// What an image leaves beside its payload.
struct Beside {
    index: Option<ImageIndex>,
    facts: Vec<u8>,
}

impl BesidePayload for Beside {
    fn write_index(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let bytes = self.index.take().map(ImageIndex::into_bytes).unwrap_or_default();
        out.write_all(&bytes)
    }

    fn engine_metadata(self: Box<Self>) -> Vec<u8> {
        self.facts
    }
}

fn outcome(
    index: ImageIndex,
    description: Value,
    archive_bytes: u64,
    content_bytes: u64,
) -> Result<Outcome, VaultError> {
    let size_bytes = index.size_bytes;
    let facts = serde_json::to_vec(&Facts { size_bytes, description })
        .map_err(|error| VaultError::Internal { what: "the description", cause: error.to_string() })?;
    Ok(Outcome {
        members: 1,
        content_bytes,
        archive_bytes,
        problems: ProblemSummary::default(),
        is_partial: false,
        beside: Box::new(Beside { index: Some(index), facts }),
        members_list: None,
        image_bytes: Some(size_bytes),
        set_members: Vec::new(),
    })
}
