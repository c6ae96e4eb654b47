//! Saved actions: reusable definitions of what an agent does. One verb per file.

mod create;
mod delete;
mod list;
mod replace;
mod show;
mod update;

pub use create::create;
pub use delete::delete;
pub use list::list;
pub use replace::replace;
pub use show::show;
pub use update::update;

use crate::call::Call;
use crate::error::ApiError;
use crate::validate::action::ActionBody;
use crate::validate::names::JOB_BYTES_MAX;
use crate::validate::object::bytes_of;
use freezer_database::Tx;
use freezer_model::{Action, ActionId};

fn action_id(call: &Call) -> ActionId {
    ActionId::new(call.path("action_id"))
}

/// Options of so few bytes make no job too long, as many as it may have.
const SHORT: usize = JOB_BYTES_MAX / 500;

/// Writes an action that exists, unless a job that has it became too long (400).
fn save(tx: &mut Tx, before: usize, action: &Action) -> Result<(), ApiError> {
    tx.actions().save(action)?;
    let bytes = bytes_of(&action.freezer_action);
    if bytes <= before.max(SHORT) {
        return Ok(());
    }
    match tx.actions().job_longer_than(&action.project_id, &action.action_id, JOB_BYTES_MAX)? {
        None => Ok(()),
        Some(job) => Err(ApiError::bad_request(format!(
            "'freezer_action': with these options the actions of job {job}, which has this one, would be longer together than \
             the {JOB_BYTES_MAX} bytes that are possible"
        ))),
    }
}

/// A new action with what was sent and defaults for the rest.
fn made(call: &Call, id: ActionId, body: ActionBody) -> Action {
    Action {
        project_id: call.project.clone(),
        action_id: id,
        user_id: call.caller.user_id.clone(),
        max_retries: body.max_retries_or_default(),
        max_retries_interval: body.max_retries_interval_or_default(),
        mandatory: body.mandatory.unwrap_or(false),
        freezer_action: body.freezer_action.unwrap_or_default(),
        created_at: call.now,
    }
}
