//! The session protocol for jobs that this conductor drives, in the transaction that fires or ends the run.
//!
//! A job that its session does not let in runs all the same, as upstream's scheduler does: a backup outside its round is
//! worth more than none. Why is logged.

use freezer_database::{DbError, Tx};
use freezer_model::session::StartAnswer;
use freezer_model::{Job, JobResult, Timestamp};

/// The job fires: it joins the running round of its session or begins the next one. The caller has the job's row held.
pub(crate) fn enter(tx: &mut Tx, job: &mut Job, now: Timestamp) -> Result<(), DbError> {
    let Some(id) = job.session() else { return Ok(()) };
    let Some(mut session) = tx.sessions().get_for_update(&job.project_id, &id)? else {
        outside(job, "the session does not exist");
        return Ok(());
    };
    match session.start(&job.job_id, job.session_tag, now) {
        Ok(StartAnswer::Success(tag)) => {
            tx.sessions().save(&session)?;
            job.session_tag = tag;
            tx.jobs().set_session(&job.project_id, &job.job_id, id.as_str(), tag)?;
            tracing::info!(project = %job.project_id, job = %job.job_id, session = %id, round = tag, "takes part in a round");
        }
        Ok(StartAnswer::HoldOff(tag)) => {
            outside(job, &format!("hold-off: round {tag} began a moment ago and the job was in it"))
        }
        Ok(StartAnswer::OutOfSync(tag)) => {
            outside(job, &format!("out-of-sync: the job comes too late for round {tag}"))
        }
        Err(refusal) => outside(job, &refusal.to_string()),
    }
    Ok(())
}

fn outside(job: &Job, why: &str) {
    tracing::warn!(
        project = %job.project_id, job = %job.job_id, session = job.session_id.as_deref().unwrap_or("-"),
        tag = job.session_tag, "unable to start the session, the job runs without it: {why}"
    );
}

/// The job's run has ended; a job that fell out of step is in step again. The caller has the job's row held.
pub(crate) fn leave(tx: &mut Tx, job: &Job, result: JobResult, now: Timestamp) -> Result<(), DbError> {
    let Some(id) = job.session() else { return Ok(()) };
    let why = match tx.sessions().get_for_update(&job.project_id, &id)? {
        None => "the session does not exist".to_owned(),
        Some(mut session) => match session.end(&job.job_id, result.as_str(), now) {
            Ok(tag) => {
                if tag != job.session_tag {
                    tx.jobs().set_session(&job.project_id, &job.job_id, id.as_str(), tag)?;
                }
                return tx.sessions().save(&session);
            }
            Err(refusal) => refusal.to_string(),
        },
    };
    tracing::warn!(
        project = %job.project_id, job = %job.job_id, session = %id,
        "the session was not told that the job has ended: {why}"
    );
    Ok(())
}
