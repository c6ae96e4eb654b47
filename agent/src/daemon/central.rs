//! What a central agent refuses: it works for all projects on a host of the operator, so nothing that a tenant writes into an
//! action may reach that host, or another tenant's data.
//!
//! The API checks capabilities when a job is written; here they are checked again when it runs, and what no capability can allow
//! is refused whatever is configured.

use super::executor::ExecutorOptions;
use crate::options::{Values, medium};
use freezer_model::Capabilities;
use freezer_model::rpc::RunAction;

const EXEC: &str = "exec";
const CLUSTER: &str = "rbd";
/// Modes that work on the host itself.
const HOST_MODES: [&str; 8] = ["fs", "cloud", "stream", "mysql", "postgresql", "mongo", "sqlserver", "mssql"];
/// Storages on the host, or with keys of the host.
const HOST_STORAGES: [&str; 5] = ["local", "ssh", "s3", "ftp", "ftps"];

/// Options that name files or storages of the host, or lead the agent's own login elsewhere.
const HOST_OPTIONS: [&str; 28] = [
    "cloud_conf",
    "mysql_conf",
    "postgresql_conf",
    "mongo_conf",
    "sql_server_conf",
    "stream_command",
    "hook_before",
    "hook_after",
    "exclude_rules_file",
    "encrypt_pass_file",
    "metadata_out",
    "log_file",
    "storages",
    "ssh_key",
    "ssh_password_file",
    "ssh_key_passphrase_file",
    "ftp_password_file",
    "ftp_keyfile",
    "ftp_certfile",
    "snapshot",
    "snapshot_command",
    "snapshot_mount_command",
    "snapshot_remove_command",
    "lvm_srcvol",
    "lvm_snapname",
    "lvm_dirmount",
    "lvm_volgroup",
    "proxy",
];

/// What the agent says that it can do. What no central agent does is not among it, so that jobs that ask for it are refused when
/// they are written.
pub(super) fn announced(options: &ExecutorOptions) -> Capabilities {
    let mut capabilities = options.capabilities.clone();
    if options.is_central {
        capabilities.actions.retain(|action| action != EXEC);
        capabilities.modes.retain(|mode| !HOST_MODES.contains(&mode.as_str()) && mode != CLUSTER);
        capabilities.storages.retain(|storage| !HOST_STORAGES.contains(&storage.as_str()));
    }
    capabilities
}

/// Why this order is not for a central agent.
pub(super) fn refusal(options: &ExecutorOptions, order: &RunAction) -> Option<String> {
    if !options.is_central {
        return None;
    }
    let why = refused(options, order).err()?;
    Some(format!("{why}; client {} is central", options.client_id))
}

fn refused(options: &ExecutorOptions, order: &RunAction) -> Result<(), String> {
    if order.trust_id.as_deref().is_none_or(str::is_empty) {
        return Err(format!(
            "job {} has no trust, so nothing can be done for its project: create it anew, or set its client again, as a member \
             of the project",
            order.job_id
        ));
    }
    let mut values = Values::default();
    values.fill(&order.freezer_action);
    let text = |key: &str| values.text(key).map_err(|error| error.to_string());
    let action = text("action")?.unwrap_or_default();
    // Ids choose a mode, too.
    let mode = medium::mode(&values).map_err(|error| error.to_string())?;
    let storage = text("storage")?.unwrap_or_default();
    if action == EXEC {
        return Err("action exec would run commands on the operator's host".to_owned());
    }
    let moves_files = matches!(action.as_str(), "backup" | "restore");
    if HOST_MODES.contains(&mode.as_str()) && (moves_files || values.is_set("mode")) {
        return Err(format!("action {action} of mode {mode} would work on files of the operator's host"));
    }
    if mode == CLUSTER || values.is_set("rbd_pool") {
        return Err("mode rbd would read the cluster of the operator, whoever's image is named".to_owned());
    }
    if HOST_STORAGES.contains(&storage.as_str()) {
        return Err(format!("storage {storage} would work with files and keys of the operator's host"));
    }
    if let Some(key) = HOST_OPTIONS.iter().find(|key| values.is_set(key)) {
        return Err(format!("option {key} concerns the operator's host"));
    }
    if values.flag("fsfreeze").map_err(|error| error.to_string())? {
        return Err("option fsfreeze concerns the operator's host".to_owned());
    }
    if values.flag("insecure").map_err(|error| error.to_string())? {
        return Err("option insecure would show the agent's own login to anybody on the way".to_owned());
    }
    let able = &options.capabilities;
    let engine = text("engine_name")?.unwrap_or_default();
    for (key, wanted, supported) in [
        ("action", action, &able.actions),
        ("mode", mode, &able.modes),
        ("storage", storage, &able.storages),
        ("engine_name", engine, &able.engines),
    ] {
        let is_chosen =
            matches!(key, "action" | "storage") || values.is_set(key) || (key == "mode" && wanted != "fs");
        if is_chosen && !supported.contains(&wanted) {
            return Err(format!("{key} {wanted} is not among this agent's capabilities"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use freezer_model::{ClientId, Epoch, JobId, ProjectId, RunId};
    use serde_json::{Value, json};

    fn options(is_central: bool) -> ExecutorOptions {
        let modes = vec!["nova".to_owned(), "fs".to_owned()];
        let options = ExecutorOptions::of_a_test(Capabilities { modes, ..Capabilities::default() });
        ExecutorOptions { is_central, ..options }
    }

    fn order(action: Value, trust: Option<&str>) -> RunAction {
        RunAction {
            run_id: RunId::from("r"),
            epoch: Epoch(1),
            job_id: JobId::from("j"),
            project_id: ProjectId::from("p"),
            client_id: ClientId::from("central"),
            action_index: 0,
            attempt: 1,
            freezer_action: action.as_object().unwrap().clone(),
            trust_id: trust.map(str::to_owned),
            request_id: None,
        }
    }

    #[test]
    fn a_tenant_reaches_nothing_of_the_host() {
        let central = options(true);
        for (action, word) in [
            (json!({"action": "exec", "command": "id"}), "exec"),
            (json!({"action": "backup", "mode": "fs", "path_to_backup": "/etc"}), "mode fs"),
            (json!({"path_to_backup": "/etc"}), "mode fs"),
            (json!({"action": "backup", "mode": "cloud", "cloud_conf": "/etc/x"}), "mode cloud"),
            (json!({"action": "restore", "restore-abs-path": "/etc"}), "mode fs"),
            (json!({"action": "backup", "mode": "mongo"}), "mode mongo"),
            (json!({"action": "backup", "mode": "mssql"}), "mode mssql"),
            (json!({"action": "restore", "mode": "sqlserver"}), "mode sqlserver"),
            (json!({"action": "info", "mongo_conf": "/etc/x"}), "mongo_conf"),
            (json!({"action": "info", "sql_server_conf": "/etc/x"}), "sql_server_conf"),
            (json!({"action": "info", "mode": "fs"}), "mode fs"),
            (json!({"mode": "rbd", "rbd_pool": "volumes", "rbd_image": "volume-x"}), "mode rbd"),
            (json!({"action": "info", "storage": "local", "container": "/etc"}), "storage local"),
            (json!({"action": "admin", "storage": "ssh", "keep_last": 1}), "storage ssh"),
            (json!({"action": "info", "metadata_out": "/etc/passwd"}), "metadata_out"),
            (json!({"action": "info", "log-file": "/etc/passwd"}), "log_file"),
            (json!({"action": "info", "insecure": true}), "insecure"),
            (json!({"action": "info", "lvm_auto_snap": "/srv"}), "snapshot"),
            (json!({"action": "info", "snapshot_command": "id"}), "snapshot_command"),
            (json!({"action": "info", "snapshot_mount_command": "id"}), "snapshot_mount_command"),
            (json!({"action": "info", "snapshot_remove_command": "id"}), "snapshot_remove_command"),
            (json!({"action": "info", "lvm_dirmount": "/etc"}), "lvm_dirmount"),
            (json!({"action": "info", "lvm_srcvol": "a"}), "lvm_srcvol"),
            (json!({"action": "info", "lvm_volgroup": "a"}), "lvm_volgroup"),
            (json!({"action": "info", "lvm_snapname": "a"}), "lvm_snapname"),
            (json!({"action": "info", "fsfreeze": "true"}), "fsfreeze"),
            (json!({"action": "info", "storages": [{"storage": "local", "container": "/etc"}]}), "storages"),
            (json!({"action": "backup", "mode": "cinder"}), "mode cinder"),
            (json!({"action": "info", "storage": "s3", "endpoint": "https://s3"}), "storage s3"),
            (json!({"action": "info", "storage": "ftp"}), "storage ftp"),
            (json!({"action": "info", "storage": "ftps"}), "storage ftps"),
            (json!({"action": "info", "mode": "nova", "engine_name": "osbrick"}), "capabilities"),
        ] {
            let mut central = central.clone();
            central.capabilities.engines.retain(|engine| engine != "osbrick");
            let why = refusal(&central, &order(action.clone(), Some("t"))).unwrap_or_default();
            assert!(why.contains(word), "{action}: {why}");
            assert_eq!(refusal(&options(false), &order(action, None)), None);
        }
    }

    #[test]
    fn what_is_never_done_is_not_announced() {
        let able = announced(&options(true));
        assert_eq!(announced(&options(false)), options(false).capabilities);
        let word = |list: &[String], word: &str| list.iter().any(|known| known == word);
        assert!(!word(&able.actions, "exec") && word(&able.actions, "info"));
        assert!(!word(&able.modes, "fs") && word(&able.modes, "nova"));
        assert!(
            !word(&able.storages, "local") && !word(&able.storages, "ssh") && word(&able.storages, "swift")
        );
    }

    #[test]
    fn nothing_is_done_without_a_trust() {
        let info = json!({"action": "info", "storage": "swift", "container": "c"});
        for trust in [None, Some("")] {
            let why = refusal(&options(true), &order(info.clone(), trust)).unwrap();
            assert!(why.contains("no trust") && why.contains("job j"), "{why}");
        }
        assert_eq!(refusal(&options(true), &order(info, Some("t"))), None);
        let admin = json!({"action": "admin", "keep_last": 1, "insecure": false, "snapshot": false, "fsfreeze": false, "lvm_snapsize": "1G", "path_to_backup": ""});
        assert_eq!(refusal(&options(true), &order(admin, Some("t"))), None);
        let nova = json!({"action": "backup", "mode": "nova", "nova_inst_id": "x", "engine_name": "nova"});
        assert_eq!(refusal(&options(true), &order(nova, Some("t"))), None);
    }
}
