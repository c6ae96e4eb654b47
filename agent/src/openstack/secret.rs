//! Pass phrases of backups and passwords of storages, when Barbican keeps them.
//!
//! Only the id of a reference is used: the login goes to the catalogue's Barbican, wherever the reference points.

use super::cloud::{Cloud, Service, good};
use super::error::CloudError;
use crate::actions::ActionError;
use crate::options::typed::{ActionOptions, STORAGE_SECRET};
use crate::storages::{StorageError, Surroundings, cloud_session};
use freezer_vault::Monitor;
use freezer_vault::encryption::PassPhrase;
use keystone::Secret;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Longer secrets are no pass phrases.
const BYTES_MAX: u64 = 4096;

/// The pass phrase of backups.
pub(crate) async fn pass_phrase(
    options: &ActionOptions,
    id: &str,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<PassPhrase, ActionError> {
    let session = cloud_session(options, around).await?;
    let cloud = Cloud::new(session, monitor, options.cloud.timeout_secs);
    let line = first_line(&cloud, id, "encrypt_secret_ref").await?;
    Ok(PassPhrase::new(line.as_slice())?)
}

/// What opens a storage of this host: a password, or the secret key of S3.
pub(crate) async fn of_storage(
    options: &ActionOptions,
    id: &str,
    around: &Surroundings,
) -> Result<Secret, StorageError> {
    let session = cloud_session(options, around).await?;
    let cloud = Cloud::new(session, Arc::new(Monitor::new()), options.cloud.timeout_secs);
    let line = first_line(&cloud, id, STORAGE_SECRET).await;
    let line = line.map_err(|error| StorageError::Secret(error.to_string()))?;
    match std::str::from_utf8(&line) {
        Ok(text) if !text.is_empty() => Ok(Secret::new(text)),
        _ => Err(StorageError::Secret(format!(
            "secret {id} ({STORAGE_SECRET}) does not begin with a line of text"
        ))),
    }
}

/// The first line of a secret's payload, as of a file with a password. `option` is who named it, for messages.
async fn first_line(cloud: &Cloud, id: &str, option: &str) -> Result<Zeroizing<Vec<u8>>, CloudError> {
    let what = format!("secret {id} ({option})");
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
        return Err(wrong(format!("it has more than {BYTES_MAX} bytes")));
    }
    let payload = answer.bytes().await.map(|bytes| Zeroizing::new(bytes.to_vec()));
    let payload = payload.map_err(|error| wrong(error.without_url().to_string()))?;
    let line = payload.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(Zeroizing::new(line.to_vec()))
}
