//! A user has changed how fast a run may move bytes: its agent is told at once.
//!
//! The limits stand in the run's own copy of its actions, so that further attempts and actions have them. What is lost on the way
//! is said with the answer to the agent's next report; an agent on the HTTPS link hears it there only.

use crate::ConductorError;
use crate::desk::Desk;
use crate::dispatch::{SEND_TIMEOUT, cast};
use freezer_model::rpc::{LimitRun, RunChanged};
use freezer_model::{ClientId, Link, RateLimits, Run, RunState};
use oslo_messaging::Context;
use std::sync::Arc;

pub(crate) async fn limit_run(desk: Arc<Desk>, changed: RunChanged) -> Result<(), ConductorError> {
    let found = desk
        .transaction(move |_, tx| {
            let Some(run) = tx.runs().get(&changed.project_id, &changed.run_id)? else { return Ok(None) };
            let client = tx.clients().get(&run.project_id, &run.client_id)?;
            let is_on_bus = client.is_some_and(|client| client.link != Link::Http);
            Ok(order(&run).filter(|_| is_on_bus))
        })
        .await?;
    if let Some((client_id, order)) = found
        && let Err(error) = cast(&desk, &client_id, "limit_run", &Context::new(), &order, SEND_TIMEOUT).await
    {
        tracing::info!(run = %order.run_id, client = %client_id, "the new limits wait for its next report: {error}");
    }
    Ok(())
}

fn order(run: &Run) -> Option<(ClientId, LimitRun)> {
    let is_held = matches!(run.state, RunState::Dispatched | RunState::Running);
    let order = LimitRun { run_id: run.run_id.clone(), epoch: run.epoch, limits: limits(run) };
    is_held.then(|| (run.client_id.clone(), order))
}

/// Those of the step that the run is at.
pub(crate) fn limits(run: &Run) -> RateLimits {
    run.actions.get(run.action_index).map(|action| RateLimits::of(&action.freezer_action)).unwrap_or_default()
}
