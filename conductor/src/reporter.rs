//! Who may speak for a run: the agent of the client it was handed to, and nobody else.

use freezer_database::{DbError, Tx};
use freezer_model::rpc::Reporter;
use freezer_model::{Link, Run};

/// Whether a report about this run may come from there. Agents on the message bus may leave out who they are (older ones
/// do); what comes over HTTP never may: the API writes there whom it has authenticated.
pub(crate) fn may_report(tx: &mut Tx, run: &Run, reporter: Option<&Reporter>) -> Result<bool, DbError> {
    if let Some(reporter) = reporter {
        if reporter.client_id != run.client_id {
            return Ok(false);
        }
        if reporter.project_id == run.project_id {
            return Ok(true);
        }
    }
    let client = tx.clients().get(&run.project_id, &run.client_id)?;
    Ok(match (reporter, client) {
        // An agent of another project works for this one only as the central client the project sees.
        (Some(reporter), client) => {
            client.is_some_and(|client| client.is_central && client.project_id == reporter.project_id)
        }
        (None, client) => client.is_none_or(|client| client.link != Link::Http),
    })
}
