//! Commands that the action's owner wants run before and after it. The one after runs however the action ended; nothing of what an
//! action did is hidden by a hook that fails.

use super::commands::{self, Ending, Group};
use super::{ActionError, Done};
use crate::openstack::trail::Trail;
use crate::options::typed::ActionOptions;
use freezer_vault::{Monitor, Phase};
use serde_json::{Value, json};
use std::future::Future;
use std::pin::pin;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Output of a hook that the result keeps, for each stream.
const OUTPUT_TOLD_BYTES: usize = 8 << 10;
/// An action that was aborted may tidy up for so long before the hook after it runs beside that: whoever aborts ends it soon, with
/// or without its hook.
const TIDYING: Duration = Duration::from_secs(3);
/// One that commits then, as a restore does that moves files in, cannot be stopped any more and may succeed: for so long after the
/// abort its outcome is awaited.
const COMMITTING: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(200);
/// Whoever aborts an action waits no longer for it, and for what was awaited before.
const AFTER_ABORT: Duration = Duration::from_secs(15);

/// How a hook ended.
type Ran = Result<Ending, ActionError>;

/// Does `action` between its hooks; what they said goes into the trail.
pub async fn around(
    options: &ActionOptions,
    (monitor, trail): (&Monitor, &Trail),
    action: impl Future<Output = Result<Done, ActionError>>,
) -> Result<Done, ActionError> {
    let hooks = &options.hooks;
    if hooks.before.is_none() && hooks.after.is_none() {
        return action.await;
    }
    let limit = Duration::from_secs(hooks.timeout_secs);
    let (mut done, early) = after_the_first(options, (monitor, trail), action).await;
    // Also what came to its end all the same has no more time after an abort.
    let limit = if monitor.is_cancelled() { limit.min(AFTER_ABORT) } else { limit };
    if let Some(line) = &hooks.after {
        let (outcome, limit) = match &done {
            _ if early.is_some() => ("aborted", limit),
            Ok(done) if done.partial => ("partial", limit),
            Ok(_) => ("success", limit),
            Err(ActionError::Aborted) => ("aborted", limit.min(AFTER_ABORT)),
            // A command that the abort's own signal has ended fails.
            Err(_) if monitor.is_cancelled() => ("aborted", limit),
            Err(_) => ("fail", limit),
        };
        let ran = match early {
            Some(ran) => ran,
            None => run(options, line, outcome, limit, &CancellationToken::new()).await,
        };
        let trouble = match ran {
            Ok(ending) => {
                trail.hooked("after", shown(&ending));
                (!ending.is_success()).then(|| ending.trouble("hook_after", Some(limit)))
            }
            Err(error) => Some(format!("hook_after: {error}")),
        };
        if let Some(trouble) = trouble {
            tracing::error!("{trouble}");
            done = blamed(done, trouble);
        }
    }
    done
}

/// The hook before, and the action if it may be done; also what came of the hook after, if that could not wait for the action's end.
async fn after_the_first(
    options: &ActionOptions,
    (monitor, trail): (&Monitor, &Trail),
    action: impl Future<Output = Result<Done, ActionError>>,
) -> (Result<Done, ActionError>, Option<Ran>) {
    let hooks = &options.hooks;
    let limit = Duration::from_secs(hooks.timeout_secs);
    if let Some(line) = &hooks.before {
        match run(options, line, "", limit, monitor.token()).await {
            Ok(ending) => {
                trail.hooked("before", shown(&ending));
                if ending.is_aborted {
                    return (Err(ActionError::Aborted), None);
                }
                if !ending.is_success() {
                    let trouble = ending.trouble("hook_before", Some(limit));
                    let error = ActionError::Failed(format!("{trouble}; the action was not done"));
                    return (Err(error), None);
                }
            }
            Err(error) => return (Err(error), None),
        }
    }
    let after = async {
        let line = hooks.after.as_ref()?;
        Some(run(options, line, "aborted", limit.min(AFTER_ABORT), &CancellationToken::new()).await)
    };
    let commits = || monitor.progress().phase == Phase::Committing;
    let (done, early) = attended(action, (monitor.token(), TIDYING), commits, after).await;
    (done, early.flatten())
}

/// Does the action. When it is asked to end and has not after `patience`, nor after [`COMMITTING`] if it commits, `hook` is done
/// beside it.
async fn attended<T>(
    action: impl Future<Output = Result<Done, ActionError>>,
    (token, patience): (&CancellationToken, Duration),
    commits: impl Fn() -> bool,
    hook: impl Future<Output = T>,
) -> (Result<Done, ActionError>, Option<T>) {
    let mut action = pin!(action);
    let lingers = async {
        token.cancelled().await;
        let asked = Instant::now();
        tokio::time::sleep(patience).await;
        while asked.elapsed() < COMMITTING && commits() {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::select! {
        done = &mut action => return (done, None),
        () = lingers => {}
    }
    let (done, ran) = tokio::join!(action, hook);
    (done, Some(ran))
}

async fn run(
    options: &ActionOptions,
    line: &str,
    outcome: &str,
    limit: Duration,
    token: &CancellationToken,
) -> Result<Ending, ActionError> {
    let stages = commands::stages(line, options.exec_shell)
        .map_err(|cause| ActionError::Failed(format!("hook '{line}': {cause}")))?;
    let path = options.path_to_backup.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let variables = [
        ("FREEZER_ACTION", options.action.as_str().to_owned()),
        ("FREEZER_BACKUP_NAME", options.backup_name.clone()),
        ("FREEZER_PATH", path),
        ("FREEZER_OUTCOME", outcome.to_owned()),
    ];
    commands::run_or_end(Stdio::null(), &stages, &variables, Some(limit), (Group::Own, token)).await
}

fn shown(ending: &Ending) -> Value {
    let tail = |text: &str| {
        let from = text.len().saturating_sub(OUTPUT_TOLD_BYTES);
        let from = (from..text.len()).find(|place| text.is_char_boundary(*place)).unwrap_or(text.len());
        text.get(from..).unwrap_or_default().to_owned()
    };
    json!({"exit_code": ending.code, "is_late": ending.is_late, "stdout": tail(&ending.stdout), "stderr": tail(&ending.stderr)})
}

/// What the action did stands; that all is not well shows, too.
fn blamed(done: Result<Done, ActionError>, trouble: String) -> Result<Done, ActionError> {
    match done {
        Ok(mut done) => {
            done.partial = true;
            done.summary.push(format!("PARTIAL      the action is done, but {trouble}"));
            Ok(done)
        }
        Err(ActionError::Damaged(mut damage)) => {
            damage.text = format!("{}; {trouble}", damage.text);
            Err(ActionError::Damaged(damage))
        }
        Err(ActionError::Aborted) => Err(ActionError::Aborted),
        Err(error) => Err(ActionError::Failed(format!("{error}; {trouble}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn the_hook_after_does_not_wait_for_an_action_that_tidies_up_for_long() {
        let monitor = Monitor::new();
        let (ran, waits) = tokio::sync::oneshot::channel();
        let token = monitor.token().clone();
        // It does not end before the hook has run.
        let action = async move {
            token.cancelled().await;
            waits.await.unwrap();
            Err::<Done, _>(ActionError::Aborted)
        };
        let hook = async move { ran.send(()).unwrap() };
        monitor.cancel();
        let (done, early) = attended(action, (monitor.token(), Duration::ZERO), || false, hook).await;
        assert!(matches!(done, Err(ActionError::Aborted)) && early.is_some());

        let action = async { Err::<Done, _>(ActionError::Aborted) };
        let (done, early) = attended(action, (monitor.token(), TIDYING), || false, async {}).await;
        assert!(done.is_err() && early.is_none(), "it has ended in time, and what follows knows how");
    }

    #[tokio::test]
    async fn the_hook_after_waits_for_an_action_that_commits() {
        let monitor = Monitor::new();
        let (asked, is_asked) = tokio::sync::oneshot::channel();
        let asked = std::cell::Cell::new(Some(asked));
        // It ends only when somebody has found it committing, after all patience.
        let commits = || {
            if let Some(asked) = asked.take() {
                asked.send(()).unwrap();
            }
            true
        };
        let action = async move {
            is_asked.await.unwrap();
            Err::<Done, _>(ActionError::Failed("it was committed".to_owned()))
        };
        monitor.cancel();
        let (done, early) = attended(action, (monitor.token(), Duration::ZERO), commits, async {}).await;
        assert!(
            matches!(done, Err(ActionError::Failed(_))) && early.is_none(),
            "the hook knows how it ended"
        );
    }
}
