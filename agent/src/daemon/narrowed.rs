//! What an agent's own file limits it to (`supported_actions` and the like) holds whatever an order says: an action may have been
//! edited since its job was checked, and messages on the bus are not signed.
//!
//! As when a job is written, what an order does not name passes. Only lists that somebody has set count: what every agent has is no limit.

use super::executor::ExecutorOptions;
use crate::options::{Values, medium};
use freezer_model::rpc::RunAction;
use serde_json::Value;

/// Why this order is not for an agent of this configuration.
pub(super) fn refusal(options: &ExecutorOptions, order: &RunAction) -> Option<String> {
    if options.narrowed.is_empty() { None } else { checked(options, order).err() }
}

fn checked(options: &ExecutorOptions, order: &RunAction) -> Result<(), String> {
    let mut values = Values::default();
    values.fill(&order.freezer_action);
    let text = |key: &str| values.text(key).map_err(|error| error.to_string());
    let named = |key: &str| if values.is_set(key) { text(key) } else { Ok(None) };
    let able = &options.capabilities;
    for name in &options.narrowed {
        let (asked, supported): (Vec<String>, _) = match *name {
            "supported_actions" => (text("action")?.into_iter().collect(), &able.actions),
            "supported_modes" => (mode(&values)?.into_iter().collect(), &able.modes),
            "supported_storages" => {
                let mut storages: Vec<String> = named("storage")?.into_iter().collect();
                let several = values.objects("storages").map_err(|error| error.to_string())?;
                let kind =
                    |place: &serde_json::Map<String, Value>| Some(place.get("storage")?.as_str()?.to_owned());
                storages.extend(several.iter().filter_map(kind));
                (storages, &able.storages)
            }
            _ => (named("engine_name")?.into_iter().collect(), &able.engines),
        };
        if let Some(word) = asked.iter().find(|word| !supported.contains(word)) {
            return Err(format!(
                "{word} is not among {name} in the configuration of client {}",
                options.client_id
            ));
        }
    }
    Ok(())
}

/// Ids choose a mode, too, and who moves files without naming one means files.
fn mode(values: &Values) -> Result<Option<String>, String> {
    let text = |error: crate::options::OptionsError| error.to_string();
    let mode = medium::mode(values).map_err(text)?;
    let action = values.text("action").map_err(text)?.unwrap_or_default();
    let is_meant = values.is_set("mode") || mode != "fs" || matches!(action.as_str(), "backup" | "restore");
    let usual = if mode == "mssql" { "sqlserver".to_owned() } else { mode };
    Ok(is_meant.then_some(usual))
}

#[cfg(test)]
mod tests {
    use super::*;
    use freezer_model::{Capabilities, ClientId, Epoch, JobId, ProjectId, RunId};
    use serde_json::json;

    fn options(narrowed: &[&'static str]) -> ExecutorOptions {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        let capabilities = Capabilities {
            actions: words("backup info"),
            modes: words("cinder sqlserver"),
            storages: words("swift"),
            engines: words("tar"),
        };
        ExecutorOptions { narrowed: narrowed.to_vec(), ..ExecutorOptions::of_a_test(capabilities) }
    }

    fn order(action: &Value) -> RunAction {
        RunAction {
            run_id: RunId::from("r"),
            epoch: Epoch(1),
            job_id: JobId::from("j"),
            project_id: ProjectId::from("p"),
            client_id: ClientId::from("node1"),
            action_index: 0,
            attempt: 1,
            freezer_action: action.as_object().unwrap().clone(),
            trust_id: None,
            request_id: None,
        }
    }

    #[test]
    fn what_the_file_does_not_name_is_not_done() {
        let all = ["supported_actions", "supported_modes", "supported_storages", "supported_engines"];
        for (action, list, word) in [
            (json!({"action": "exec", "command": "id"}), all[0], "exec"),
            (json!({"action": "restore", "mode": "cinder"}), all[0], "restore"),
            (json!({"action": "backup", "mode": "fs", "path_to_backup": "/etc"}), all[1], "fs"),
            (json!({"action": "backup", "path-to-backup": "/etc"}), all[1], "fs"),
            (json!({"path_to_backup": "/etc"}), all[1], "fs"),
            (json!({"action": "backup", "nova_inst_id": "x"}), all[1], "nova"),
            (json!({"action": "info", "storage": "local", "container": "/etc"}), all[2], "local"),
            (
                json!({"action": "info", "storages": [{"storage": "swift"}, {"storage": "ssh"}]}),
                all[2],
                "ssh",
            ),
            (json!({"action": "info", "engine_name": "rsync"}), all[3], "rsync"),
        ] {
            let why = refusal(&options(&all), &order(&action)).unwrap_or_default();
            assert!(why.starts_with(&format!("{word} is not among {list}")), "{action}: {why}");
            let others: Vec<&'static str> = all.into_iter().filter(|name| *name != list).collect();
            assert_eq!(refusal(&options(&others), &order(&action)), None, "{action}: {list} is not set");
            assert_eq!(refusal(&options(&[]), &order(&action)), None, "{action}");
        }
    }

    #[test]
    fn what_it_names_and_what_the_order_leaves_open_is_done() {
        let all = ["supported_actions", "supported_modes", "supported_storages", "supported_engines"];
        for action in [
            json!({"action": "info"}),
            json!({"action": "info", "storage": "", "mode": null}),
            json!({"action": "backup", "mode": "mssql", "storage": "swift", "engine_name": "tar"}),
            json!({"action": "backup", "cinder_vol_id": "x"}),
        ] {
            assert_eq!(refusal(&options(&all), &order(&action)), None, "{action}");
        }
    }
}
