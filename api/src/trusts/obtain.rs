//! A trust for the caller: one that is there and holds, else a new one.

use super::{Trustees, refused};
use crate::call::Call;
use crate::error::ApiError;
use chrono::{DateTime, Utc};
use freezer_model::{TrustCredentials, UserId};
use keystone::{KeystoneError, NewTrust, Session, Trust};

/// Trusts between two users that are looked at; there should be one.
const LOOKED_AT: usize = 8;

/// A trust that a job may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub trust: TrustCredentials,
    /// Made for this request: to be ended again if nothing comes of it.
    pub is_new: bool,
}

impl Trustees {
    /// `known` is the trust the job has already: kept while it holds. One of another user, who alone can look at it, is kept while
    /// Keystone lets the trustee act under it.
    pub async fn obtain(&self, call: &Call, known: Option<TrustCredentials>) -> Result<Offer, ApiError> {
        if let Some(trust) = known.clone().filter(|trust| trust.trustor_user_id != call.caller.user_id)
            && self.is_accepted(&trust, call.project.as_str()).await
        {
            return Ok(Offer { trust, is_new: false });
        }
        let wanted = NewTrust {
            trustor_user_id: call.caller.user_id.to_string(),
            trustee_user_id: self.trustee_id().await?,
            project_id: call.project.to_string(),
            roles: self.roles(call),
        };
        let acting = self.service.on_behalf_of(&call.caller.identity, call.project.as_str()).await;
        let acting = acting.map_err(|error| not_delegated(&wanted, &error))?;
        self.end_leftovers(call, &acting).await;
        let now = self.now(call);
        if let Some(id) =
            known.filter(|trust| trust.trustor_user_id == call.caller.user_id).map(|trust| trust.trust_id)
            && let Ok(Some(trust)) = acting.show_trust(&id).await
            && holds(&trust, &wanted, now)
        {
            return Ok(offer(trust, false));
        }
        if let Some(trust) = find(call, &acting, &wanted, now).await? {
            return Ok(offer(trust, false));
        }
        let made = acting.create_trust(&wanted).await.map_err(|error| not_delegated(&wanted, &error))?;
        tracing::info!(project = %call.project, "a trust was made for jobs of central clients");
        Ok(offer(made, true))
    }

    /// Whether the trustee may act under the trust. Without an answer it is taken to hold.
    async fn is_accepted(&self, trust: &TrustCredentials, project: &str) -> bool {
        let Ok(acting) = self.trustee.in_trust(&trust.trust_id) else { return true };
        match acting.project_id().await {
            Ok(owner) => owner.as_deref() == Some(project),
            Err(error) => error.is_temporary(),
        }
    }

    fn roles(&self, call: &Call) -> Vec<String> {
        match self.options.roles.is_empty() {
            true => call.caller.identity.roles.clone(),
            false => self.options.roles.clone(),
        }
    }

    fn now(&self, call: &Call) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(call.now.0).unwrap_or_default()
    }
}

fn offer(trust: Trust, is_new: bool) -> Offer {
    let trustor_user_id = UserId::from(trust.trustor_user_id);
    Offer { trust: TrustCredentials { trust_id: trust.id, trustor_user_id }, is_new }
}

/// One of the trusts Keystone has. A list that fails is no reason to fail: a new trust does as well.
async fn find(
    call: &Call,
    acting: &Session,
    wanted: &NewTrust,
    now: DateTime<Utc>,
) -> Result<Option<Trust>, ApiError> {
    let listed = match acting.list_trusts(&wanted.trustor_user_id, &wanted.trustee_user_id).await {
        Ok(listed) => listed,
        Err(error) => {
            tracing::warn!("trusts cannot be listed, a new one is made: {error}");
            return Ok(None);
        }
    };
    let candidates: Vec<String> = listed
        .into_iter()
        .filter(|trust| may_hold(trust, wanted, now))
        .map(|trust| trust.id)
        .take(LOOKED_AT)
        .collect();
    let ids = candidates.clone();
    let given_up = call.read(move |tx| Ok(tx.trusts().given_up(&ids)?)).await?;
    for id in candidates.iter().filter(|id| !given_up.contains(id)) {
        // The list does not tell roles.
        if let Ok(Some(trust)) = acting.show_trust(id).await
            && holds(&trust, wanted, now)
        {
            return Ok(Some(trust));
        }
    }
    Ok(None)
}

/// Everything but the roles: same people, same project, and nothing that ends it or makes it stronger than ours are.
fn may_hold(trust: &Trust, wanted: &NewTrust, now: DateTime<Utc>) -> bool {
    trust.trustor_user_id == wanted.trustor_user_id
        && trust.trustee_user_id == wanted.trustee_user_id
        && trust.project_id.as_deref() == Some(wanted.project_id.as_str())
        && !trust.impersonation
        && trust.deleted_at.is_none_or(|at| at > now)
        && trust.expires_at.is_none()
        && trust.remaining_uses.is_none()
}

fn holds(trust: &Trust, wanted: &NewTrust, now: DateTime<Utc>) -> bool {
    let sorted = |roles: &[String]| {
        let mut roles: Vec<String> = roles.iter().map(|role| role.to_lowercase()).collect();
        roles.sort();
        roles
    };
    may_hold(trust, wanted, now)
        && trust.roles.as_deref().is_some_and(|roles| sorted(roles) == sorted(&wanted.roles))
}

fn not_delegated(wanted: &NewTrust, error: &KeystoneError) -> ApiError {
    let roles = wanted.roles.join(", ");
    let text = match error {
        KeystoneError::TrustRefused { status: 404, .. } => format!("Failed to find roles {roles}"),
        _ => format!(
            "The central client needs a trust in this project with the roles {roles}, which your token cannot give: use a \
             token of a user who has these roles in this project"
        ),
    };
    refused(text, error, "check [centralized_scheduler] trusts_delegated_roles")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> NewTrust {
        NewTrust {
            trustor_user_id: "a".to_owned(),
            trustee_user_id: "b".to_owned(),
            project_id: "p".to_owned(),
            roles: vec!["member".to_owned(), "Reader".to_owned()],
        }
    }

    fn found() -> Trust {
        Trust {
            id: "t".to_owned(),
            trustor_user_id: "a".to_owned(),
            trustee_user_id: "b".to_owned(),
            project_id: Some("p".to_owned()),
            impersonation: false,
            expires_at: None,
            deleted_at: None,
            remaining_uses: None,
            roles: Some(vec!["reader".to_owned(), "member".to_owned()]),
        }
    }

    #[test]
    fn only_a_trust_like_a_new_one_is_used_again() {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        assert!(holds(&found(), &wanted(), now));
        let others = [
            Trust { trustor_user_id: "x".to_owned(), ..found() },
            Trust { trustee_user_id: "x".to_owned(), ..found() },
            Trust { project_id: Some("x".to_owned()), ..found() },
            Trust { project_id: None, ..found() },
            Trust { impersonation: true, ..found() },
            Trust { expires_at: Some(now + chrono::TimeDelta::days(1)), ..found() },
            Trust { deleted_at: Some(now), ..found() },
            Trust { remaining_uses: Some(5), ..found() },
            Trust { roles: None, ..found() },
            Trust { roles: Some(vec!["member".to_owned()]), ..found() },
            Trust {
                roles: Some(vec!["member".to_owned(), "reader".to_owned(), "admin".to_owned()]),
                ..found()
            },
        ];
        for other in others {
            assert!(!holds(&other, &wanted(), now), "{other:?}");
        }
    }
}
