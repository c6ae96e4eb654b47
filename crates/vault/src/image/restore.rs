//! Restoring an image: all levels of its chain are read at once and merged, in order, without staging.

use super::diff::DiffWriter;
use super::merge::{Merge, Run};
use super::whole::output;
use super::{Facts, ImageRestoreRequest};
use crate::VaultError;
use crate::backup::{attachment_fault, unpack};
use crate::catalogue::{Level, read_whole};
use crate::encryption::{MacKey, PassPhrase};
use crate::layout::{ENGINE_METADATA, Engine, Hbn};
use crate::monitor::{Monitor, Phase};
use crate::restore::{Payload, PlannedLevel, RestorePlan, RestoreRequest, open_payload, plan_of};
use freezer_storage::Store;
use serde::Serialize;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

const BUFFER_BYTES: usize = 1 << 20;
/// Longer than any description.
const MOST_FACTS_BYTES: u64 = 64 << 20;

/// Where the image goes. Writers are written in a thread that may block, and are flushed at the end; when the restore
/// fails they are dropped without.
pub enum ImageOutput {
    /// All bytes, in order.
    Raw(Box<dyn Write + Send>),
    /// One `rbd diff v1` stream of all that is not zero.
    Diff(Box<dyn Write + Send>),
    /// A sparse file of this name, which must not exist.
    File(PathBuf),
}

/// What a restore will do.
#[derive(Clone, Debug)]
pub struct ImagePlan {
    pub hbn: Hbn,
    pub timestamp: i64,
    pub chain_timestamp: i64,
    /// Timestamps of the levels, level 0 first.
    pub levels: Vec<i64>,
    pub size_bytes: u64,
    /// As given when the newest of the levels was made.
    pub description: Value,
    pub warnings: Vec<String>,
    plan: RestorePlan,
    sizes: Vec<u64>,
    pass_phrase: Option<PassPhrase>,
}

/// What was restored.
#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    pub hbn: String,
    pub timestamp: i64,
    pub levels: Vec<i64>,
    pub size_bytes: u64,
    /// Bytes of it that are not known to be zero.
    pub data_bytes: u64,
    pub bytes_fetched: u64,
}

/// Chooses the newest state not after the wanted time and checks, without reading payloads, that every level it needs
/// is there and can be decrypted.
pub async fn plan(store: &Arc<dyn Store>, request: &ImageRestoreRequest) -> Result<ImagePlan, VaultError> {
    let mut wanted = RestoreRequest::new(&request.hostname, &request.backup_name, PathBuf::new());
    wanted.not_after_secs = request.not_after_secs;
    wanted.pass_phrase = request.pass_phrase.clone();
    let plan = plan_of(store, Engine::Image, &wanted).await?;
    let mut sizes = Vec::new();
    let mut description = Value::Null;
    for level in &plan.levels {
        let facts = facts(store, &plan.hbn, level, request.pass_phrase.as_ref()).await?;
        sizes.push(facts.size_bytes);
        description = facts.description;
    }
    Ok(ImagePlan {
        hbn: plan.hbn.clone(),
        timestamp: plan.levels.last().map_or(0, |level| level.id.timestamp),
        chain_timestamp: plan.levels.first().map_or(0, |level| level.id.timestamp),
        levels: plan.levels.iter().map(|level| level.id.timestamp).collect(),
        size_bytes: sizes.last().copied().unwrap_or_default(),
        description,
        warnings: plan.warnings.clone(),
        plan,
        sizes,
        pass_phrase: request.pass_phrase.clone(),
    })
}

/// What is known of the resource that an image in the catalogue was saved of. Without its pass phrase of an encrypted one
/// an error.
pub async fn describe(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &Level,
    pass: Option<&PassPhrase>,
) -> Result<serde_json::Value, VaultError> {
    Ok(facts_of(store, hbn, level, None, pass).await?.description)
}

async fn facts(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &PlannedLevel,
    pass: Option<&PassPhrase>,
) -> Result<Facts, VaultError> {
    facts_of(store, hbn, &level.level, level.key.as_ref(), pass).await
}

async fn facts_of(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &Level,
    key: Option<&MacKey>,
    pass: Option<&PassPhrase>,
) -> Result<Facts, VaultError> {
    let name = level.id.object(hbn, ENGINE_METADATA)?;
    let unreadable = |cause: String| VaultError::Unreadable { backup: format!("{hbn}, {}", level.id), cause };
    let manifest = level
        .manifest()
        .ok_or_else(|| unreadable("it has no manifest, and no other program makes such backups".into()))?;
    let body = read_whole(store, &name, MOST_FACTS_BYTES).await?;
    let fault = attachment_fault(body.as_deref(), &manifest.engine_metadata, key)?;
    if let Some(fault) = fault {
        return Err(unreadable(format!("{name}: {fault}")));
    }
    let clear = unpack(body.unwrap_or_default(), manifest, (pass, key))?;
    serde_json::from_slice(&clear).map_err(|error| unreadable(format!("{name}: {error}")))
}

/// Writes the image of `plan` to `output`. Every piece is checked before it is used. When the returned future is dropped,
/// the restore is cancelled.
///
/// # Errors
/// [`VaultError::Damaged`] and its like: what was written until then is to be thrown away.
pub async fn read(
    store: Arc<dyn Store>,
    plan: ImagePlan,
    output: ImageOutput,
    monitor: Arc<Monitor>,
) -> Result<ImageReport, VaultError> {
    let guard = monitor.token().clone().drop_guard();
    let result = tokio::spawn(run(store, plan, output, monitor.clone())).await;
    guard.disarm();
    monitor.set_phase(Phase::Finished);
    result.map_err(|error| VaultError::Internal { what: "the restore", cause: error.to_string() })?
}

async fn run(
    store: Arc<dyn Store>,
    plan: ImagePlan,
    output: ImageOutput,
    monitor: Arc<Monitor>,
) -> Result<ImageReport, VaultError> {
    monitor.set_totals(plan.size_bytes, 1);
    monitor.set_phase(Phase::Transferring);
    let mut incoming = Vec::new();
    let mut fetching = tokio::task::JoinSet::new();
    for level in &plan.plan.levels {
        let (arrivals, arriving) = mpsc::channel(1);
        let payload = Payload { store: store.clone(), hbn: plan.hbn.clone(), level: level.clone() };
        let watch = monitor.clone();
        fetching.spawn(async move { payload.fetch(arrivals, &watch).await });
        incoming.push((arriving, level.clone()));
    }
    let (sizes, pass, watch) = (plan.sizes.clone(), plan.pass_phrase.clone(), monitor.clone());
    let writing = spawn_blocking(move || {
        let mut inputs = Vec::new();
        for ((arriving, level), size) in incoming.into_iter().zip(sizes) {
            inputs.push((open_payload(arriving, &level, pass.as_ref())?, size));
        }
        write(Merge::start(inputs)?, output, &watch)
    });
    let written = writing
        .await
        .map_err(|error| VaultError::Internal { what: "writing the image", cause: error.to_string() })?;
    // The first cause counts: what could not be fetched makes the writing fail.
    while let Some(fetched) = fetching.join_next().await {
        fetched.map_err(|error| VaultError::Internal { what: "fetching", cause: error.to_string() })??;
    }
    if monitor.is_cancelled() {
        return Err(VaultError::Cancelled);
    }
    Ok(ImageReport {
        hbn: plan.hbn.to_string(),
        timestamp: plan.timestamp,
        levels: plan.levels,
        size_bytes: plan.size_bytes,
        data_bytes: written?,
        bytes_fetched: monitor.progress().bytes_stored,
    })
}

type Inputs = Merge<Box<dyn io::Read + Send>>;

/// The receiver is told that the image is at its end only when every level was read, and so checked, to its own end.
fn write(mut merge: Inputs, out: ImageOutput, monitor: &Monitor) -> Result<u64, VaultError> {
    match out {
        ImageOutput::Raw(mut out) => {
            let mut sink = |_: u64, part: Option<&[u8]>, length: u64| match part {
                Some(data) => out.write_all(data),
                None => zeros(&mut out, length),
            };
            let data_bytes = pour(&mut merge, &mut sink, monitor)?;
            merge.finish()?;
            out.flush().map_err(output)?;
            Ok(data_bytes)
        }
        ImageOutput::Diff(out) => {
            let mut diff = DiffWriter::start(io::BufWriter::new(out)).map_err(output)?;
            diff.size(merge.size()).map_err(output)?;
            let mut sink = |place: u64, part: Option<&[u8]>, _: u64| match part {
                Some(data) => diff.data(place, data),
                None => Ok(()),
            };
            let data_bytes = pour(&mut merge, &mut sink, monitor)?;
            merge.finish()?;
            let (mut out, _) = diff.finish().map_err(output)?;
            out.flush().map_err(output)?;
            Ok(data_bytes)
        }
        ImageOutput::File(path) => {
            let local = |error: io::Error| VaultError::Local { path: path.clone(), cause: error.to_string() };
            let file = File::create_new(&path).map_err(local)?;
            let poured = write_file(merge, file, monitor, &local);
            if poured.is_err() {
                // Half an image is none.
                let _ = std::fs::remove_file(&path);
            }
            poured
        }
    }
}

fn write_file(
    mut merge: Inputs,
    mut file: File,
    monitor: &Monitor,
    local: &dyn Fn(io::Error) -> VaultError,
) -> Result<u64, VaultError> {
    file.set_len(merge.size()).map_err(local)?;
    let mut sink = |place: u64, part: Option<&[u8]>, _: u64| match part {
        Some(data) => file.seek(SeekFrom::Start(place)).and_then(|_| file.write_all(data)),
        None => Ok(()),
    };
    let data_bytes = pour(&mut merge, &mut sink, monitor)?;
    merge.finish()?;
    file.sync_all().map_err(local)?;
    Ok(data_bytes)
}

/// Takes a run: its place, its data (`None` for zeros) and its length.
type Sink<'a> = dyn FnMut(u64, Option<&[u8]>, u64) -> io::Result<()> + 'a;

/// Gives every run to `sink`, and data that lie together at once: of increments they are short. Answers how many bytes were data.
fn pour(merge: &mut Inputs, sink: &mut Sink<'_>, monitor: &Monitor) -> Result<u64, VaultError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    // So many bytes in it were not given yet; they end where the image has come to.
    let mut waiting = 0usize;
    let mut data_bytes = 0;
    loop {
        if monitor.is_cancelled() {
            return Err(VaultError::Cancelled);
        }
        let place = merge.place;
        let room = buffer.get_mut(waiting..).unwrap_or_default();
        let run = merge.next(room.len() as u64)?;
        if let Some(Run::Data(length)) = run {
            let part = usize::try_from(length).ok().and_then(|length| room.get_mut(..length));
            let long = || VaultError::Internal { what: "merging levels", cause: "a run is too long".into() };
            let part = part.ok_or_else(long)?;
            merge.take(part)?;
            waiting += part.len();
            data_bytes += length;
            monitor.add_read(length);
            if waiting < BUFFER_BYTES {
                continue;
            }
        }
        let end = if matches!(run, Some(Run::Data(_))) { merge.place } else { place };
        give(sink, buffer.get(..waiting).unwrap_or_default(), end)?;
        waiting = 0;
        match run {
            None => return Ok(data_bytes),
            Some(Run::Zeros(length)) => {
                sink(place, None, length).map_err(output)?;
                monitor.add_read(length);
            }
            Some(Run::Data(_)) => {}
        }
    }
}

/// Data that end at `end`.
fn give(sink: &mut Sink<'_>, data: &[u8], end: u64) -> Result<(), VaultError> {
    if data.is_empty() {
        return Ok(());
    }
    let length = data.len() as u64;
    sink(end.saturating_sub(length), Some(data), length).map_err(output)
}

fn zeros(out: &mut dyn Write, mut length: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    while length > 0 {
        let part = ZEROS.get(..usize::try_from(length).unwrap_or(usize::MAX).min(ZEROS.len()));
        let part = part.unwrap_or_default();
        out.write_all(part)?;
        length -= part.len() as u64;
    }
    Ok(())
}
