//! Access through a Keystone session of this project's own crate.

use super::access::{AccessError, SwiftAccess};
use async_trait::async_trait;
use keystone::{KeystoneError, Secret, Session};

/// Tokens of a [`Session`], the account from its catalogue (service type `object-store`, or what the
/// session's options put in its place).
#[derive(Clone, Debug)]
pub struct SessionAccess {
    session: Session,
}

impl SessionAccess {
    pub fn new(session: Session) -> Self {
        Self { session }
    }
}

#[async_trait]
impl SwiftAccess for SessionAccess {
    async fn token(&self) -> Result<String, AccessError> {
        Ok(self.session.token().await.map_err(failure)?.expose().to_string())
    }
    async fn refuse(&self, token: &str) {
        self.session.refuse(&Secret::from(token));
    }
    async fn endpoint(&self) -> Result<String, AccessError> {
        self.session.endpoint("object-store", None, None).await.map_err(failure)
    }
    fn http(&self) -> reqwest::Client {
        self.session.http().clone()
    }
}

fn failure(error: KeystoneError) -> AccessError {
    if error.is_temporary() {
        AccessError::Unavailable(error.to_string())
    } else {
        AccessError::Refused(error.to_string())
    }
}
