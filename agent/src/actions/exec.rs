//! Action exec: run a command. Its words are taken as in a shell's quoting, but no shell is involved
//! unless `exec_shell` is set; stages of a pipe (`|`) are joined as upstream does.

use super::commands::{self, Group};
use super::{ActionError, Damage, Done};
use crate::options::typed::ActionOptions;
use crate::storages::Surroundings;
use freezer_vault::Monitor;
use serde_json::{Map, json};
use std::time::Duration;

/// Longer than it takes to handle a signal that has arrived.
const HEARD: Duration = Duration::from_secs(1);

pub async fn exec(
    options: &ActionOptions,
    around: &Surroundings,
    monitor: &Monitor,
) -> Result<Done, ActionError> {
    let line = options.command.as_deref().unwrap_or_default();
    let stages = commands::stages(line, options.exec_shell)
        .map_err(|cause| ActionError::Failed(format!("command: {cause}")))?;
    let limit = options.exec_timeout_secs.map(Duration::from_secs);
    let group = if around.is_step { Group::Callers } else { Group::Own };
    let ended = commands::run(&stages, &[], limit, group, monitor.token()).await?;
    if around.is_step && ended.code.is_none() && !ended.is_late {
        // A signal for the step goes to its whole group: this process hears of it, too, if a moment later.
        let _ = tokio::time::timeout(HEARD, monitor.token().cancelled()).await;
    }
    let mut result = Map::new();
    let told = json!({"exit_code": ended.code, "stdout": ended.stdout, "stderr": ended.stderr});
    result.insert("exec".into(), told);
    if ended.is_success() {
        return Ok(Done { result, summary: vec!["Command      ended with status 0".into()], partial: false });
    }
    let text = ended.trouble("the command", limit);
    let summary = vec![format!("Command      {}", ended.trouble("it", limit))];
    Err(ActionError::Damaged(Box::new(Damage { text, summary, result })))
}
