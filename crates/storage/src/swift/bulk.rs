//! What Swift's bulk middleware answers.

use serde::Deserialize;

/// The answer to a bulk upload or delete; its own status is always 200.
#[derive(Deserialize)]
pub(super) struct BulkAnswer {
    #[serde(rename = "Number Files Created", default)]
    pub created: usize,
    #[serde(rename = "Number Deleted", default)]
    pub deleted: u64,
    #[serde(rename = "Response Status", default)]
    pub status: String,
    #[serde(rename = "Response Body", default)]
    pub text: String,
    /// (escaped name, status line)
    #[serde(rename = "Errors", default)]
    pub errors: Vec<(String, String)>,
}
