//! Who may speak for a run: the agent of the client it was handed to, and nobody else.

use freezer_database::{DbError, Tx};
use freezer_model::rpc::Reporter;
use freezer_model::{Link, Run};

/// Whether a report about this run may come from there. Agents on the message bus may leave out who they are (older ones
/// do); what comes over HTTP never may: the API writes there whom it has authenticated.
pub(crate) fn may_report(tx: &mut Tx, run: &Run, reporter: Option<&Reporter>) -> Result<bool, DbError> {
    if reporter.is_some_and(|reporter| reporter.client_id != run.client_id) {
        return Ok(false);
    }
    let client = tx.clients().get(&run.project_id, &run.client_id)?;
    Ok(match (reporter, client) {
        // Not everybody in a project whose runs a central client does: only that client's agent, from its own project. A client that
        // was deleted meanwhile may end what it has begun.
        (Some(reporter), client) if reporter.project_id == run.project_id => {
            client.is_none_or(|client| client.project_id == run.project_id)
        }
        // An agent of another project works for this one only as the central client the project sees.
        (Some(reporter), client) => {
            client.is_some_and(|client| client.is_central && client.project_id == reporter.project_id)
        }
        (None, client) => client.is_none_or(|client| client.link != Link::Http),
    })
}
