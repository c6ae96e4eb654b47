//! Looks at the jobs whose attention time has come.

use crate::dispatch::Errand;
use crate::plan_job::look_at;
use crate::{ConductorError, desk::Desk, session};
use freezer_database::{DbError, DueJob, Planning, Tx};
use freezer_model::{Client, Link, Timestamp};
use std::sync::Arc;

/// Jobs looked at in one transaction.
const BATCH: u32 = 32;

/// Looks at one batch; returns how many jobs there were and what is to be sent now that it is committed.
pub(crate) async fn claim_jobs(desk: &Arc<Desk>) -> Result<(usize, Vec<Errand>), ConductorError> {
    desk.transaction(|desk, tx| {
        let now = desk.clock.now();
        let due = tx.jobs().claim_due(now, BATCH)?;
        let count = due.len();
        let mut errands = Vec::new();
        for job in due {
            look(tx, job, now, &mut errands)?;
        }
        Ok((count, errands))
    })
    .await
}

/// Whether the conductor hands work to this client. One that polls drives itself.
pub(crate) fn is_driven(client: &Client) -> bool {
    client.link != Link::Poll
}

fn look(tx: &mut Tx, mut due: DueJob, now: Timestamp, errands: &mut Vec<Errand>) -> Result<(), DbError> {
    let (project, id) = (due.job.project_id.clone(), due.job.job_id.clone());
    let client = tx.clients().get(&project, &due.job.client_id)?;
    let Some(client) = client.filter(is_driven) else {
        // Not ours (yet): its agent's hello brings the job back.
        let planning = Planning {
            planned_version: due.planned_version,
            next_run_at: due.job.next_run_at,
            attention_at: None,
        };
        tx.jobs().set_planning(&project, &id, planning)?;
        return Ok(());
    };
    let active = tx.runs().active_for_job(&project, &id)?;
    let before = due.job.state.clone();
    let (planning, orders) = look_at(&mut due, !active.is_empty(), now);
    if orders.abort_runs {
        for run in &active {
            abort(tx, run, &client, now, errands)?;
        }
    }
    if let Some(run) = &orders.fire {
        tx.runs().insert(run)?;
        session::enter(tx, &mut due.job, now)?;
        tracing::info!(project = %project, job = %id, run = %run.run_id, cause = %run.cause, "fired");
    }
    if due.job.state != before {
        tx.jobs().set_state(&project, &id, &due.job.state)?;
    }
    tx.jobs().set_planning(&project, &id, planning)?;
    Ok(())
}

fn abort(
    tx: &mut Tx,
    run: &freezer_model::Run,
    client: &Client,
    now: Timestamp,
    errands: &mut Vec<Errand>,
) -> Result<(), DbError> {
    let Some(mut run) = tx.runs().get_for_update(&run.run_id)?.filter(|run| !run.state.is_final()) else {
        return Ok(());
    };
    if run.abort_requested {
        return Ok(());
    }
    run.abort_requested = true;
    if run.state == freezer_model::RunState::Queued {
        run.attention_at = Some(now);
    } else {
        errands.push(Errand::abort(&run, client));
    }
    tx.runs().save(&run)
}
