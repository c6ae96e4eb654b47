//! The pass phrase of a backup, when Barbican keeps it.
//!
//! Only the id of a reference is used: the login goes to the catalogue's Barbican, wherever the reference points.

use super::cloud::{Cloud, Service, good};
use super::error::CloudError;
use crate::actions::ActionError;
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, cloud_session};
use freezer_vault::Monitor;
use freezer_vault::encryption::PassPhrase;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Longer secrets are no pass phrases.
const BYTES_MAX: u64 = 4096;

/// The first line of the secret's payload, as of a file with a pass phrase.
pub(crate) async fn pass_phrase(
    options: &ActionOptions,
    id: &str,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<PassPhrase, ActionError> {
    let session = cloud_session(options, around).await?;
    let cloud = Cloud::new(session, monitor, options.cloud.timeout_secs);
    let what = format!("secret {id} (encrypt_secret_ref)");
    let path = format!("/secrets/{id}/payload");
    let request = cloud.request(Service::Barbican, reqwest::Method::GET, &path, None);
    // Secrets of other kinds (keys, certificates) are refused by Barbican itself.
    let request = request.await?.header("Accept", "text/plain");
    let answer = good(Service::Barbican, cloud.send(Service::Barbican, request).await?, &what).await?;
    let wrong = |cause: String| CloudError::Answer {
        service: Service::Barbican.name(),
        what: what.clone(),
        cause,
        request: String::new(),
    };
    if answer.content_length().is_some_and(|bytes| bytes > BYTES_MAX) {
        return Err(wrong(format!("it has more than {BYTES_MAX} bytes")).into());
    }
    let payload = answer.bytes().await.map(|bytes| Zeroizing::new(bytes.to_vec()));
    let payload = payload.map_err(|error| wrong(error.without_url().to_string()))?;
    let line = payload.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(PassPhrase::new(line)?)
}
