//! How the Swift client gets its tokens and the address of the account.

use async_trait::async_trait;

/// Why there is no token or no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessError {
    /// The credentials are wrong or the service is not in the catalogue: trying again does not help.
    Refused(String),
    /// The identity service does not answer.
    Unavailable(String),
}

/// Tokens that renew themselves, and where the account is.
#[async_trait]
pub trait SwiftAccess: Send + Sync {
    /// A token that is believed to be good.
    async fn token(&self) -> Result<String, AccessError>;
    /// Swift answered 401 to `token`: the next [`token`](Self::token) must be another one.
    async fn refuse(&self, token: &str);
    /// Address of the account, like `https://swift.example.org/v1/AUTH_…`.
    async fn endpoint(&self) -> Result<String, AccessError>;
    fn http(&self) -> reqwest::Client;
}
