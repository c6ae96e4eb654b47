//! Quotas: how much of the service a project may use, and uses. One verb per file.

mod check;
mod delete;
mod put;
mod show;
mod usage;

pub use check::check_jobs;
pub use delete::delete;
pub use put::{WEIGHT_MAX, put};
pub use show::show;
pub use usage::usage;

use freezer_model::quota::{DEFAULT_WEIGHT, UNLIMITED};
use freezer_model::{Limits, ProjectId, Quota};
use serde_json::{Value, json};

/// What counts for the project, and what was set for it; -1 = no limit.
fn document(project: &ProjectId, defaults: Limits, own: &Quota) -> Value {
    let in_force = defaults.of(own);
    let number = |limit: Option<i64>| limit.unwrap_or(UNLIMITED);
    json!({
        "project_id": project,
        "quota": {
            "jobs": number(in_force.jobs),
            "runs": number(in_force.runs),
            "stored_bytes": number(in_force.stored_bytes),
            "weight": own.weight.unwrap_or(DEFAULT_WEIGHT),
        },
        "set": own,
    })
}
