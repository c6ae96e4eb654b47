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
use crate::validate::action::ActionBody;
use freezer_model::{Action, ActionId};

fn action_id(call: &Call) -> ActionId {
    ActionId::new(call.path("action_id"))
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
