//! Action backup: a folder or file becomes the next level of its chain.

use super::{ActionError, Done, mirror, snapshot, stream};
use crate::databases::mariadb::Files;
use crate::databases::mongo::{Dump, MongoConf};
use crate::databases::postgresql::{Cluster, PostgresqlConf};
use crate::databases::sqlserver::{Databases, SqlServerConf};
use crate::openstack::control_plane::{ControlPlaneConf, Parts};
use crate::options::medium::Medium;
use crate::options::mirror::Place;
use crate::options::typed::ActionOptions;
use crate::snapshots::Held;
use crate::storages::{Surroundings, open_stores};
use freezer_storage::Store;
use freezer_vault::backup::{BackupReport, BackupRequest, Dereference, Feed, Rules, Source};
use freezer_vault::codecs::{Compression, CompressionOptions};
use freezer_vault::consistency::{self, Links};
use freezer_vault::encryption::{Cipher, EncryptionOptions, KeyDerivation};
use freezer_vault::image::ImageRequest;
use freezer_vault::levels::LevelPolicy;
use freezer_vault::{FileProblem, Monitor, VaultError};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
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
    match &options.snapshot {
        Some(wanted) if !options.dry_run => snapshot::backup(options, wanted, around, monitor).await,
        Some(_) => {
            let mut done = read(options, around, monitor, None).await?;
            done.summary.push("Dry run      no snapshot was taken".to_owned());
            Ok(done)
        }
        None => read(options, around, monitor, None).await,
    }
}

/// Reads what is to be saved, or `held`, a snapshot of it.
pub(super) async fn read(
    options: &ActionOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
    held: Option<&Held>,
) -> Result<Done, ActionError> {
    let mut request = request(options, around, held)?;
    let warnings = vendors(options, around, &mut request, &monitor).await?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let server = feed(options, around, &mut request, &monitor).await?;
    let Targets { stores, mut failed, opened } = Targets::open(options, around).await?;
    let checksum = checksum(options, held).await;
    let mut report = match freezer_vault::backup::backup_to_all(stores, request, monitor.clone()).await {
        Ok(report) => report,
        Err(error) if failed.is_empty() || monitor.is_cancelled() => return Err(error.into()),
        Err(error) => return Err(mirror::none_left(&error, &failed)),
    };
    let holders = holders(opened, &report, &mut failed);
    report.warnings.extend(warnings);
    if let Some(server) = server {
        report.warnings.extend(server.end(report.dry_run).await);
    }
    let mut done = match holders.first().filter(|_| !options.storages.is_empty()) {
        // The record is of a storage that holds the backup.
        Some(first) => done(&options.at(first), around, &report),
        None => done(options, around, &report),
    };
    if !options.storages.is_empty() {
        mirror::tell_copies(&mut done, &holders, &failed);
    }
    match (checksum, done.result.get_mut("backup_metadata")) {
        (Some(Ok(checksum)), Some(Value::Object(metadata))) => {
            done.summary.push(format!("Checksum     {checksum}"));
            metadata.insert("consistency_checksum".into(), json!(checksum));
        }
        (Some(Err(cause)), _) => {
            tracing::warn!("no consistency_checksum: {cause}");
            done.summary.push(format!("WARNING      no consistency_checksum: {cause}"));
        }
        _ => {}
    }
    Ok(done)
}

/// Where the backup goes.
struct Targets {
    stores: Vec<Arc<dyn Store>>,
    /// Of the stores, in their order.
    opened: Vec<Place>,
    failed: Vec<(Place, String)>,
}

impl Targets {
    /// Of several storages those that cannot be opened are told; it is an error when none can.
    async fn open(options: &ActionOptions, around: &Surroundings) -> Result<Self, ActionError> {
        let mut targets = Self { stores: Vec::new(), opened: Vec::new(), failed: Vec::new() };
        for (place, store) in open_stores(options, around).await {
            match store {
                Ok(store) => {
                    targets.stores.push(store);
                    targets.opened.push(place);
                }
                Err(error) if options.storages.is_empty() => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(storage = %place.name(), %error, "the backup does not get onto this storage");
                    targets.failed.push((place, error.to_string()));
                }
            }
        }
        if targets.stores.is_empty() {
            return Err(mirror::all_failed(&targets.failed));
        }
        Ok(targets)
    }
}

/// Which storages have got the backup; the others go to those that failed.
fn holders(opened: Vec<Place>, report: &BackupReport, failed: &mut Vec<(Place, String)>) -> Vec<Place> {
    let mut holders = Vec::new();
    for (position, place) in opened.into_iter().enumerate() {
        // Nothing is told of the only one that was left: it has the backup.
        match report.copies.get(position).and_then(|copy| copy.failure.clone()) {
            None => holders.push(place),
            Some(cause) => failed.push((place, cause)),
        }
    }
    holders
}

/// Servers that are saved by their vendors' own tools; answers what is worth a warning.
async fn vendors(
    options: &ActionOptions,
    around: &Surroundings,
    request: &mut BackupRequest,
    monitor: &Arc<Monitor>,
) -> Result<Vec<String>, ActionError> {
    let servers = &options.servers;
    match (&options.medium, &servers.mongo_conf, &servers.sql_server_conf) {
        (Medium::Mongo, Some(file), _) => {
            let conf = MongoConf::read(file).map_err(ActionError::Failed)?;
            let dump = Dump::new(conf, around.now_secs, monitor);
            let warnings = dump.warning().into_iter().collect();
            request.feed = Some(Arc::new(dump));
            Ok(warnings)
        }
        (Medium::SqlServer, _, Some(file)) => {
            let conf = SqlServerConf::read(file).map_err(ActionError::Failed)?;
            let how = (options.incremental, options.dry_run);
            let databases = Databases::look(conf, how, around.now_secs, monitor).await;
            let databases = databases.map_err(ActionError::Failed)?;
            let warnings = databases.warnings();
            request.feed = Some(Arc::new(databases));
            Ok(warnings)
        }
        _ => Ok(Vec::new()),
    }
}

/// A server that has something to say of its backup when that is over.
enum Server {
    /// Wants to know when its backup is committed.
    Postgresql(Arc<Cluster>),
    Mariadb(Arc<Files>),
}

impl Server {
    /// The backup is committed, or would have been; answers what is worth a warning.
    async fn end(self, is_dry: bool) -> Vec<String> {
        match self {
            Self::Postgresql(cluster) => {
                let mut warnings: Vec<String> = cluster.warning().into_iter().collect();
                if !is_dry {
                    warnings.extend(cluster.release().await);
                }
                warnings
            }
            Self::Mariadb(files) => {
                let warnings = files.warnings();
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                warnings
            }
        }
    }
}

/// What gives the content when it is no folder.
async fn feed(
    options: &ActionOptions,
    around: &Surroundings,
    request: &mut BackupRequest,
    monitor: &Arc<Monitor>,
) -> Result<Option<Server>, ActionError> {
    if let (Medium::Postgresql, Some(file)) = (&options.medium, &options.postgresql_conf) {
        let conf = PostgresqlConf::read(file).map_err(ActionError::Failed)?;
        let (name, now) = (&options.backup_name, around.now_secs);
        let cluster = Cluster::look(conf, name, options.incremental, now, monitor).await;
        let cluster = Arc::new(cluster.map_err(ActionError::Failed)?);
        request.feed = Some(cluster.clone());
        return Ok(Some(Server::Postgresql(cluster)));
    }
    if let (Medium::MysqlFiles, Some(file)) = (&options.medium, &options.mysql_conf) {
        let conf = ControlPlaneConf::of_server(file).map_err(ActionError::Failed)?;
        let missing = || ActionError::Failed("mysql_conf names no server".to_owned());
        let conf = conf.databases.ok_or_else(missing)?;
        let files = Files::look(conf, options.incremental, around.now_secs, monitor).await;
        let files = Arc::new(files.map_err(ActionError::Failed)?);
        request.feed = Some(files.clone());
        return Ok(Some(Server::Mariadb(files)));
    }
    let feed: Arc<dyn Feed> = match (&options.medium, &options.cloud_conf, &options.mysql_conf) {
        (Medium::ControlPlane, Some(file), _) => {
            let conf = ControlPlaneConf::read(file).map_err(ActionError::Failed)?;
            Arc::new(Parts::gather(conf, &options.hostname, around.now_secs).await)
        }
        (Medium::Mysql, _, Some(file)) => {
            let conf = ControlPlaneConf::of_server(file).map_err(ActionError::Failed)?;
            Arc::new(Parts::of_databases(conf, &options.hostname, around.now_secs))
        }
        (Medium::Stream, ..) => stream::feed(options, around.now_secs, monitor)?,
        _ => return Ok(None),
    };
    request.feed = Some(feed);
    Ok(None)
}

/// Upstream's checksum of the source as it is now, if it is asked for. The backup does not hang on it.
async fn checksum(options: &ActionOptions, held: Option<&Held>) -> Option<Result<String, String>> {
    let path = options.path_to_backup.clone().filter(|_| options.consistency_check)?;
    let path = held.map_or(path, |held| held.path.clone());
    let links = match options.dereference.as_str() {
        "soft" | "all" => Links::Follow,
        _ => Links::Ignore,
    };
    let work = tokio::task::spawn_blocking(move || consistency::checksum(&path, links));
    Some(match work.await {
        Ok(sum) => sum.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    })
}

fn request(
    options: &ActionOptions,
    around: &Surroundings,
    held: Option<&Held>,
) -> Result<BackupRequest, ActionError> {
    let path = options
        .path_to_backup
        .clone()
        .or_else(|| options.medium.is_fed().then(PathBuf::default))
        .ok_or_else(|| ActionError::Failed("path_to_backup is not set".into()))?;
    let mut source = Source::new(path);
    source.excludes = options.exclude.iter().map(|pattern| pattern.clone().into_bytes()).collect();
    source.rules = rules(options)?;
    source.one_file_system = options.one_file_system;
    source.sync = options.sync;
    source.dereference = match options.dereference.as_str() {
        "soft" => Dereference::Soft,
        "hard" => Dereference::Hard,
        "all" => Dereference::All,
        _ => Dereference::None,
    };
    if let Some(held) = held {
        source.root = held.path.clone();
        source.snapshot = Some(held.source());
        source.places = held.places_of_others();
        source.sync = false;
    }
    let mut request = BackupRequest::new(&options.hostname, &options.backup_name, source, around.now_secs);
    request.fed_from = options.medium.source().unwrap_or_default().to_owned();
    request.began = around.began;
    request.compression = CompressionOptions::of(options.compression.parse::<Compression>()?);
    request.compression.level = compression_level(options)?;
    request.encryption = encryption(options)?;
    request.max_segment_size_bytes = options.max_segment_size_bytes;
    request.levels = levels(options);
    request.scan_totals = true;
    request.dry_run = options.dry_run;
    // Whoever works for others has no state of its own.
    let has_state = !around.state_dir.as_os_str().is_empty();
    request.memory = has_state.then(|| around.state_dir.join("manifests"));
    Ok(request)
}

/// Longer files are no lists of rules.
const MOST_RULES_BYTES: u64 = 1 << 20;

/// What is left out and saved, in the words of gitignore.
pub(super) fn rules(options: &ActionOptions) -> Result<Rules, ActionError> {
    let mut exclude = Vec::new();
    if let Some(file) = &options.exclude_rules_file {
        let bad =
            |cause: String| ActionError::Failed(format!("exclude_rules_file {}: {cause}", file.display()));
        let size = std::fs::metadata(file).map_err(|error| bad(error.to_string()))?.len();
        if size > MOST_RULES_BYTES {
            return Err(bad(format!("it has more than {MOST_RULES_BYTES} bytes")));
        }
        let text = std::fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
        exclude.extend(text.lines().map(str::to_owned));
    }
    exclude.extend(options.exclude_rules.iter().cloned());
    Rules::new(&exclude, &options.include_rules)
        .map_err(|cause| ActionError::Failed(format!("exclude_rules, include_rules: {cause}")))
}

/// What a backup of a disk image is told, whatever the image belongs to.
pub(crate) fn image_request(
    options: &ActionOptions,
    around: &Surroundings,
) -> Result<ImageRequest, ActionError> {
    let mut request = ImageRequest::new(&options.hostname, &options.backup_name, around.now_secs);
    request.began = around.began;
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
    let Some(pass_phrase) = options.pass_phrase()? else { return Ok(None) };
    let mut encryption = EncryptionOptions::new(pass_phrase);
    encryption.cipher = options.encryption_cipher;
    // Nobody gains by keys that are fast to guess where no other program reads the backup.
    let is_sealed = encryption.cipher == Cipher::Aes256Gcm;
    let said = options.encryption_kdf.as_deref();
    if is_sealed || said != Some("openssl") {
        encryption.derivation = KeyDerivation::Pbkdf2Sha256 { iterations: PBKDF2_ITERATIONS };
    }
    // Freezer in Python may read a chain that it could read until now.
    encryption.keeps_derivation = !is_sealed && said.is_none();
    encryption.hides_names = options.encrypt_names;
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
    summary.extend(report.warnings.iter().map(|warning| format!("WARNING      {warning}")));
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
        "engine_name": if options.medium.is_archive() { "tar" } else { "image" },
        "proxy": "",
        "compression": report.compression.name(),
        "encrypted": report.encrypted,
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
    let mut document = document.as_object().cloned().unwrap_or_default();
    if let Some(form) = options.medium.form() {
        document.insert("mysql_form".into(), json!(form));
    }
    document.extend(options.storage.place());
    document
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::options::Values;

    /// What is on the disk already looks the same whether it was flushed or not: the kernel does it sooner or later.
    #[test]
    fn file_systems_are_flushed_unless_told_otherwise() {
        for (said, is_flushed) in
            [(json!({}), true), (json!({"sync": true}), true), (json!({"sync": false}), false)]
        {
            let mut values = Values::default();
            values.fill(said.as_object().unwrap());
            values.fill(json!({"storage": "local", "path_to_backup": "/srv"}).as_object().unwrap());
            let options = ActionOptions::from_values(&values, "own").unwrap();
            let request = request(&options, &Surroundings::default(), None).unwrap();
            assert_eq!(request.source.sync, is_flushed, "{said}");
        }
    }
}
