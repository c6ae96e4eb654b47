//! POST /v2/{project_id}/agents/{client_id}/work?wait=SECS: the agent's orders, waited for.
//!
//! An order is a run's row: handed out (`dispatched`) and not among the steps the agent says it holds. Reading changes
//! nothing, so an answer that is lost on its way is simply given again, and the run's epoch tells the agent repeats apart.

use super::{holder, read};
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_database::{HandedRun, Tx};
use freezer_model::rpc::{AbortRun, HeldStep, Reporter, RunAction, WorkReply, WorkRequest};
use freezer_model::{Link, ProjectId, Run, RunState};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait: proxies cut what is silent for a minute.
const WAIT_SECS_MAX: u64 = 50;
/// Orders of one answer; the next poll gets those that follow. Actions may be long: a thousand could be hundreds of megabytes.
const ORDERS_MAX: usize = 32;
/// A waiting request looks for itself after this time, in case the word that there is work was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Answers as soon as there are orders, or with none after `wait` seconds.
pub async fn work(mut call: Call) -> Result<HttpResponse, ApiError> {
    let agent = holder(&call).await?;
    let end = Instant::now() + wait(&call)?;
    let known = known(&mut call).await?;
    let state = call.state.clone();
    let place = state.work.wait_for(&agent);
    let mut is_called = false;
    loop {
        // From before the look: what comes during it is not missed.
        let called = place.called();
        let orders = look(&call, agent.clone(), known.clone()).await?;
        let now = Instant::now();
        if is_called && !orders.run_action.is_empty() {
            tracing::debug!("agent {} was called to its orders", agent.client_id);
        }
        if !orders.run_action.is_empty()
            || !orders.abort_run.is_empty()
            || now >= end
            || state.work.is_closed()
        {
            return Ok(HttpResponse::Ok().json(orders));
        }
        is_called = tokio::time::timeout(LOOK_AGAIN.min(end - now), called).await.is_ok();
    }
}

fn wait(call: &Call) -> Result<Duration, ApiError> {
    let Some(text) = call.query()?.text("wait").map(str::to_owned) else { return Ok(Duration::ZERO) };
    let secs: u64 =
        text.parse().map_err(|_| ApiError::invalid_parameter("wait", "The value must be whole seconds."))?;
    Ok(Duration::from_secs(secs.min(WAIT_SECS_MAX)))
}

async fn known(call: &mut Call) -> Result<WorkRequest, ApiError> {
    match call.json().await?.0 {
        None => Ok(WorkRequest::default()),
        Some(body @ Value::Object(_)) => read("WorkRequest", body),
        Some(_) => Err(ApiError::bad_request("The body must be a JSON object")),
    }
}

async fn look(call: &Call, agent: Reporter, known: WorkRequest) -> Result<WorkReply, ApiError> {
    call.read(move |tx| {
        let client = tx.clients().get(&agent.project_id, &agent.client_id)?;
        let Some(client) = client.filter(|client| client.project_id == agent.project_id) else {
            return Err(ApiError::not_found("Client", &agent.client_id));
        };
        if client.link != Link::Http {
            let text = format!("Client {} is not on this link: say hello first", agent.client_id);
            return Err(ApiError::conflict(text));
        }
        let project = (!client.is_central).then_some(&agent.project_id);
        let (mut reply, mut new) = (WorkReply::default(), Vec::new());
        for run in tx.runs().handed_to(project, &agent.client_id)? {
            let Some(news) = News::of(&run, &known) else { continue };
            if client.is_central && !is_seen_as(tx, &run.project_id, &agent)? {
                continue;
            }
            match news {
                News::Abort => reply.abort_run.push(AbortRun { run_id: run.run_id, epoch: run.epoch }),
                News::Order if new.len() < ORDERS_MAX => new.push(run.run_id),
                News::Order => {}
            }
        }
        // What has been taken back since is none any more.
        let orders = tx.runs().without_steps(&new)?.into_iter();
        for run in orders.filter(|run| run.state == RunState::Dispatched) {
            let trust_id = if client.is_central { trust_of(tx, &run)? } else { None };
            reply.run_action.extend(RunAction::of(&run, trust_id));
        }
        Ok(reply)
    })
    .await
}

/// What the agent does not know of a run.
enum News {
    Order,
    Abort,
}

impl News {
    fn of(run: &HandedRun, known: &WorkRequest) -> Option<Self> {
        let step = HeldStep { run_id: run.run_id.clone(), epoch: run.epoch };
        let is_held = known.held.contains(&step);
        if run.abort_requested {
            return (is_held && !known.ending.contains(&step)).then_some(Self::Abort);
        }
        (run.is_to_begin && !is_held).then_some(Self::Order)
    }
}

/// Whether the project means this central client by the name it gave.
fn is_seen_as(tx: &mut Tx, project: &ProjectId, agent: &Reporter) -> Result<bool, ApiError> {
    let seen = tx.clients().get(project, &agent.client_id)?;
    Ok(seen.is_some_and(|client| client.project_id == agent.project_id))
}

fn trust_of(tx: &mut Tx, run: &Run) -> Result<Option<String>, ApiError> {
    let job = tx.jobs().get(&run.project_id, &run.job_id)?;
    Ok(job.and_then(|job| job.credentials).map(|trust| trust.trust_id))
}
