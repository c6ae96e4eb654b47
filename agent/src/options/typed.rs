//! The options of one action, typed and checked against each other.

use super::cipher::cipher;
use super::cloud::CloudOptions;
use super::date;
use super::effect;
use super::ftp::FtpOptions;
use super::holding::Holding;
use super::keeping::keep_each;
use super::medium::{self, ImagePick, Medium, Pick, ServerPick};
use super::mirror::Place;
use super::name::{self, Name};
use super::pass_phrase::{reference, secret_id};
use super::placing::Placing;
use super::servers::ServerOptions;
use super::snapshot::SnapshotOptions;
use super::values::{OptionsError, Values};
use crate::databases::mariadb::LogPlace;
use crate::databases::postgresql::Lsn;
use crate::openstack::cindernative::options::CinderNativeOptions;
use crate::openstack::project::options::ProjectOptions;
use freezer_model::retention::Period;
use freezer_vault::Engine;
use freezer_vault::encryption::{Cipher, PassPhrase};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    Backup,
    Restore,
    Admin,
    Verify,
    Hold,
    Release,
    Adopt,
    Info,
    Exec,
}

impl ActionKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Admin => "admin",
            Self::Verify => "verify",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Adopt => "adopt",
            Self::Info => "info",
            Self::Exec => "exec",
        }
    }
}

/// Which states action verify reads, when no date is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyScope {
    /// The newest, and all it is built on.
    #[default]
    Newest,
    /// Every one.
    All,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageOptions {
    Local,
    Swift,
    Ssh { host: String, port: u16, username: String, key: PathBuf, known_hosts: PathBuf },
    S3(S3Options),
    Ftp(FtpOptions),
}

impl StorageOptions {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Swift => "swift",
            Self::Ssh { .. } => "ssh",
            Self::S3(_) => "s3",
            Self::Ftp(ftp) if ftp.has_tls => "ftps",
            Self::Ftp(_) => "ftp",
        }
    }

    /// What a record says of where the storage is. Values that say nothing are `""`.
    pub fn place(&self) -> Map<String, Value> {
        const KEYS: [&str; 8] = [
            "ssh_host",
            "ssh_username",
            "ssh_port",
            "ftp_host",
            "ftp_username",
            "ftp_port",
            "endpoint",
            "s3_region",
        ];
        let mut place: Map<String, Value> = KEYS.iter().map(|key| ((*key).to_owned(), json!(""))).collect();
        let mut says = |key: &str, value: Value| place.insert(key.to_owned(), value);
        match self {
            Self::Local | Self::Swift => {}
            Self::Ssh { host, port, username, .. } => {
                says("ssh_host", json!(host));
                says("ssh_username", json!(username));
                says("ssh_port", json!(port));
            }
            Self::Ftp(ftp) => {
                says("ftp_host", json!(ftp.host));
                says("ftp_username", json!(ftp.username));
                says("ftp_port", json!(ftp.port));
            }
            Self::S3(s3) => {
                says("endpoint", json!(s3.endpoint));
                says("s3_region", json!(s3.region));
            }
        }
        place
    }

    /// The machine of a storage that is one, else nothing.
    pub fn machine(&self) -> &str {
        match self {
            Self::Ssh { host, .. } => host,
            Self::Ftp(ftp) => &ftp.host,
            Self::Local | Self::Swift | Self::S3(_) => "",
        }
    }
}

/// Commands around an action.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    pub before: Option<String>,
    pub after: Option<String>,
    pub timeout_secs: u64,
}

impl Hooks {
    fn from_values(values: &Values) -> Result<Self, OptionsError> {
        Ok(Self {
            before: values.text("hook_before")?,
            after: values.text("hook_after")?,
            timeout_secs: values.int("hook_timeout", 1..=86_400)?.unwrap_or(600) as u64,
        })
    }
}

/// Names what opens the storage, in Barbican.
pub(crate) const STORAGE_SECRET: &str = "storage_secret_ref";

/// A service that speaks the protocol of S3, and the keys if the action has them itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Options {
    pub endpoint: String,
    pub region: String,
    pub has_bucket_in_host: bool,
    /// The secret one is empty where Barbican has it.
    pub keys: Option<(String, Secret)>,
    /// In the form of the AWS tools; looked at when the action has no keys.
    pub credentials_file: PathBuf,
}

/// Everything one action needs to know. Sizes in bytes, rates in bytes a second, times in epoch seconds.
#[derive(Clone, Debug)]
pub struct ActionOptions {
    pub action: ActionKind,
    pub medium: Medium,
    pub cloud: CloudOptions,
    pub storage: StorageOptions,
    pub container: String,
    /// Several storages, of which `storage` and `container` are the first; empty when there is one.
    pub storages: Vec<Place>,
    pub backup_name: String,
    /// Nobody gave a name: it comes from what is saved.
    pub is_default_name: bool,
    /// Older or other programs' spellings of the name.
    pub also_named: Vec<String>,
    pub hostname: String,
    /// Nobody gave a host name: it is this machine's.
    pub is_own_hostname: bool,
    pub path_to_backup: Option<PathBuf>,
    pub exclude: Option<String>,
    pub exclude_rules: Vec<String>,
    pub exclude_rules_file: Option<PathBuf>,
    pub include_rules: Vec<String>,
    pub dereference: String,
    pub one_file_system: bool,
    pub sync: bool,
    pub dry_run: bool,
    pub incremental: bool,
    pub max_level: Option<u32>,
    pub always_level: Option<u32>,
    pub restart_always_level_days: Option<f64>,
    /// Whose backups a restore into a folder looks for first.
    pub reads_engine: Engine,
    pub compression: String,
    pub compression_level: Option<i32>,
    pub encrypt_pass_file: Option<PathBuf>,
    /// Id of the secret in Barbican that is the pass phrase.
    pub encrypt_secret: Option<String>,
    /// What it holds, once it was fetched.
    pub secret: Option<PassPhrase>,
    pub encryption_cipher: Cipher,
    /// Nothing said: that of the chain.
    pub encryption_kdf: Option<String>,
    pub encrypt_names: bool,
    pub max_segment_size_bytes: u64,
    pub restore_abs_path: Option<PathBuf>,
    pub restore_from_date: Option<i64>,
    pub overwrite: bool,
    pub placing: Placing,
    pub verify_scope: VerifyScope,
    /// Percent.
    pub verify_sample: Option<f64>,
    pub hold: Holding,
    pub remove_older_than_days: Option<f64>,
    pub remove_from_date: Option<i64>,
    pub keep_last: Option<u32>,
    pub keep_each: [Option<u32>; Period::ALL.len()],
    pub upload_limit: Option<u64>,
    pub download_limit: Option<u64>,
    pub command: Option<String>,
    pub exec_shell: bool,
    pub exec_timeout_secs: Option<u64>,
    pub consistency_check: bool,
    pub consistency_checksum: Option<String>,
    pub trust_id: Option<String>,
    pub project_id: Option<String>,
    pub insecure: bool,
    /// Id of the secret in Barbican that opens the storage.
    pub storage_secret: Option<String>,
    pub ssh_password: Option<Secret>,
    pub ssh_password_file: Option<PathBuf>,
    pub ssh_key_passphrase_file: Option<PathBuf>,
    /// What whoever wrote these options should know.
    pub notes: Vec<String>,
    pub metadata_out: Option<String>,
    pub quiet: bool,
    pub log_file: Option<String>,
    /// Set when the medium is Cinder's own backup service.
    pub cinder_native: Option<CinderNativeOptions>,
    /// What the control plane consists of.
    pub cloud_conf: Option<PathBuf>,
    /// Where a database server is, and the login.
    pub mysql_conf: Option<PathBuf>,
    pub postgresql_conf: Option<PathBuf>,
    pub recovery_target_lsn: Option<Lsn>,
    pub recovery_target_binlog: Option<LogPlace>,
    /// MongoDB and SQL Server.
    pub servers: ServerOptions,
    /// What prints the stream to save; without it the stream comes in on standard input.
    pub stream_command: Option<String>,
    pub stream_timeout_secs: Option<u64>,
    pub hooks: Hooks,
    /// Of the file system, before it is read.
    pub snapshot: Option<SnapshotOptions>,
    /// Set when the medium is a project.
    pub project: Option<ProjectOptions>,
    /// HBN of the set that the backup is made for; nobody's option, but what an action that makes several backups says.
    pub part_of: Option<String>,
    /// Resources of the cloud that are moved at the same time, if the host allows so many.
    pub parallel: usize,
}

/// A text that never shows in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub zeroize::Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl ActionOptions {
    /// Without `storages`.
    pub(super) fn of_one_storage(values: &Values, hostname: &str) -> Result<Self, OptionsError> {
        let text = |key: &str| values.text(key);
        let path = |key: &str| values.text(key).map(|text| text.map(|text| expand_home(&text)));
        let action = action_kind(values)?;
        let medium = medium_of(values, action)?;
        let Name { name, is_default, others } = name::choose(values, hostname, &medium)?;
        let small =
            |key: &str| values.int(key, 0..=1_000_000).map(|number| number.map(|number| number as u32));
        let options = Self {
            action,
            cloud: CloudOptions::from_values(values)?,
            storage: storage(values)?,
            container: text("container")?.unwrap_or_default(),
            storages: Vec::new(),
            backup_name: name,
            is_default_name: is_default,
            also_named: others,
            hostname: text("hostname")?.unwrap_or_else(|| hostname.to_owned()),
            is_own_hostname: !values.is_set("hostname"),
            path_to_backup: path("path_to_backup")?,
            exclude: text("exclude")?,
            exclude_rules: values.list("exclude_rules")?,
            exclude_rules_file: path("exclude_rules_file")?,
            include_rules: values.list("include_rules")?,
            dereference: dereference(values)?,
            one_file_system: values.flag("one_file_system")?,
            sync: values.flag("sync")?,
            dry_run: values.flag("dry_run")?,
            incremental: values.flag("incremental")?,
            max_level: small("max_level")?.filter(|level| *level > 0),
            always_level: small("always_level")?.filter(|level| *level > 0),
            restart_always_level_days: positive(values, "restart_always_level")?,
            reads_engine: match text("engine_name")?.as_deref() {
                Some("rsync" | "rsyncv2") => Engine::Rsync,
                Some("osbrick") => Engine::Osbrick,
                Some("nova") => Engine::Nova,
                Some("glance") => Engine::Glance,
                Some("cinder") => Engine::Cinder,
                _ => Engine::Tar,
            },
            compression: text("compression")?.unwrap_or_default(),
            compression_level: values.int("compression_level", -7..=22)?.map(|level| level as i32),
            encrypt_pass_file: path("encrypt_pass_file")?,
            encrypt_secret: secret_id(values)?,
            secret: None,
            encryption_cipher: cipher(values, action)?,
            encryption_kdf: text("encryption_kdf")?,
            encrypt_names: values.flag("encrypt_names")?,
            max_segment_size_bytes: values
                .int("max_segment_size", 65_536..=5_368_709_120)?
                .unwrap_or(33_554_432) as u64,
            restore_abs_path: path("restore_abs_path")?,
            restore_from_date: time(values, "restore_from_date")?,
            overwrite: values.flag("overwrite")?,
            placing: if action == ActionKind::Restore {
                Placing::from_values(values)?
            } else {
                Placing::default()
            },
            verify_scope: verify_scope(values)?,
            verify_sample: verify_sample(values)?,
            hold: Holding::from_values(values, action, hostname)?,
            remove_older_than_days: positive(values, "remove_older_than")?,
            remove_from_date: time(values, "remove_from_date")?,
            keep_last: small("keep_last")?.filter(|count| *count > 0),
            keep_each: keep_each(values)?,
            upload_limit: values.rate("upload_limit")?,
            download_limit: values.rate("download_limit")?,
            command: text("command")?,
            exec_shell: values.flag("exec_shell")?,
            exec_timeout_secs: exec_timeout(values)?,
            consistency_check: values.flag("consistency_check")?,
            consistency_checksum: text("consistency_checksum")?,
            trust_id: text("os_trust_id")?,
            project_id: text("project_id")?,
            insecure: values.flag("insecure")?,
            storage_secret: reference(values, STORAGE_SECRET)?,
            ssh_password: text("ssh_password")?.map(|password| Secret(password.into())),
            ssh_password_file: path("ssh_password_file")?,
            ssh_key_passphrase_file: path("ssh_key_passphrase_file")?,
            notes: effect::notes(values, action, &medium)?,
            metadata_out: text("metadata_out")?,
            quiet: values.flag("quiet")?,
            log_file: text("log_file")?,
            cinder_native: matches!(medium, Medium::CinderNative(_))
                .then(|| CinderNativeOptions::from_values(values, action))
                .transpose()?,
            cloud_conf: path("cloud_conf")?,
            mysql_conf: path("mysql_conf")?,
            postgresql_conf: path("postgresql_conf")?,
            recovery_target_lsn: text("recovery_target_lsn")?
                .map(|text| Lsn::parse(&text))
                .transpose()
                .map_err(|cause| OptionsError::bad("recovery_target_lsn", cause))?,
            recovery_target_binlog: text("recovery_target_binlog")?
                .map(|text| LogPlace::parse(&text))
                .transpose()
                .map_err(|cause| OptionsError::bad("recovery_target_binlog", cause))?,
            servers: ServerOptions::from_values(values, action, &medium)?,
            stream_command: text("stream_command")?,
            stream_timeout_secs: exec_timeout(values)?.filter(|_| values.is_set("timeout")),
            hooks: Hooks::from_values(values)?,
            snapshot: SnapshotOptions::from_values(values, action, &medium)?,
            project: matches!(medium, Medium::Project)
                .then(|| ProjectOptions::from_values(values, action))
                .transpose()?,
            part_of: None,
            parallel: values.int("parallel_resources", 1..=64)?.unwrap_or(4) as usize,
            medium,
        };
        options.check()?;
        Ok(options)
    }

    /// Resources that are moved at the same time, as far as the host allows.
    pub fn at_once(&self, host_limit: Option<usize>) -> usize {
        self.parallel.min(host_limit.unwrap_or(usize::MAX)).max(1)
    }

    fn check(&self) -> Result<(), OptionsError> {
        // Checked on their own.
        if self.cinder_native.is_some() {
            return Ok(());
        }
        let need = |there: bool, what: &str| {
            let text = || format!("action {} needs {what}", self.action.as_str());
            if there { Ok(()) } else { Err(OptionsError::Conflict(text())) }
        };
        let levels = self.max_level.is_some()
            || self.always_level.is_some()
            || self.restart_always_level_days.is_some();
        match self.action {
            ActionKind::Backup => {
                let is_named = match &self.medium {
                    Medium::Files => self.path_to_backup.is_some(),
                    Medium::ControlPlane => self.cloud_conf.is_some(),
                    Medium::Mysql | Medium::MysqlFiles => self.mysql_conf.is_some(),
                    Medium::Postgresql => self.postgresql_conf.is_some(),
                    Medium::Mongo => self.servers.mongo_conf.is_some(),
                    Medium::SqlServer => self.servers.sql_server_conf.is_some(),
                    Medium::Stream => !self.is_default_name,
                    Medium::Volume(Pick::Unnamed) => false,
                    Medium::Images(ImagePick::One(Pick::Unnamed)) => false,
                    Medium::Servers(ServerPick::One(Pick::Unnamed)) => false,
                    _ => true,
                };
                need(is_named, self.medium.needed())?;
                need(
                    !self.medium.is_always_whole() || !self.incremental,
                    "incremental=false in this mode: streams and dumps are always saved whole",
                )?;
                need(
                    !self.medium.has_logs() || self.always_level.is_none(),
                    "max_level instead of always_level in this mode: each level holds the log since the one before",
                )?;
                need(
                    !levels || self.incremental,
                    "incremental=true when max_level, always_level or restart_always_level is given",
                )
            }
            ActionKind::Restore => need(
                !self.medium.is_archive()
                    || self.restore_abs_path.is_some()
                    || self.servers.loads && self.medium == Medium::SqlServer,
                "restore_abs_path (where to restore to)",
            ),
            ActionKind::Admin => need(
                self.remove_older_than_days.is_some()
                    || self.remove_from_date.is_some()
                    || self.keep_last.is_some()
                    || self.keep_each.iter().any(Option::is_some),
                "remove_older_than, remove_from_date, keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly or keep_yearly",
            ),
            ActionKind::Exec => need(self.command.is_some(), "command"),
            ActionKind::Verify
            | ActionKind::Hold
            | ActionKind::Release
            | ActionKind::Adopt
            | ActionKind::Info => Ok(()),
        }
    }
}

fn action_kind(values: &Values) -> Result<ActionKind, OptionsError> {
    Ok(match values.text("action")?.unwrap_or_default().as_str() {
        "restore" => ActionKind::Restore,
        "admin" => ActionKind::Admin,
        "verify" => ActionKind::Verify,
        "hold" => ActionKind::Hold,
        "release" => ActionKind::Release,
        "adopt" => ActionKind::Adopt,
        "info" => ActionKind::Info,
        "exec" => ActionKind::Exec,
        _ => ActionKind::Backup,
    })
}

fn verify_scope(values: &Values) -> Result<VerifyScope, OptionsError> {
    let is_all = values.text("verify_scope")?.as_deref() == Some("all");
    if is_all && values.is_set("restore_from_date") {
        let text = "verify_scope=all reads every state; leave restore_from_date out, or choose newest";
        return Err(OptionsError::Conflict(text.to_owned()));
    }
    Ok(if is_all { VerifyScope::All } else { VerifyScope::Newest })
}

fn verify_sample(values: &Values) -> Result<Option<f64>, OptionsError> {
    match values.float("verify_sample")? {
        Some(percent) if !(percent > 0.0 && percent <= 100.0) => {
            Err(OptionsError::bad("verify_sample", "takes a percentage above 0, up to 100"))
        }
        percent => Ok(percent),
    }
}

/// What the options can name but this agent does not do is refused, never quietly done otherwise.
fn medium_of(values: &Values, action: ActionKind) -> Result<Medium, OptionsError> {
    if matches!(action, ActionKind::Exec) {
        return Ok(Medium::Files);
    }
    medium::choose(values)
}

fn storage(values: &Values) -> Result<StorageOptions, OptionsError> {
    match values.text("storage")?.unwrap_or_default().as_str() {
        "local" => Ok(StorageOptions::Local),
        "swift" => Ok(StorageOptions::Swift),
        "ssh" => {
            let host = values
                .text("ssh_host")?
                .ok_or_else(|| OptionsError::bad("ssh_host", "is needed by storage ssh"))?;
            Ok(StorageOptions::Ssh {
                host,
                port: values.int("ssh_port", 1..=65535)?.unwrap_or(22) as u16,
                username: values.text("ssh_username")?.unwrap_or_else(|| "root".to_owned()),
                key: expand_home(&values.text("ssh_key")?.unwrap_or_default()),
                known_hosts: expand_home(&values.text("ssh_known_hosts")?.unwrap_or_default()),
            })
        }
        "s3" => s3(values).map(StorageOptions::S3),
        "ftp" => FtpOptions::from_values(values, false).map(StorageOptions::Ftp),
        "ftps" => FtpOptions::from_values(values, true).map(StorageOptions::Ftp),
        other => Err(OptionsError::bad(
            "storage",
            format!("'{other}' is not available in this agent; it has local, swift, ssh, s3, ftp and ftps"),
        )),
    }
}

fn s3(values: &Values) -> Result<S3Options, OptionsError> {
    let endpoint =
        values.text("endpoint")?.ok_or_else(|| OptionsError::bad("endpoint", "is needed by storage s3"))?;
    let is_in_barbican = values.is_set(STORAGE_SECRET);
    let keys = match (values.text("access_key")?, values.text("secret_key")?) {
        (Some(access), _) if is_in_barbican => Some((access, Secret(String::new().into()))),
        (None, _) if is_in_barbican => {
            return Err(OptionsError::bad("access_key", format!("is missing beside {STORAGE_SECRET}")));
        }
        (Some(access), Some(secret)) => Some((access, Secret(secret.into()))),
        (None, None) => None,
        (Some(_), None) => return Err(OptionsError::bad("secret_key", "is missing beside access_key")),
        (None, Some(_)) => return Err(OptionsError::bad("access_key", "is missing beside secret_key")),
    };
    Ok(S3Options {
        endpoint,
        region: values.text("s3_region")?.unwrap_or_default(),
        has_bucket_in_host: values.flag("s3_bucket_in_host")?,
        keys,
        credentials_file: expand_home(&values.text("s3_credentials_file")?.unwrap_or_default()),
    })
}

fn dereference(values: &Values) -> Result<String, OptionsError> {
    Ok(match values.text("dereference_symlink")?.as_deref() {
        None | Some("none") => "none".to_owned(),
        // The check box of the web interface.
        Some("true") => "soft".to_owned(),
        Some(word) => word.to_owned(),
    })
}

fn positive(values: &Values, key: &str) -> Result<Option<f64>, OptionsError> {
    match values.float(key)? {
        Some(number) if number < 0.0 => Err(OptionsError::bad(key, "cannot be negative")),
        Some(0.0) => Ok(None),
        other => Ok(other),
    }
}

fn time(values: &Values, key: &str) -> Result<Option<i64>, OptionsError> {
    values
        .text(key)?
        .map(|text| date::parse(&text))
        .transpose()
        .map_err(|cause| OptionsError::bad(key, cause))
}

/// Of action exec: the option's own default is for OpenStack resources.
const USUAL_EXEC_SECS: u64 = 3600;

/// When action exec is ended; 0 lets it run for ever.
fn exec_timeout(values: &Values) -> Result<Option<u64>, OptionsError> {
    let seconds = values.int("timeout", 0..=31_536_000)?.filter(|_| values.is_set("timeout"));
    Ok(match seconds {
        None => Some(USUAL_EXEC_SECS),
        Some(seconds) => u64::try_from(seconds).ok().filter(|seconds| *seconds > 0),
    })
}

pub(super) fn expand_home(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(text),
    }
}
