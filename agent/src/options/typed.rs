//! The options of one action, typed and checked against each other.

use super::cloud::CloudOptions;
use super::date;
use super::medium::{self, ImagePick, Medium, Pick, ServerPick};
use super::values::{OptionsError, Values};
use crate::openstack::cindernative::options::CinderNativeOptions;
use crate::openstack::project::options::ProjectOptions;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    Backup,
    Restore,
    Admin,
    Info,
    Exec,
}

impl ActionKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Admin => "admin",
            Self::Info => "info",
            Self::Exec => "exec",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageOptions {
    Local,
    Swift,
    Ssh { host: String, port: u16, username: String, key: PathBuf, known_hosts: PathBuf },
}

impl StorageOptions {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Swift => "swift",
            Self::Ssh { .. } => "ssh",
        }
    }
}

/// Everything one action needs to know. Sizes in bytes, rates in bytes a second, times in epoch seconds.
#[derive(Clone, Debug)]
pub struct ActionOptions {
    pub action: ActionKind,
    pub medium: Medium,
    pub cloud: CloudOptions,
    pub storage: StorageOptions,
    pub container: String,
    pub backup_name: String,
    pub hostname: String,
    pub path_to_backup: Option<PathBuf>,
    pub exclude: Option<String>,
    pub dereference: String,
    pub one_file_system: bool,
    pub sync: bool,
    pub dry_run: bool,
    pub incremental: bool,
    pub max_level: Option<u32>,
    pub always_level: Option<u32>,
    pub restart_always_level_days: Option<f64>,
    pub compression: String,
    pub compression_level: Option<i32>,
    pub encrypt_pass_file: Option<PathBuf>,
    pub encryption_kdf: String,
    pub max_segment_size_bytes: u64,
    pub restore_abs_path: Option<PathBuf>,
    pub restore_from_date: Option<i64>,
    pub overwrite: bool,
    pub remove_older_than_days: Option<f64>,
    pub remove_from_date: Option<i64>,
    pub keep_last: Option<u32>,
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
    pub ssh_password: Option<Secret>,
    pub metadata_out: Option<String>,
    pub quiet: bool,
    pub log_file: Option<String>,
    /// Set when the medium is Cinder's own backup service.
    pub cinder_native: Option<CinderNativeOptions>,
    /// What the control plane consists of.
    pub cloud_conf: Option<PathBuf>,
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
    /// Checks and converts the merged values. `hostname` is this machine's.
    pub fn from_values(values: &Values, hostname: &str) -> Result<Self, OptionsError> {
        let text = |key: &str| values.text(key);
        let path = |key: &str| values.text(key).map(|text| text.map(|text| expand_home(&text)));
        let action = action_kind(values)?;
        let medium = medium_of(values, action)?;
        let small =
            |key: &str| values.int(key, 0..=1_000_000).map(|number| number.map(|number| number as u32));
        let options = Self {
            action,
            cloud: CloudOptions::from_values(values)?,
            storage: storage(values)?,
            container: text("container")?.unwrap_or_default(),
            backup_name: backup_name(values, hostname, &medium)?,
            hostname: text("hostname")?.unwrap_or_else(|| hostname.to_owned()),
            path_to_backup: path("path_to_backup")?,
            exclude: text("exclude")?,
            dereference: dereference(values)?,
            one_file_system: values.flag("one_file_system")?,
            sync: values.flag("sync")?,
            dry_run: values.flag("dry_run")?,
            incremental: values.flag("incremental")?,
            max_level: small("max_level")?.filter(|level| *level > 0),
            always_level: small("always_level")?.filter(|level| *level > 0),
            restart_always_level_days: positive(values, "restart_always_level")?,
            compression: text("compression")?.unwrap_or_default(),
            compression_level: values.int("compression_level", -7..=22)?.map(|level| level as i32),
            encrypt_pass_file: path("encrypt_pass_file")?,
            encryption_kdf: text("encryption_kdf")?.unwrap_or_default(),
            max_segment_size_bytes: values
                .int("max_segment_size", 65_536..=5_368_709_120)?
                .unwrap_or(33_554_432) as u64,
            restore_abs_path: path("restore_abs_path")?,
            restore_from_date: time(values, "restore_from_date")?,
            overwrite: values.flag("overwrite")?,
            remove_older_than_days: positive(values, "remove_older_than")?,
            remove_from_date: time(values, "remove_from_date")?,
            keep_last: small("keep_last")?.filter(|count| *count > 0),
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
            ssh_password: text("ssh_password")?.map(|password| Secret(password.into())),
            metadata_out: text("metadata_out")?,
            quiet: values.flag("quiet")?,
            log_file: text("log_file")?,
            cinder_native: matches!(medium, Medium::CinderNative(_))
                .then(|| CinderNativeOptions::from_values(values, action))
                .transpose()?,
            cloud_conf: path("cloud_conf")?,
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
                    Medium::Volume(Pick::Unnamed) => false,
                    Medium::Images(ImagePick::One(Pick::Unnamed)) => false,
                    Medium::Servers(ServerPick::One(Pick::Unnamed)) => false,
                    _ => true,
                };
                need(is_named, self.medium.needed())?;
                need(
                    self.medium != Medium::ControlPlane || !self.incremental,
                    "incremental=false in mode cloud: a control plane is always saved whole",
                )?;
                need(
                    !levels || self.incremental,
                    "incremental=true when max_level, always_level or restart_always_level is given",
                )
            }
            ActionKind::Restore => need(
                !matches!(self.medium, Medium::Files | Medium::ControlPlane)
                    || self.restore_abs_path.is_some(),
                "restore_abs_path (where to restore to)",
            ),
            ActionKind::Admin => need(
                self.remove_older_than_days.is_some()
                    || self.remove_from_date.is_some()
                    || self.keep_last.is_some(),
                "remove_older_than, remove_from_date or keep_last",
            ),
            ActionKind::Exec => need(self.command.is_some(), "command"),
            ActionKind::Info => Ok(()),
        }
    }
}

fn action_kind(values: &Values) -> Result<ActionKind, OptionsError> {
    Ok(match values.text("action")?.unwrap_or_default().as_str() {
        "restore" => ActionKind::Restore,
        "admin" => ActionKind::Admin,
        "info" => ActionKind::Info,
        "exec" => ActionKind::Exec,
        _ => ActionKind::Backup,
    })
}

/// What the options can name but this agent does not do is refused, never quietly done otherwise.
fn medium_of(values: &Values, action: ActionKind) -> Result<Medium, OptionsError> {
    if matches!(action, ActionKind::Exec) {
        return Ok(Medium::Files);
    }
    if values.text("snapshot")?.is_some() {
        return Err(OptionsError::bad("snapshot", "file-system snapshots are not available in this agent"));
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
        other => Err(OptionsError::bad(
            "storage",
            format!("'{other}' is not available in this agent; it has local, swift and ssh"),
        )),
    }
}

/// Fills the template of a backup name. Upstream keeps the raw template in its paths (B14); a name
/// without braces is the same in both.
fn backup_name(values: &Values, hostname: &str, medium: &Medium) -> Result<String, OptionsError> {
    let template = values.text("backup_name")?.unwrap_or_default();
    let get = |key: &str| values.text(key).map(Option::unwrap_or_default);
    let said = get("mode")?;
    let name = template
        .replace("{mode}", if matches!(medium, Medium::Files) { said.as_str() } else { medium.mode() })
        .replace("{backup_media}", medium.mode())
        .replace("{storage}", &get("storage")?)
        .replace("{container}", &get("container")?)
        .replace("{project_id}", &get("project_id")?)
        .replace("{resource_id}", medium.resource().unwrap_or(hostname));
    if name.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(OptionsError::bad("backup_name", format!("'{name}' has an empty or dot part")));
    }
    Ok(name)
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

/// Action exec ends at `timeout` only when somebody set one: the default is for OpenStack resources.
fn exec_timeout(values: &Values) -> Result<Option<u64>, OptionsError> {
    let seconds = values.int("timeout", 0..=31_536_000)?;
    Ok(seconds.filter(|seconds| values.is_set("timeout") && *seconds > 0).map(|seconds| seconds as u64))
}

fn expand_home(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(text),
    }
}
