//! Which snapshot is taken before a folder is read.

use super::medium::Medium;
use super::typed::{ActionKind, expand_home};
use super::values::{OptionsError, Values};
use std::path::PathBuf;

/// A snapshot that lives longer is removed, and the backup fails.
const USUAL_LIFETIME_SECS: i64 = 86_400;
const USUAL_FREEZE_SECS: i64 = 30;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    pub kind: SnapshotKind,
    /// How long it may live.
    pub lifetime_secs: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    /// Btrfs and ZFS where the path lies on one, else LVM.
    Guessed(LvmOptions),
    Lvm(LvmOptions),
    Btrfs,
    Zfs,
    Commands(SnapshotCommands),
}

/// What upstream's `lvm_…` say; what is not said is found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LvmOptions {
    pub group: Option<String>,
    /// Name or path of the volume.
    pub volume: Option<String>,
    pub name: Option<String>,
    pub writable: bool,
    /// As `lvcreate` takes it: an amount, or a share such as `80%FREE`.
    pub size: String,
    pub mount: Option<PathBuf>,
}

/// Programs of the operator, for storage that only they know to snapshot.
#[derive(Clone, PartialEq, Eq)]
pub struct SnapshotCommands {
    pub take: String,
    pub mount: Option<String>,
    pub remove: String,
    pub in_shell: bool,
    /// Longest time that the file system stands still while the first one runs; `None` does not freeze it.
    pub freeze_secs: Option<u64>,
}

impl std::fmt::Debug for SnapshotCommands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A command may hold a password.
        f.debug_struct("SnapshotCommands").field("freeze_secs", &self.freeze_secs).finish_non_exhaustive()
    }
}

impl SnapshotOptions {
    /// `None` where no snapshot is wanted, or nothing is read.
    pub(super) fn from_values(
        values: &Values,
        action: ActionKind,
        medium: &Medium,
    ) -> Result<Option<Self>, OptionsError> {
        let (said, take) = (values.text("snapshot")?, values.text("snapshot_command")?);
        if action != ActionKind::Backup || (said.is_none() && take.is_none()) {
            return Ok(None);
        }
        if *medium != Medium::Files {
            let text =
                format!("mode {} takes no snapshot of a file system; leave snapshot out", medium.mode());
            return Err(OptionsError::Conflict(text));
        }
        if !values.flag("one_file_system")? {
            let text = "a snapshot holds one file system: with snapshot, one_file_system cannot be false";
            return Err(OptionsError::Conflict(text.to_owned()));
        }
        let kind = match (said.as_deref(), take) {
            (Some("command") | None, Some(take)) => SnapshotKind::Commands(commands(values, take)?),
            (Some("command"), None) => {
                return Err(OptionsError::bad("snapshot_command", "is needed by snapshot=command"));
            }
            (_, Some(_)) => {
                let text = "snapshot_command goes with snapshot=command, or with no snapshot";
                return Err(OptionsError::Conflict(text.to_owned()));
            }
            (Some("btrfs"), None) => SnapshotKind::Btrfs,
            (Some("zfs"), None) => SnapshotKind::Zfs,
            (Some("lvm"), None) => SnapshotKind::Lvm(lvm(values)?),
            // Upstream takes any text for a yes.
            _ => SnapshotKind::Guessed(lvm(values)?),
        };
        let lifetime = values.int("snapshot_timeout", 1..=31_536_000)?.unwrap_or(USUAL_LIFETIME_SECS);
        Ok(Some(Self { kind, lifetime_secs: lifetime as u64 }))
    }

    pub fn runs_commands(&self) -> bool {
        matches!(self.kind, SnapshotKind::Commands(_))
    }
}

fn commands(values: &Values, take: String) -> Result<SnapshotCommands, OptionsError> {
    let remove = values.text("snapshot_remove_command")?.ok_or_else(|| {
        OptionsError::bad(
            "snapshot_remove_command",
            "is needed beside snapshot_command: what is taken must go",
        )
    })?;
    let seconds = values.int("fsfreeze_timeout", 1..=600)?.unwrap_or(USUAL_FREEZE_SECS) as u64;
    Ok(SnapshotCommands {
        take,
        mount: values.text("snapshot_mount_command")?,
        remove,
        in_shell: values.flag("exec_shell")?,
        freeze_secs: values.flag("fsfreeze")?.then_some(seconds),
    })
}

fn lvm(values: &Values) -> Result<LvmOptions, OptionsError> {
    let plain = |key: &str| -> Result<Option<String>, OptionsError> {
        let text = values.text(key)?;
        match &text {
            Some(name) if !is_plain(name) => {
                Err(OptionsError::bad(key, format!("'{name}' is no name that LVM takes")))
            }
            _ => Ok(text),
        }
    };
    let volume = values.text("lvm_srcvol")?;
    let parts = |text: &str| text.strip_prefix("/dev/").unwrap_or(text).split('/').all(is_plain);
    if let Some(bad) = volume.as_deref().filter(|text| !parts(text)) {
        return Err(OptionsError::bad("lvm_srcvol", format!("'{bad}' is no volume of LVM")));
    }
    let writable = match values.text("lvm_snapperm")?.as_deref() {
        Some("rw") => true,
        Some("ro") | None => false,
        Some(other) => {
            return Err(OptionsError::bad("lvm_snapperm", format!("takes ro or rw, not '{other}'")));
        }
    };
    let size = values.text("lvm_snapsize")?.unwrap_or_default();
    if !is_size(&size) {
        let text = format!("takes an amount (500M, 8G) or a share (80%FREE, 10%ORIGIN), not '{size}'");
        return Err(OptionsError::bad("lvm_snapsize", text));
    }
    let mount = values.text("lvm_dirmount")?.map(|path| expand_home(&path));
    if mount.as_ref().is_some_and(|path| !path.is_absolute()) {
        return Err(OptionsError::bad("lvm_dirmount", "takes an absolute path"));
    }
    let (group, name) = (plain("lvm_volgroup")?, plain("lvm_snapname")?);
    Ok(LvmOptions { group, volume, name, writable, size, mount })
}

/// A name of LVM that no program takes for an option.
fn is_plain(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'_' | b'.' | b'-');
    !name.is_empty() && !name.starts_with('-') && name != "." && name != ".." && name.bytes().all(known)
}

fn is_size(text: &str) -> bool {
    let unit = text.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    let has_number = text.len() > unit.len() && text.starts_with(|letter: char| letter.is_ascii_digit());
    let known = match unit.strip_prefix('%') {
        Some(of) => matches!(of, "FREE" | "VG" | "ORIGIN" | "PVS"),
        None => unit.len() <= 1 && unit.bytes().all(|byte| b"bBsSkKmMgGtTpPeE".contains(&byte)),
    };
    has_number && known
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use serde_json::{Value, json};

    fn read_for(action: ActionKind, options: Value) -> Result<Option<SnapshotKind>, String> {
        let mut values = Values::default();
        values.fill(options.as_object().unwrap());
        SnapshotOptions::from_values(&values, action, &Medium::Files)
            .map(|read| read.map(|options| options.kind))
            .map_err(|error| error.to_string())
    }

    fn read(options: Value) -> Result<Option<SnapshotKind>, String> {
        read_for(ActionKind::Backup, options)
    }

    #[test]
    fn upstreams_words_are_understood() {
        for no in [json!({}), json!({"snapshot": false}), json!({"snapshot": "False", "lvm_snapsize": "2G"})]
        {
            assert_eq!(read(no.clone()), Ok(None), "{no}");
        }
        let usual = LvmOptions {
            group: None,
            volume: None,
            name: None,
            writable: false,
            size: "1G".to_owned(),
            mount: None,
        };
        for yes in
            [json!({"snapshot": true}), json!({"snapshot": "whatever"}), json!({"lvm_auto_snap": "/srv"})]
        {
            assert_eq!(read(yes.clone()), Ok(Some(SnapshotKind::Guessed(usual.clone()))), "{yes}");
        }
        let told = read(
            json!({"snapshot": "lvm", "lvm_srcvol": "/dev/vg0/data", "lvm_volgroup": "vg0", "lvm-snap-perm": "rw",
            "lvm_snapname": "snap", "lvm_snapsize": "80%FREE", "lvm_dirmount": "/mnt/snap"}),
        );
        let Ok(Some(SnapshotKind::Lvm(told))) = told else { panic!("{told:?}") };
        assert_eq!((told.group.as_deref(), told.volume.as_deref()), (Some("vg0"), Some("/dev/vg0/data")));
        assert!(told.writable && told.size == "80%FREE" && told.mount == Some("/mnt/snap".into()));
        assert_eq!(read_for(ActionKind::Restore, json!({"snapshot": true})), Ok(None), "nothing is read");
    }

    #[test]
    fn bad_words_are_refused() {
        for (options, word) in [
            (json!({"snapshot": 1, "lvm_snapsize": "much"}), "lvm_snapsize"),
            (json!({"snapshot": 1, "lvm_snapsize": "10%ALL"}), "lvm_snapsize"),
            (json!({"snapshot": 1, "lvm_snapperm": "x"}), "ro or rw"),
            (json!({"snapshot": 1, "lvm_snapname": "--force"}), "lvm_snapname"),
            (json!({"snapshot": 1, "lvm_volgroup": "a/b"}), "lvm_volgroup"),
            (json!({"snapshot": 1, "lvm_srcvol": "/dev/vg/../sda"}), "lvm_srcvol"),
            (json!({"snapshot": 1, "lvm_dirmount": "here"}), "absolute"),
            (json!({"snapshot": 1, "one_file_system": false}), "one_file_system"),
            (json!({"snapshot": "command"}), "snapshot_command"),
            (json!({"snapshot_command": "take"}), "snapshot_remove_command"),
            (json!({"snapshot": "zfs", "snapshot_command": "take"}), "goes with"),
            (json!({"snapshot": "zfs", "snapshot_timeout": 0}), "snapshot_timeout"),
        ] {
            let error = read(options.clone()).unwrap_err();
            assert!(error.contains(word), "{options}: {error}");
        }
    }

    #[test]
    fn commands_are_a_snapshot_too() {
        let both = json!({"snapshot_command": "take --key hidden", "snapshot_remove_command": "drop", "fsfreeze": true});
        let told = read(both).unwrap().unwrap();
        assert!(!format!("{told:?}").contains("hidden"));
        let SnapshotKind::Commands(told) = told else { panic!("{told:?}") };
        assert_eq!((told.freeze_secs, told.mount, told.in_shell), (Some(30), None, false));
    }
}
