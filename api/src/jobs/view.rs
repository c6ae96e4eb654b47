//! Jobs as this caller may see them: the process id is for those who run the client.

use crate::error::ApiError;
use freezer_database::{ShownJob, Tx};
use freezer_model::document::{JobDocument, PidShown, StoredObject, TrustShown};
use freezer_model::{ClientId, ProjectId};
use std::collections::HashSet;

/// The document of a job, straight from its row.
pub type ShownDocument<'a> = JobDocument<'a, StoredObject>;

/// What decides whether a caller sees process ids.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Passes `jobs:get_all_projects`.
    pub is_privileged: bool,
    /// The project of the token, which may own the job's client.
    pub project: Option<ProjectId>,
    /// May change the project's jobs. Those who may only look are not told under which trusts jobs act.
    pub sees_trusts: bool,
}

impl Viewer {
    /// How a search sees a job: never more than the caller does.
    pub fn pid_in_search(&self) -> PidShown {
        if self.is_privileged { PidShown::Yes } else { PidShown::No }
    }

    /// The document of a job, for answers and for searches.
    pub fn document<'a>(&self, job: &'a ShownJob, pid: PidShown) -> ShownDocument<'a> {
        let sees = self.is_privileged || self.sees_trusts;
        JobDocument { job, pid, trust: if sees { TrustShown::Yes } else { TrustShown::No } }
    }

    /// The documents of jobs, with at most one more look at the clients for all of them.
    pub fn documents<'a>(
        &self,
        tx: &mut Tx,
        jobs: &'a [ShownJob],
    ) -> Result<Vec<ShownDocument<'a>>, ApiError> {
        let own = self.own_clients(tx, jobs)?;
        let shown = |job: &ShownJob| {
            let visible = self.is_privileged || own.contains(&job.client_id);
            if visible { PidShown::Yes } else { PidShown::No }
        };
        Ok(jobs.iter().map(|job| self.document(job, shown(job))).collect())
    }

    fn own_clients(&self, tx: &mut Tx, jobs: &[ShownJob]) -> Result<HashSet<ClientId>, ApiError> {
        let with_pid: HashSet<&ClientId> =
            jobs.iter().filter(|job| job.state.current_pid.is_some()).map(|job| &job.client_id).collect();
        let Some(project) = self.project.as_ref().filter(|_| !self.is_privileged && !with_pid.is_empty())
        else {
            return Ok(HashSet::new());
        };
        let ids: Vec<&str> = with_pid.iter().map(|id| id.as_str()).collect();
        Ok(tx.clients().own_among(project, &ids)?)
    }
}
