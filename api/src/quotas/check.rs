//! Whether a project may have one more.

use crate::error::ApiError;
use freezer_database::Tx;
use freezer_model::{Limits, ProjectId};

/// Refuses (403) one job more than the project may have. Two calls at once are counted one after the other.
pub fn check_jobs(tx: &mut Tx, project: &ProjectId, limits: Limits) -> Result<(), ApiError> {
    let Some(most) = limits.jobs else { return Ok(()) };
    tx.quotas().lock(project)?;
    let used = tx.quotas().count_jobs(project)?;
    if used < most {
        return Ok(());
    }
    Err(ApiError::over_quota(format!(
        "Quota exceeded for jobs: requested 1, but already used {used} of {most} jobs. Delete jobs, or ask an administrator \
         for a larger quota"
    )))
}
