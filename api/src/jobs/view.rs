//! Jobs as this caller may see them: the process id is for those who run the client.

use freezer_database::SeenJob;
use freezer_model::ProjectId;
use freezer_model::document::{JobDocument, PidShown, StoredObject, TrustShown};

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

    /// The document of a job, for searches.
    pub fn document<'a>(&self, seen: &'a SeenJob, pid: PidShown) -> ShownDocument<'a> {
        let sees = self.is_privileged || self.sees_trusts;
        let trust = if sees { TrustShown::Yes } else { TrustShown::No };
        JobDocument { job: &seen.job, actions: seen.actions.as_deref(), pid, trust }
    }

    /// The document of a job for the answer: with the process id, where the viewer or its project runs the client.
    pub fn answer<'a>(&self, seen: &'a SeenJob) -> ShownDocument<'a> {
        let visible = self.is_privileged || seen.has_own_client;
        self.document(seen, if visible { PidShown::Yes } else { PidShown::No })
    }
}
