//! Jobs whose scheduler polls. It alone knows when they are due; when one was due for certain and nothing was heard of it, webhooks
//! are told, once for each silence.
//!
//! The API notes when something was heard and asks for a look; that look, and each one that comes when its time is over, says
//! when the next one is. The row is held meanwhile, so that of several conductors one tells.

use crate::announce::{self, WEBHOOK};
use crate::desk::Desk;
use freezer_database::{DbError, DueJob, Tx};
use freezer_model::{Timestamp, Unheard};
use std::time::Duration;

/// Deliveries that wait at the same time. After an outage thousands of jobs may be silent at once: what driven jobs have to tell must
/// not wait behind all of them.
const WAITING_MOST: i64 = 1000;
/// Before a silence that finds no room is looked at again, at least and at most. Between them, as long as it has waited already: a
/// million silences that wait for a receiver must not keep conductors busy.
const LATER: Duration = Duration::from_secs(600);
const MUCH_LATER: Duration = Duration::from_secs(6 * 3600);

/// The silences of one transaction.
#[derive(Default)]
pub(crate) struct Watch {
    /// Deliveries that wait, once they were counted.
    waiting: Option<i64>,
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
        if !self.has_room(desk, tx)? {
            return Ok(Some(now.plus(now.since(unheard.told_at()).clamp(LATER, MUCH_LATER))));
        }
        tracing::warn!(project = %job.project_id, job = %job.job_id, "{}", unheard.text(job));
        announce::unheard(desk, tx, job, &unheard, now)?;
        tx.jobs().forget_heard(&job.project_id, &job.job_id)?;
        Ok(None)
    }

    fn has_room(&mut self, desk: &Desk, tx: &mut Tx) -> Result<bool, DbError> {
        let Ok(letters) = i64::try_from(desk.options.webhook.urls.len()) else { return Ok(false) };
        if letters == 0 {
            return Ok(true);
        }
        let waiting = match self.waiting {
            Some(counted) => counted,
            None => tx.outbox().count(WEBHOOK)?,
        };
        let has_room = waiting < WAITING_MOST;
        self.waiting = Some(if has_room { waiting + letters } else { waiting });
        Ok(has_room)
    }
}
