//! The end of trusts that no job uses any more.
//!
//! Keystone lets only the trustor (and an administrator) end a trust. What the caller of the moment cannot end stays noted, and
//! is ended when its trustor comes by again.

use super::Trustees;
use crate::call::Call;
use freezer_model::TrustCredentials;
use keystone::Session;

/// Leftovers ended on the way of one request.
const LEFTOVERS: u32 = 8;

impl Trustees {
    /// Ends a trust that was given up. A failure is only logged.
    pub async fn end(&self, call: &Call, trust: TrustCredentials) {
        let project = call.project.as_str();
        let acting = self.service.on_behalf_of(&call.caller.identity, project).await;
        let sessions = acting.iter().chain(std::iter::once(&self.service));
        let mut causes = Vec::new();
        for session in sessions {
            match session.delete_trust(&trust.trust_id).await {
                Ok(()) => return note_ended(call, trust.trust_id).await,
                Err(error) => causes.push(error.to_string().replace(&trust.trust_id, "***")),
            }
        }
        tracing::warn!(
            project, trustor = %trust.trustor_user_id,
            "a trust that no job uses any more stays in Keystone until its trustor writes or deletes a job of a central client: {}",
            causes.join("; ")
        );
    }

    /// Ends what was left over from this user's jobs; `acting` is the user's session.
    pub(super) async fn end_leftovers(&self, call: &Call, acting: &Session) {
        let (project, user) = (call.project.clone(), call.caller.user_id.clone());
        let found = call.read(move |tx| Ok(tx.trusts().to_end(&project, &user, LEFTOVERS)?)).await;
        for trust in found.unwrap_or_default() {
            if acting.delete_trust(&trust.trust_id).await.is_ok() {
                note_ended(call, trust.trust_id).await;
            }
        }
    }
}

async fn note_ended(call: &Call, trust_id: String) {
    let now = call.now;
    let noted = call.write(move |tx| Ok(tx.trusts().ended(&trust_id, now)?)).await;
    if let Err(error) = noted {
        tracing::warn!("the end of a trust was not noted, it will be ended again: {error}");
    }
}
