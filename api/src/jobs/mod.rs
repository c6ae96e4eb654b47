//! Jobs: what to do, where and when. One verb per file.

pub(crate) mod capability;
mod create;
mod delete;
mod event;
mod list;
mod merge;
mod replace;
mod report;
mod resolve;
mod show;
mod tell_end;
mod trust;
mod update;
mod view;

pub use create::create;
pub use delete::delete;
pub use event::event;
pub use list::list;
pub use replace::replace;
pub use show::show;
pub use update::update;

use crate::call::Call;
use freezer_database::{DbError, Tx};
use freezer_model::{Client, JobId, ProjectId, Timestamp};
use merge::StateOwner;
use resolve::Owner;
use view::Viewer;

/// Holders see the jobs of every project.
const ALL_PROJECTS: &str = "jobs:get_all_projects";

fn job_id(call: &Call) -> JobId {
    JobId::new(call.path("job_id"))
}

fn viewer(call: &Call) -> Viewer {
    Viewer {
        is_privileged: call.is_allowed_everywhere(ALL_PROJECTS),
        project: call.caller.project_id.clone(),
        sees_trusts: call.enforce("jobs:update").is_ok(),
    }
}

fn owner(call: &Call) -> Owner {
    Owner {
        project: call.project.clone(),
        user: call.caller.user_id.clone(),
        now: call.now,
        quota: call.state.options.quota,
    }
}

fn state_owner(client: Option<&Client>) -> StateOwner {
    if capability::is_driven(client) { StateOwner::Conductor } else { StateOwner::Client }
}

/// Asks the conductors to look at the job. `is_heard`: its scheduler polls, and has said something of the job or was given something
/// new to follow; its silence counts from now.
pub(crate) fn ask_to_look(
    tx: &mut Tx,
    project: &ProjectId,
    id: &JobId,
    is_heard: bool,
    now: Timestamp,
) -> Result<(), DbError> {
    if is_heard {
        return tx.jobs().note_heard(project, id, now);
    }
    tx.jobs().request_attention(project, id, now).map(|_| ())
}
