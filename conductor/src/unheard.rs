//! Jobs whose scheduler polls. It alone knows when they are due; when one was due for certain and nothing was heard of it, webhooks
//! are told, once for each silence.
//!
//! The API notes when something was heard and asks for a look; that look, and each one that comes when its time is over, says
//! when the next one is. The row is held meanwhile, so that of several conductors one tells.

use crate::announce::{self, WEBHOOK};
use crate::desk::Desk;
use freezer_database::{DbError, DueJob, Tx};
use freezer_model::{JobId, ProjectId, Timestamp, Unheard};
use std::collections::BTreeMap;
use std::time::Duration;

/// Deliveries of silences of one project that wait at the same time. After an outage thousands of its jobs may be silent at once: what
/// driven jobs and other projects have to tell must not wait behind all of them.
const WAITING_MOST: i64 = 100;
/// The same of all projects together.
const ALL_WAITING_MOST: i64 = 5000;
/// Before a silence that finds no room is looked at again, at least and at most. Between them, as long as it has waited already: a
/// million silences that wait for a receiver must not keep conductors busy.
const LATER: Duration = Duration::from_secs(600);
const MUCH_LATER: Duration = Duration::from_secs(6 * 3600);

/// The silences of one transaction.
#[derive(Default)]
pub(crate) struct Watch {
    /// Deliveries of a project that wait, once they were counted.
    waiting: BTreeMap<ProjectId, i64>,
    /// Those of all projects, once they were counted.
    all_waiting: Option<i64>,
    told: BTreeMap<ProjectId, Told>,
}

/// What is told of a project.
struct Told {
    /// Silent jobs.
    count: usize,
    /// The first of them.
    job: JobId,
    text: String,
}

impl Watch {
    /// Tells of the job if it is time, and returns when it is to be looked at next.
    pub(crate) fn look(
        &mut self,
        desk: &Desk,
        tx: &mut Tx,
        due: &DueJob,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, DbError> {
        let job = &due.job;
        let Some(unheard) = due.heard_at.and_then(|since| Unheard::of(job, since)) else { return Ok(None) };
        let told_at = unheard.told_at().max(desk.silence_of_pollers_counts_from());
        if now < told_at {
            return Ok(Some(told_at));
        }
        if !self.has_room(desk, tx, &job.project_id)? {
            return Ok(Some(now.plus(now.since(unheard.told_at()).clamp(LATER, MUCH_LATER))));
        }
        announce::unheard(desk, tx, job, &unheard, now)?;
        tx.jobs().forget_heard(&job.project_id, &job.job_id)?;
        let text = unheard.text(job);
        tracing::debug!(project = %job.project_id, job = %job.job_id, "{text}");
        let first = || Told { count: 0, job: job.job_id.clone(), text };
        self.told.entry(job.project_id.clone()).or_insert_with(first).count += 1;
        Ok(None)
    }

    /// Logs what was told, in one line for each project: after an outage there may be thousands.
    pub(crate) fn log(&self) {
        for (project, Told { count, job, text }) in &self.told {
            match count.saturating_sub(1) {
                0 => tracing::warn!(%project, %job, "{text}"),
                more => tracing::warn!(
                    %project,
                    %job,
                    "{text}; {more} more jobs of the project are silent in the same way (each is named at level debug)"
                ),
            }
        }
    }

    fn has_room(&mut self, desk: &Desk, tx: &mut Tx, project: &ProjectId) -> Result<bool, DbError> {
        let Ok(letters) = i64::try_from(desk.options.webhook.urls.len()) else { return Ok(false) };
        if letters == 0 {
            return Ok(true);
        }
        let waiting = match self.waiting.get(project) {
            Some(counted) => *counted,
            None => tx.outbox().count_of(project, WEBHOOK)?,
        };
        let all = match self.all_waiting {
            Some(counted) => counted,
            None => tx.outbox().count_of_projects(WEBHOOK)?,
        };
        let has_room = waiting < WAITING_MOST && all < ALL_WAITING_MOST;
        let more = if has_room { letters } else { 0 };
        self.waiting.insert(project.clone(), waiting + more);
        self.all_waiting = Some(all + more);
        Ok(has_room)
    }
}
