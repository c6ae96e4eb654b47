//! The options of mode cindernative, checked.

use crate::options::typed::ActionKind;
use crate::options::values::{OptionsError, Values};
use freezer_model::retention::Period;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CinderNativeOptions {
    pub volume_id: Option<String>,
    pub backup_id: Option<String>,
    pub backup_az: Option<String>,
    /// Template of the container: {project_id}, {volume_id} and {backup_name} are filled in.
    pub container: String,
    pub freezer_only: bool,
    pub fullbackup_rotation: Option<u32>,
    /// Whether a restore writes over the volume that is named: as upstream does, unless told otherwise.
    pub overwrite: bool,
    /// Longest wait for Cinder, in seconds.
    pub patience_secs: u64,
}

/// Cinder needs hours for big volumes; the option's default is for smaller things.
const PATIENCE_SECS: i64 = 24 * 3600;
/// Who gives one of these wants an encrypted backup.
const ENCRYPTING: [&str; 2] = ["encrypt_pass_file", "encrypt_secret_ref"];

impl CinderNativeOptions {
    pub fn from_values(values: &Values, action: ActionKind) -> Result<Self, OptionsError> {
        let patience = values.int("timeout", 0..=31_536_000)?;
        let patience =
            patience.filter(|seconds| values.is_set("timeout") && *seconds > 0).unwrap_or(PATIENCE_SECS);
        let container = match values.text("cindernative_backup_container")? {
            Some(template) => template,
            None => values.text("container")?.unwrap_or_default(),
        };
        let rotation = values.int("fullbackup_rotation", 1..=1_000_000)?;
        let options = Self {
            volume_id: id(values, "cindernative_vol_id")?,
            backup_id: id(values, "cindernative_backup_id")?,
            backup_az: values.text("cindernative_backup_az")?,
            container,
            freezer_only: values.flag("cindernative_freezer_only")?,
            fullbackup_rotation: rotation.and_then(|count| u32::try_from(count).ok()),
            overwrite: !values.is_set("overwrite") || values.flag("overwrite")?,
            patience_secs: patience.unsigned_abs(),
        };
        options.check(values, action)?;
        Ok(options)
    }

    fn check(&self, values: &Values, action: ActionKind) -> Result<(), OptionsError> {
        let conflict = |text: &str| Err(OptionsError::Conflict(text.to_owned()));
        match action {
            ActionKind::Backup | ActionKind::Admin if self.volume_id.is_none() => {
                conflict("mode cindernative needs cindernative_vol_id (the volume)")
            }
            // It would be in the clear, and somebody would rely on the contrary.
            ActionKind::Backup if ENCRYPTING.iter().any(|key| values.is_set(key)) => conflict(
                "Freezer does not encrypt Cinder's own backups, which are as Cinder makes them: leave encrypt_pass_file and \
                 encrypt_secret_ref out (also of [DEFAULT] in the agent's configuration file, where a command takes them from), or \
                 use mode cinder, which encrypts",
            ),
            ActionKind::Backup if self.container.contains('/') => Err(OptionsError::bad(
                "cindernative_backup_container",
                format!(
                    "'{}' has a '/', which no container of Cinder's backup service may have",
                    self.container
                ),
            )),
            ActionKind::Backup
                if !values.flag("incremental")?
                    && ["max_level", "restart_always_level", "always_level"]
                        .iter()
                        .any(|key| values.is_set(key)) =>
            {
                conflict("max_level, always_level and restart_always_level need incremental=true")
            }
            ActionKind::Backup if self.backup_id.is_some() => conflict(
                "cindernative_backup_id names a backup to restore; action backup takes cindernative_vol_id",
            ),
            ActionKind::Restore if self.volume_id.is_none() && self.backup_id.is_none() => {
                conflict("a restore of mode cindernative needs cindernative_backup_id or cindernative_vol_id")
            }
            ActionKind::Admin
                if self.fullbackup_rotation.is_none()
                    && !values.is_set("remove_older_than")
                    && !values.is_set("remove_from_date") =>
            {
                conflict(
                    "action admin of mode cindernative needs fullbackup_rotation, remove_older_than or remove_from_date",
                )
            }
            ActionKind::Admin
                if values.is_set("keep_last")
                    || Period::ALL.iter().any(|period| values.is_set(period.option())) =>
            {
                conflict(
                    "mode cindernative keeps full backups by fullbackup_rotation, not by keep_last or keep_daily and the like",
                )
            }
            ActionKind::Verify => conflict(
                "backups of mode cindernative are in Cinder's own format, which only Cinder reads: restore one into a new volume \
                 to check it",
            ),
            ActionKind::Hold | ActionKind::Release => conflict(
                "backups of mode cindernative are Cinder's own, and everybody who may delete them there can do so: they cannot be held",
            ),
            _ => Ok(()),
        }
    }
}

/// An id that may stand in a path.
fn id(values: &Values, key: &str) -> Result<Option<String>, OptionsError> {
    let Some(text) = values.text(key)? else { return Ok(None) };
    match uuid::Uuid::parse_str(text.trim()) {
        Ok(id) => Ok(Some(id.hyphenated().to_string())),
        Err(_) => Err(OptionsError::bad(key, format!("'{text}' is no id (a UUID)"))),
    }
}
