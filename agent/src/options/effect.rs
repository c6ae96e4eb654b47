//! What is worth a word about options that are accepted: those without effect here, and those that give up a protection.

use super::keys;
use super::medium::Medium;
use super::servers;
use super::typed::ActionKind;
use super::values::{OptionsError, Values};

/// Storages and the options that only they look at.
const OF_STORAGES: [(&str, &[&str]); 3] = [
    (
        "ssh",
        &[
            "ssh_host",
            "ssh_port",
            "ssh_username",
            "ssh_key",
            "ssh_password",
            "ssh_password_file",
            "ssh_key_passphrase_file",
        ],
    ),
    (
        "ftp",
        &[
            "ftp_host",
            "ftp_port",
            "ftp_username",
            "ftp_password",
            "ftp_password_file",
            "ftp_keyfile",
            "ftp_certfile",
        ],
    ),
    (
        "s3",
        &["access_key", "secret_key", "endpoint", "s3_region", "s3_bucket_in_host", "s3_credentials_file"],
    ),
];
const OF_LVM: [&str; 6] =
    ["lvm_srcvol", "lvm_snapname", "lvm_snapperm", "lvm_snapsize", "lvm_dirmount", "lvm_volgroup"];
const OF_COMMANDS: [&str; 4] =
    ["snapshot_mount_command", "snapshot_remove_command", "fsfreeze", "fsfreeze_timeout"];

/// Sentences for the log and for the result.
pub fn notes(values: &Values, action: ActionKind, medium: &Medium) -> Result<Vec<String>, OptionsError> {
    let mut notes = Vec::new();
    let mut useless = |key: &str, why: &str| -> Result<(), OptionsError> {
        if said(values, key)? {
            notes.push(format!("option {key} has no effect here: {why}"));
        }
        Ok(())
    };
    useless("max_priority", "run the agent under nice and ionice")?;
    useless("rsync_block_size", "it is of engine rsyncv2")?;
    for (key, why) in servers::useless(action, medium) {
        useless(key, why)?;
    }
    for (key, why) in of_modes(medium) {
        useless(key, why)?;
    }
    for (key, why) in of_storages(values, action)? {
        useless(key, &why)?;
    }
    if medium.mode() == "cindernative" {
        for key in ["encrypt_pass_file", "encrypt_secret_ref", "encryption_cipher"] {
            useless(key, "Cinder's own backups are as Cinder makes them; mode cinder encrypts")?;
        }
    }
    for (key, why) in of_snapshots(values, action)? {
        useless(key, why)?;
    }
    for (key, why) in of_folders(values, action, medium)? {
        useless(key, why)?;
    }
    if action != ActionKind::Hold {
        for key in ["hold_reason", "hold_until", "hold_by"] {
            useless(key, "it is of action hold")?;
        }
    }
    notes.extend(dangers(values, action, medium)?);
    Ok(notes)
}

/// What gives up a protection.
fn dangers(values: &Values, action: ActionKind, medium: &Medium) -> Result<Vec<String>, OptionsError> {
    let mut dangers = Vec::new();
    if action == ActionKind::Backup
        && *medium == Medium::Files
        && (values.text("snapshot")?.is_some() || values.is_set("snapshot_command"))
        && matches!(values.text("dereference_symlink")?.as_deref(), Some("soft" | "all" | "true"))
    {
        dangers.push("dereference_symlink: links with an absolute target lead out of the snapshot, to files as they are now".to_owned());
    }
    if action != ActionKind::Exec && values.text("storage")?.as_deref() == Some("ftp") {
        dangers.push(
            "storage ftp sends the password and all data in the clear: use ftps where the server has TLS"
                .to_owned(),
        );
    }
    if values.flag("insecure")? && action != ActionKind::Exec {
        dangers.push(
            "insecure: neither certificates nor host keys are verified, so that whoever is on the way can read and change what is sent".to_owned(),
        );
    }
    Ok(dangers)
}

/// Options of other modes, and why nobody looks at them.
fn of_modes(medium: &Medium) -> Vec<(&'static str, &'static str)> {
    let mut useless = Vec::new();
    if medium.mode() != "mysql" {
        useless.extend(["mysql_conf", "mysql_form"].map(|key| (key, "it is of mode mysql")));
    }
    if *medium != Medium::MysqlFiles {
        useless.push(("recovery_target_binlog", "it is of mode mysql with mysql_form physical"));
    }
    if medium.has_logs() {
        useless.push(("overwrite", "a server is restored into an empty directory only"));
    }
    if *medium != Medium::Postgresql {
        let keys = ["postgresql_conf", "recovery_target_lsn"];
        useless.extend(keys.map(|key| (key, "it is of mode postgresql")));
    }
    if *medium != Medium::Stream {
        useless.push(("stream_command", "it is of mode stream"));
    }
    useless
}

/// Options of other storages, and why nobody looks at them.
fn of_storages(values: &Values, action: ActionKind) -> Result<Vec<(&'static str, String)>, OptionsError> {
    let mut useless = Vec::new();
    if action == ActionKind::Exec {
        return Ok(useless);
    }
    let storage = values.text("storage")?.unwrap_or_default();
    for (name, keys) in OF_STORAGES.iter().filter(|(name, _)| !storage.starts_with(name)) {
        useless.extend(keys.iter().map(|key| (*key, format!("it is of storage {name}"))));
    }
    if matches!(storage.as_str(), "local" | "swift") {
        useless.push(("storage_secret_ref", "it is of storages ssh, s3, ftp and ftps".to_owned()));
    }
    if storage == "ftp" {
        useless.extend(["ftp_keyfile", "ftp_certfile"].map(|key| (key, "it is of storage ftps".to_owned())));
    }
    Ok(useless)
}

/// Options of folders where there is none, or of the other way, and why nobody looks at them.
fn of_folders(
    values: &Values,
    action: ActionKind,
    medium: &Medium,
) -> Result<Vec<(&'static str, &'static str)>, OptionsError> {
    let mut useless = Vec::new();
    let is_of_files = |kind| action == kind && *medium == Medium::Files;
    if !is_of_files(ActionKind::Backup) {
        useless.push(("consistency_check", "it is of backups of folders"));
        if !(is_of_files(ActionKind::Restore) && values.flag("delete_foreign")?) {
            let why = "it is of backups of folders, and of restores with delete_foreign";
            useless.extend(["exclude_rules", "exclude_rules_file", "include_rules"].map(|key| (key, why)));
        }
    }
    if !is_of_files(ActionKind::Restore) {
        useless.push(("consistency_checksum", "it is of restores of folders"));
    }
    if !(is_of_files(ActionKind::Restore) || action == ActionKind::Restore && medium.is_fed()) {
        let keys =
            ["restore_paths", "existing_files", "delete_foreign", "delete_excluded", "owners", "owner_map"];
        useless.extend(keys.map(|key| (key, "it is of restores of folders")));
    }
    Ok(useless)
}

/// Options of snapshots that nobody looks at, and why.
fn of_snapshots(
    values: &Values,
    action: ActionKind,
) -> Result<Vec<(&'static str, &'static str)>, OptionsError> {
    let (kind, has_command) = (values.text("snapshot")?, values.is_set("snapshot_command"));
    let mut useless = Vec::new();
    if action != ActionKind::Backup {
        useless.extend(["snapshot", "snapshot_command"].map(|key| (key, "it is of backups of folders")));
    }
    let is_taken = action == ActionKind::Backup && (kind.is_some() || has_command);
    if !is_taken || has_command || matches!(kind.as_deref(), Some("btrfs" | "zfs")) {
        let why = if is_taken { "the snapshot is not of LVM" } else { "no snapshot is taken" };
        useless.extend(OF_LVM.map(|key| (key, why)));
    }
    if !is_taken {
        useless.push(("snapshot_timeout", "no snapshot is taken"));
    }
    if !is_taken || !has_command {
        let why = "it is of snapshot_command; LVM, Btrfs and ZFS freeze by themselves";
        useless.extend(OF_COMMANDS.map(|key| (key, why)));
    }
    Ok(useless)
}

/// Whether somebody wants something by the option: forms send defaults and `false` along.
fn said(values: &Values, key: &str) -> Result<bool, OptionsError> {
    let Some(row) = keys::find(key).filter(|_| values.is_set(key)) else { return Ok(false) };
    // A list is no text, and no default.
    let Ok(text) = values.text(key) else { return Ok(true) };
    let usual = row.default.or((row.kind == keys::Kind::Bool).then_some("false"));
    Ok(text.is_some_and(|text| Some(text.as_str()) != usual))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn told(action: ActionKind, options: Value) -> Vec<String> {
        let mut values = Values::default();
        values.fill(options.as_object().unwrap());
        notes(&values, action, &Medium::Files).unwrap()
    }

    #[test]
    fn what_has_no_effect_is_told_once() {
        let quiet = json!({"ssh_port": 22, "max_priority": false, "lvm_snapsize": "1G", "consistency_check": true, "insecure": false});
        assert_eq!(told(ActionKind::Backup, quiet), Vec::<String>::new());
        let loud = json!({"max_priority": "idle", "lvm_volgroup": "vg", "ssh_host": "h", "endpoint": "e",
            "rsync_block_size": 512, "consistency_checksum": "0", "insecure": "True"});
        let told = told(ActionKind::Backup, loud.clone());
        for key in loud.as_object().unwrap().keys() {
            assert_eq!(told.iter().filter(|text| text.contains(key.as_str())).count(), 1, "{key}: {told:?}");
        }
    }

    #[test]
    fn a_storage_looks_at_its_own() {
        let used = json!({"storage": "ssh", "ssh_host": "h", "ssh_port": 2222, "ssh_password_file": "/f"});
        assert_eq!(told(ActionKind::Backup, used), Vec::<String>::new());
        let used = json!({"storage": "ftps", "ftp_host": "h", "ftp_port": 2121, "ftp_keyfile": "/k", "ftp_certfile": "/c"});
        assert_eq!(told(ActionKind::Backup, used.clone()), Vec::<String>::new());
        let mut plain = used;
        plain["storage"] = json!("ftp");
        let told = told(ActionKind::Backup, plain);
        assert!(told.len() == 3 && told.iter().any(|text| text.contains("in the clear")), "{told:?}");
    }
}
