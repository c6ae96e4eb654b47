//! Leases of the steps that agents say they hold, for many agents and steps with few statements.

use crate::desk::Desk;
use freezer_database::{DbError, Tx, Workers};
use freezer_model::rpc::{AgentHello, HelloReply};
use freezer_model::{ClientId, ProjectId, RunId, Timestamp};
use std::collections::HashSet;

/// Renews the leases of held steps, and tells each agent which of its are no longer wanted. Who they are is known already.
pub(crate) fn renew(
    desk: &Desk,
    tx: &mut Tx,
    agents: &[&AgentHello],
    now: Timestamp,
) -> Result<Vec<HelloReply>, DbError> {
    let runs: HashSet<&RunId> =
        agents.iter().flat_map(|hello| &hello.held).map(|step| &step.run_id).collect();
    let holdings = tx.runs().holdings(&runs)?;
    let foreign = agents.iter().flat_map(|hello| {
        let runs = hello.held.iter().filter_map(|step| holdings.get(&step.run_id));
        let of_others =
            runs.filter(|run| run.client_id == hello.client_id && run.project_id != hello.project_id);
        of_others.map(|run| (run.project_id.clone(), run.client_id.clone()))
    });
    let workers = tx.clients().workers(&foreign.collect())?;
    let mut renewed = HashSet::new();
    let mut replies = Vec::new();
    for hello in agents {
        let mut reply = HelloReply { heartbeat_secs: desk.heartbeat_secs(hello), ..HelloReply::default() };
        for step in &hello.held {
            let run = holdings.get(&step.run_id).filter(|run| {
                run.is_held && run.epoch == step.epoch && run.client_id == hello.client_id && {
                    run.project_id == hello.project_id
                        || is_its_central(&workers, &run.project_id, &run.client_id, hello)
                }
            });
            match run {
                None => reply.drop.push(step.clone()),
                Some(run) => {
                    renewed.insert(&step.run_id);
                    if run.abort_requested {
                        reply.abort.push(step.clone());
                    }
                }
            }
        }
        replies.push(reply);
    }
    let renewed: Vec<&RunId> = renewed.into_iter().collect();
    tx.runs().renew(&renewed, now.plus(desk.options.lease))?;
    Ok(replies)
}

/// Whether the project means this agent by the client id: it works there as a central client.
fn is_its_central(workers: &Workers, project: &ProjectId, client: &ClientId, hello: &AgentHello) -> bool {
    let worker = workers.get(&(project.clone(), client.clone())).and_then(|worker| worker.as_ref().ok());
    worker.is_some_and(|worker| worker.client.is_central && worker.client.project_id == hello.project_id)
}
