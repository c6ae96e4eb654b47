//! What Keystone says about a token: the answer of `POST` and `GET /v3/auth/tokens`.
//!
//! Only what is used is read; unknown fields are let pass, so that a newer Keystone is no problem.

use crate::catalog::Catalog;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// An id with its name, and for users and projects the domain they live in.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Owner {
    pub id: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub domain: Option<DomainName>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct DomainName {
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Role {
    pub name: String,
}

/// One thing an application credential may do.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct AccessRule {
    pub service: String,
    pub method: String,
    pub path: String,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct UsedCredential {
    pub id: String,
    /// None: everything is allowed. An empty list: nothing.
    #[serde(default)]
    pub access_rules: Option<Vec<AccessRule>>,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct UsedTrust {
    pub id: String,
    #[serde(default)]
    pub impersonation: bool,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct SystemScope {
    #[serde(default)]
    pub all: bool,
}

/// The object below `token`.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct TokenDocument {
    #[serde(deserialize_with = "time")]
    pub expires_at: DateTime<Utc>,
    #[serde(default)]
    pub methods: Vec<String>,
    pub user: Owner,
    #[serde(default)]
    pub project: Option<Owner>,
    #[serde(default)]
    pub domain: Option<DomainName>,
    #[serde(default)]
    pub system: Option<SystemScope>,
    #[serde(default)]
    pub roles: Vec<Role>,
    #[serde(default)]
    pub catalog: Option<Catalog>,
    #[serde(default)]
    pub is_admin_project: Option<bool>,
    #[serde(default)]
    pub application_credential: Option<UsedCredential>,
    #[serde(default, rename = "OS-TRUST:trust")]
    pub trust: Option<UsedTrust>,
    #[serde(default)]
    pub bind: Option<serde_json::Map<String, Value>>,
}

/// Keystone leaves the zone out when the end is that of an application credential; it is UTC then as well.
fn time<'d, D: Deserializer<'d>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let zoned = DateTime::parse_from_rfc3339(&text).map(|time| time.with_timezone(&Utc));
    zoned.or_else(|error| {
        text.parse::<NaiveDateTime>().map(|time| time.and_utc()).map_err(|_| D::Error::custom(error))
    })
}

impl TokenDocument {
    /// Reads `{"token": {…}}`.
    pub(crate) fn from_answer(answer: &Value) -> Result<Self, String> {
        let token = answer.get("token").ok_or("it has no \"token\"")?;
        Self::deserialize(token).map_err(|error| error.to_string())
    }

    pub fn role_names(&self) -> Vec<String> {
        self.roles.iter().map(|role| role.name.clone()).collect()
    }

    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at <= now
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn an_end_without_a_zone_is_utc() {
        let read = |end: &str| {
            TokenDocument::from_answer(&json!({"token": {"expires_at": end, "user": {"id": "u"}}}))
        };
        for end in ["2026-11-26T01:50:04.000000Z", "2026-11-26T01:50:04", "2026-11-26T01:50:04.000000"] {
            assert_eq!(read(end).unwrap().expires_at.timestamp(), 1_795_657_804, "{end}");
        }
        assert!(read("soon").is_err());
    }
}
