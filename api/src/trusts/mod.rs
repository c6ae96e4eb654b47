//! Keystone trusts for jobs of central clients: made, found again, ended. Only Keystone is spoken to here; which job uses which
//! trust is `jobs/trust.rs`, and what must not happen at the same time is settled by the database (`freezer_database::Trusts`).
//!
//! Trustor is the caller, trustee the service user whose credentials `[centralized_scheduler] auth_section` names. Ids of trusts
//! are kept out of logs.

mod end;
mod obtain;

pub use obtain::Offer;

use crate::error::ApiError;
use keystone::{KeystoneError, Session};

/// `[centralized_scheduler]`, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustOptions {
    /// Trusts are made for jobs of central clients.
    pub is_enabled: bool,
    /// ... and for all other jobs.
    pub for_every_job: bool,
    /// What a trust gives; empty: every role of the caller's token.
    pub roles: Vec<String>,
}

impl Default for TrustOptions {
    fn default() -> Self {
        Self { is_enabled: true, for_every_job: false, roles: vec!["member".to_owned()] }
    }
}

/// The way to Keystone, for trusts. Clones share sessions.
#[derive(Clone)]
pub struct Trustees {
    pub options: TrustOptions,
    /// This service's own login; it says where Keystone is and how it is reached.
    service: Session,
    /// The login that acts under the trusts.
    trustee: Session,
}

impl Trustees {
    pub fn new(options: TrustOptions, service: Session, trustee: Session) -> Self {
        Self { options, service, trustee }
    }

    async fn trustee_id(&self) -> Result<String, ApiError> {
        self.trustee.user_id().await.map_err(|error| {
            let text = "Cannot deduce trustee user from auth_section";
            refused(text.to_owned(), &error, "check [centralized_scheduler] auth_section and its credentials")
        })
    }
}

/// What the caller is told when Keystone would not; a Keystone that is away is not the caller's fault.
fn refused(description: String, error: &KeystoneError, hint: &str) -> ApiError {
    if error.is_temporary() {
        return ApiError::identity_away(error.to_string());
    }
    ApiError::missing_credentials(description, format!("{error}; {hint}"))
}
