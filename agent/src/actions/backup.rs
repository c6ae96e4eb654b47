//! Action backup: a folder or file becomes the next level of its chain.

use super::{ActionError, Done};
use crate::openstack::control_plane::{ControlPlaneConf, Parts};
use crate::options::medium::Medium;
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_vault::backup::{BackupReport, BackupRequest, Dereference, Source};
use freezer_vault::codecs::{Compression, CompressionOptions};
use freezer_vault::encryption::{EncryptionOptions, KeyDerivation, PassPhrase};
use freezer_vault::image::ImageRequest;
use freezer_vault::levels::LevelPolicy;
use freezer_vault::{FileProblem, Monitor, VaultError};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Rounds of `openssl enc -pbkdf2`; what OWASP asks of PBKDF2 with HMAC-SHA-256.
const PBKDF2_ITERATIONS: u32 = 600_000;
/// How many incomplete files the result names one by one.
const PROBLEMS_LISTED: usize = 200;

pub async fn backup(
    options: &ActionOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let mut request = request(options, around)?;
    if let (Medium::ControlPlane, Some(file)) = (&options.medium, &options.cloud_conf) {
        let conf = ControlPlaneConf::read(file).map_err(ActionError::Failed)?;
        request.feed = Some(Arc::new(Parts::gather(conf, &options.hostname, around.now_secs).await));
    }
    let store = open_store(options, around).await?;
    let report = freezer_vault::backup::backup(store, request, monitor).await?;
    Ok(done(options, around, &report))
}

fn request(options: &ActionOptions, around: &Surroundings) -> Result<BackupRequest, ActionError> {
    let path = options
        .path_to_backup
        .clone()
        .or_else(|| options.cloud_conf.clone())
        .ok_or_else(|| ActionError::Failed("path_to_backup is not set".into()))?;
    let mut source = Source::new(path);
    source.excludes = options.exclude.iter().map(|pattern| pattern.clone().into_bytes()).collect();
    source.one_file_system = options.one_file_system;
    source.sync = options.sync;
    source.dereference = match options.dereference.as_str() {
        "soft" => Dereference::Soft,
        "hard" => Dereference::Hard,
        "all" => Dereference::All,
        _ => Dereference::None,
    };
    let mut request = BackupRequest::new(&options.hostname, &options.backup_name, source, around.now_secs);
    request.compression = CompressionOptions::of(options.compression.parse::<Compression>()?);
    request.compression.level = compression_level(options)?;
    request.encryption = encryption(options)?;
    request.max_segment_size_bytes = options.max_segment_size_bytes;
    request.levels = levels(options);
    request.scan_totals = true;
    request.dry_run = options.dry_run;
    Ok(request)
}

/// What a backup of a disk image is told, whatever the image belongs to.
pub(crate) fn image_request(
    options: &ActionOptions,
    around: &Surroundings,
) -> Result<ImageRequest, ActionError> {
    let mut request = ImageRequest::new(&options.hostname, &options.backup_name, around.now_secs);
    request.compression = CompressionOptions::of(options.compression.parse::<Compression>()?);
    request.compression.level = compression_level(options)?;
    request.encryption = encryption(options)?;
    request.max_segment_size_bytes = options.max_segment_size_bytes;
    request.levels = levels(options);
    request.dry_run = options.dry_run;
    request.part_of = options.part_of.clone();
    Ok(request)
}

fn levels(options: &ActionOptions) -> LevelPolicy {
    LevelPolicy {
        incremental: options.incremental,
        max_level: options.max_level,
        always_level: options.always_level,
        restart_always_level_days: options.restart_always_level_days,
    }
}

fn compression_level(options: &ActionOptions) -> Result<Option<u32>, ActionError> {
    let level = options.compression_level.map(u32::try_from).transpose();
    level.map_err(|_| ActionError::Failed("compression_level cannot be negative".into()))
}

pub(crate) fn encryption(options: &ActionOptions) -> Result<Option<EncryptionOptions>, VaultError> {
    let Some(file) = &options.encrypt_pass_file else { return Ok(None) };
    let mut encryption = EncryptionOptions::new(PassPhrase::from_file(file)?);
    if options.encryption_kdf == "pbkdf2" {
        encryption.derivation = KeyDerivation::Pbkdf2Sha256 { iterations: PBKDF2_ITERATIONS };
    }
    Ok(Some(encryption))
}

pub(crate) fn done(options: &ActionOptions, around: &Surroundings, report: &BackupReport) -> Done {
    let mut result = Map::new();
    result.insert("backup_metadata".into(), Value::Object(metadata(options, around, report)));
    result.insert("report".into(), serde_json::to_value(listed(report)).unwrap_or_default());
    let mut summary = vec![
        format!("Backup       {} level {} ({})", report.hbn, report.level, report.level_reason),
        format!("Read         {} in {} entries", people(report.bytes_read), report.files),
        format!(
            "Stored       {} in {} segments, {}{}",
            people(report.bytes_stored),
            report.segments,
            report.compression,
            if report.encrypted { ", encrypted" } else { "" }
        ),
        format!("Folder       {}", report.folder),
    ];
    if report.dry_run {
        summary.push("Dry run      nothing was stored".into());
    }
    if options.medium == Medium::ControlPlane && !report.encrypted {
        summary.push(
            "NOT ENCRYPTED passwords and keys of the cloud are readable to whoever reads the storage".into(),
        );
    }
    for problem in report.problems.iter().take(20) {
        summary.push(trouble(problem));
    }
    if report.is_partial {
        summary.push("PARTIAL      not everything could be saved; see above".into());
    }
    Done { result, summary, partial: report.is_partial }
}

/// One file's trouble as a line for people.
pub(crate) fn trouble(problem: &FileProblem) -> String {
    format!("{:<12} {}: {}", problem.kind, problem.path, problem.reason)
}

fn listed(report: &BackupReport) -> BackupReport {
    let mut report = report.clone();
    report.problems.truncate(PROBLEMS_LISTED);
    report
}

/// Upstream's result document, with the level and sizes that it lacks. Values that say nothing are `""`.
fn metadata(options: &ActionOptions, around: &Surroundings, report: &BackupReport) -> Map<String, Value> {
    let path =
        options.path_to_backup.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    let or_empty = |number: Option<u32>| number.map_or_else(|| json!(""), |number| json!(number));
    let (ssh_host, ssh_username, ssh_port) = match &options.storage {
        crate::options::typed::StorageOptions::Ssh { host, port, username, .. } => {
            (host.as_str(), username.as_str(), json!(port))
        }
        _ => ("", "", json!("")),
    };
    let document = json!({
        "curr_backup_level": report.level,
        "fs_real_path": path,
        "vol_snap_path": path,
        "client_os": std::env::consts::OS,
        "client_version": env!("CARGO_PKG_VERSION"),
        "time_stamp": report.timestamp,
        "action": "backup",
        "always_level": or_empty(options.always_level),
        "backup_media": options.medium.mode(),
        "backup_name": options.backup_name,
        "container": options.container,
        "container_segments": "",
        "dry_run": if options.dry_run { json!(true) } else { json!("") },
        "hostname": options.hostname,
        "path_to_backup": path,
        "max_level": or_empty(options.max_level),
        "log_file": options.log_file.clone().unwrap_or_default(),
        "storage": options.storage.kind(),
        "mode": options.medium.mode(),
        "engine_name": if matches!(options.medium, Medium::Files | Medium::ControlPlane) { "tar" } else { "image" },
        "proxy": "",
        "compression": report.compression.name(),
        "encrypted": report.encrypted,
        "ssh_host": ssh_host,
        "ssh_username": ssh_username,
        "ssh_port": ssh_port,
        "ssh_key": "",
        "consistency_checksum": "",
        "chain_time_stamp": report.chain_timestamp,
        "bytes_read": report.bytes_read,
        "bytes_stored": report.bytes_stored,
        "files": report.files,
        "problem_count": report.problem_count,
        "is_partial": report.is_partial,
        "time_started": around.now_secs,
    });
    document.as_object().cloned().unwrap_or_default()
}

/// Bytes as people read them: `1.5 GiB`.
pub(crate) fn people(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {name}") }
}
