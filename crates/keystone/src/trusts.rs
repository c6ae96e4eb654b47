//! Trusts (OS-TRUST): one user lets another one act in a project within some roles, for a time or for good.
//!
//! Thin calls on a [`Session`], which must be the trustor's for everything that changes something. A trust's id is no
//! secret, but whoever is the trustee can use it: it stays out of logs here.

use crate::error::KeystoneError;
use crate::login::error_message;
use crate::service_request::ServiceRequest;
use crate::session::Session;
use chrono::{DateTime, Utc};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

const PATH: &str = "/OS-TRUST/trusts";

/// What a trust shall allow. It does not end by itself, gives no impersonation and cannot be handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTrust {
    pub trustor_user_id: String,
    pub trustee_user_id: String,
    pub project_id: String,
    /// By name; the trustor must hold them in the project.
    pub roles: Vec<String>,
}

/// A trust as Keystone knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    pub id: String,
    pub trustor_user_id: String,
    pub trustee_user_id: String,
    pub project_id: Option<String>,
    pub impersonation: bool,
    /// `None`: it does not end by itself.
    pub expires_at: Option<DateTime<Utc>>,
    pub deleted_at: Option<DateTime<Utc>>,
    /// `None`: it can be used without limit.
    pub remaining_uses: Option<i64>,
    /// Names. Keystone leaves them out of lists: only [`Session::show_trust`] and [`Session::create_trust`] tell.
    pub roles: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Document {
    id: String,
    trustor_user_id: String,
    trustee_user_id: String,
    #[serde(default)]
    project_id: Option<String>,
    #[serde(default)]
    impersonation: bool,
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
    #[serde(default)]
    deleted_at: Option<DateTime<Utc>>,
    #[serde(default)]
    remaining_uses: Option<i64>,
    #[serde(default)]
    roles: Option<Vec<RoleName>>,
}

#[derive(Deserialize)]
struct RoleName {
    name: String,
}

#[derive(Deserialize)]
struct One {
    trust: Document,
}

#[derive(Deserialize)]
struct Many {
    trusts: Vec<Document>,
}

impl From<Document> for Trust {
    fn from(document: Document) -> Self {
        Self {
            id: document.id,
            trustor_user_id: document.trustor_user_id,
            trustee_user_id: document.trustee_user_id,
            project_id: document.project_id,
            impersonation: document.impersonation,
            expires_at: document.expires_at,
            deleted_at: document.deleted_at,
            remaining_uses: document.remaining_uses,
            roles: document.roles.map(|roles| roles.into_iter().map(|role| role.name).collect()),
        }
    }
}

impl Session {
    /// Makes a trust; the session's user must be the trustor.
    ///
    /// # Errors
    /// [`KeystoneError::TrustRefused`] when Keystone does not know a role or the trustee, or the trustor lacks a role.
    pub async fn create_trust(&self, new: &NewTrust) -> Result<Trust, KeystoneError> {
        let roles: Vec<_> = new.roles.iter().map(|name| json!({ "name": name })).collect();
        let body = json!({"trust": {
            "trustor_user_id": new.trustor_user_id,
            "trustee_user_id": new.trustee_user_id,
            "project_id": new.project_id,
            "impersonation": false,
            "allow_redelegation": false,
            "roles": roles,
        }});
        let limit = self.options().keystone_timeout;
        let answer = self.trusts(Method::POST, "").await?.json(&body).timeout(limit).send().await?;
        if answer.status() == StatusCode::CREATED {
            return Ok(read::<One>(answer).await?.trust.into());
        }
        let what = format!(
            "a trust of user {} for user {} in project {} with the roles {}",
            new.trustor_user_id,
            new.trustee_user_id,
            new.project_id,
            new.roles.join(", ")
        );
        Err(refusal(answer, what).await)
    }

    /// The trusts between two users, of any project; without their roles.
    pub async fn list_trusts(&self, trustor: &str, trustee: &str) -> Result<Vec<Trust>, KeystoneError> {
        let request = self.trusts(Method::GET, "").await?;
        let request = request.query("trustor_user_id", trustor).query("trustee_user_id", trustee);
        let answer = request.timeout(self.options().keystone_timeout).send().await?;
        if answer.status() == StatusCode::OK {
            let found = read::<Many>(answer).await?.trusts.into_iter().map(Trust::from);
            // Keystone answers those of the one and those for the other, a trust between them twice.
            let mut between: Vec<Trust> = found
                .filter(|trust| trust.trustor_user_id == trustor && trust.trustee_user_id == trustee)
                .collect();
            between.sort_by(|one, other| one.id.cmp(&other.id));
            between.dedup_by(|one, other| one.id == other.id);
            return Ok(between);
        }
        Err(refusal(answer, format!("the list of trusts of user {trustor} for user {trustee}")).await)
    }

    /// The trust; `None` when there is none of that id (any more), or none that this user may see.
    pub async fn show_trust(&self, id: &str) -> Result<Option<Trust>, KeystoneError> {
        let request = self.trusts(Method::GET, &below(id)?).await?;
        let answer = request.timeout(self.options().keystone_timeout).send().await?;
        match answer.status() {
            StatusCode::OK => Ok(Some(read::<One>(answer).await?.trust.into())),
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(None),
            _ => Err(refusal(answer, format!("a look at trust {id}")).await),
        }
    }

    /// Ends a trust; one that is not there has ended already.
    pub async fn delete_trust(&self, id: &str) -> Result<(), KeystoneError> {
        let request = self.trusts(Method::DELETE, &below(id)?).await?;
        let answer = request.timeout(self.options().keystone_timeout).send().await?;
        match answer.status() {
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(()),
            _ => Err(refusal(answer, format!("the end of trust {id}")).await),
        }
    }
}

impl Session {
    /// A request below the trusts of the Keystone that this session logs in at.
    async fn trusts(&self, method: Method, below: &str) -> Result<ServiceRequest, KeystoneError> {
        let login = self.login().await?;
        let request = self.request_address(method, &format!("{}{PATH}{below}", login.identity_url));
        let options = self.options();
        Ok(request.retries(options.identity_retries.unwrap_or(options.retries)))
    }
}

/// Ids are Keystone's own hex digits; anything else would be another path.
fn below(id: &str) -> Result<String, KeystoneError> {
    let is_plain =
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    match is_plain {
        true => Ok(format!("/{id}")),
        false => Err(KeystoneError::Unsendable {
            what: "the id of a trust".to_owned(),
            cause: "it holds more than letters, digits, '-' and '_'".to_owned(),
        }),
    }
}

async fn read<T: for<'d> Deserialize<'d>>(answer: Response) -> Result<T, KeystoneError> {
    let url = answer.url().to_string();
    answer.json().await.map_err(|error| KeystoneError::BadDocument { url, cause: error.to_string() })
}

async fn refusal(answer: Response, what: String) -> KeystoneError {
    let (url, status) = (answer.url().to_string(), answer.status().as_u16());
    let detail = error_message(answer).await;
    match status {
        429 | 500.. => KeystoneError::Answer { method: "OS-TRUST".to_owned(), url, status, detail },
        _ => KeystoneError::TrustRefused { what, status, detail },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn documents_of_keystone_are_read() {
        let text = r#"{"trust": {"id": "t1", "trustor_user_id": "a", "trustee_user_id": "b", "project_id": "p",
            "impersonation": false, "expires_at": "2030-01-01T00:00:00.000000Z", "deleted_at": null, "remaining_uses": 3,
            "redelegation_count": 0, "roles": [{"id": "r", "name": "member", "links": {}}], "links": {"self": "x"}}}"#;
        let trust = Trust::from(serde_json::from_str::<One>(text).unwrap().trust);
        assert_eq!(trust.roles, Some(vec!["member".to_owned()]));
        assert_eq!(trust.expires_at.unwrap().timestamp(), 1_893_456_000);
        assert_eq!((trust.deleted_at, trust.remaining_uses), (None, Some(3)));
    }

    #[test]
    fn an_id_is_no_path() {
        assert!(below("e3c1b5a0d2f84a7c").is_ok());
        for bad in ["", "a/b", "..", "a?b", "a%2fb"] {
            assert!(below(bad).is_err(), "{bad}");
        }
    }
}
