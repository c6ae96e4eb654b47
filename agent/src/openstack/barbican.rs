//! Keys in Barbican: read with a volume that they encrypt, and made again for one that comes back.

use super::cloud::{Cloud, Service, checked_id, good, text_at};
use super::error::CloudError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{TimeDelta, Utc};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

const SERVICE: Service = Service::Barbican;
const RAW: &str = "application/octet-stream";
/// Longer secrets are no keys.
const BYTES_MAX: usize = 4096;
/// What a killed restore leaves and no agent removes is gone after so many days. That it ends also tells it from the copy that the
/// restored volume needs: Cinder gives that the same name, and no end.
const LIFETIME_DAYS: i64 = 7;
/// Before any key ends.
const LONG_AGO: &str = "gt:2000-01-01T00:00:00";
/// More rows are not answered at a time.
const PAGE: &str = "100";

/// A symmetric key. It stands in encrypted backups only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Key {
    pub algorithm: Option<String>,
    pub bit_length: Option<u64>,
    pub mode: Option<String>,
    /// Base64.
    bytes: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

fn path(id: &str) -> Result<String, CloudError> {
    Ok(format!("/secrets/{}", checked_id(SERVICE, "secret", id)?))
}

/// The key with this id.
///
/// # Errors
/// When the login may not read it, or it is not there any more.
pub async fn read(cloud: &Cloud, id: &str) -> Result<Key, CloudError> {
    let (path, what) = (path(id)?, format!("key {id}"));
    let facts = cloud.get(SERVICE, &path, &[], &what).await?;
    let request = cloud.request(SERVICE, Method::GET, &format!("{path}/payload"), None).await?;
    let answer = good(SERVICE, cloud.send(SERVICE, request.header("Accept", RAW)).await?, &what).await?;
    let wrong = |cause: String| CloudError::Answer {
        service: SERVICE.name(),
        what: what.clone(),
        cause,
        request: String::new(),
    };
    let bytes = answer.bytes().await.map_err(|error| wrong(error.without_url().to_string()))?;
    if bytes.is_empty() || bytes.len() > BYTES_MAX {
        return Err(wrong(format!("{} bytes are no key", bytes.len())));
    }
    let text = |name: &str| facts.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Key {
        algorithm: text("algorithm"),
        bit_length: facts.get("bit_length").and_then(Value::as_u64),
        mode: text("mode"),
        bytes: STANDARD.encode(&bytes),
    })
}

/// A new secret of the login's project with this key, for Cinder to copy; answers its id.
pub async fn create(cloud: &Cloud, name: &str, key: &Key) -> Result<String, CloudError> {
    let expiration = Utc::now() + TimeDelta::days(LIFETIME_DAYS);
    let mut body = json!({
        "name": name,
        "expiration": expiration.format("%FT%T").to_string(),
        "secret_type": "symmetric",
        "algorithm": key.algorithm,
        "bit_length": key.bit_length,
        "mode": key.mode,
        "payload": key.bytes,
        "payload_content_type": RAW,
        "payload_content_encoding": "base64",
    });
    if let Some(fields) = body.as_object_mut() {
        // Barbican takes no null.
        fields.retain(|_, value| !value.is_null());
    }
    let answer = cloud.post(SERVICE, "/secrets", &body, "to keep the key of a volume").await;
    let answer = answer.map_err(without_words)?;
    id_of(&text_at(SERVICE, &answer, "/secret_ref")?)
}

/// The secrets of the project that end some day, with their ids.
pub async fn list_ending(cloud: &Cloud) -> Result<Vec<Value>, CloudError> {
    let (mut found, mut seen) = (Vec::new(), 0_usize);
    loop {
        let offset = seen.to_string();
        let query = [("expiration", LONG_AGO), ("limit", PAGE), ("offset", offset.as_str())];
        let answer = cloud.get(SERVICE, "/secrets", &query, "the list of secrets").await?;
        let rows = answer.get("secrets").and_then(Value::as_array).cloned().unwrap_or_default();
        seen += rows.len();
        let is_last = rows.is_empty() || answer.get("next").is_none_or(Value::is_null);
        for mut row in rows.into_iter().filter(|row| row.get("expiration").is_some_and(Value::is_string)) {
            let id = id_of(&text_at(SERVICE, &row, "/secret_ref")?)?;
            if let Some(fields) = row.as_object_mut() {
                fields.insert("id".to_owned(), Value::String(id));
            }
            found.push(row);
        }
        if is_last {
            return Ok(found);
        }
    }
}

/// A refusal may quote what it refuses.
fn without_words(error: CloudError) -> CloudError {
    match error {
        CloudError::Refused { service, what, status, request, .. } => CloudError::Refused {
            service,
            what,
            status,
            message: "its words are not shown, as they may quote the key".to_owned(),
            request,
            next: "see the log of Barbican",
        },
        other => other,
    }
}

pub async fn show(cloud: &Cloud, id: &str) -> Result<Value, CloudError> {
    cloud.get(SERVICE, &path(id)?, &[], &format!("secret {id}")).await
}

pub async fn delete(cloud: &Cloud, id: &str) -> Result<(), CloudError> {
    cloud.delete(SERVICE, &path(id)?, &format!("to remove secret {id}")).await
}

/// Barbican names secrets by their addresses.
fn id_of(reference: &str) -> Result<String, CloudError> {
    let id = reference.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    checked_id(SERVICE, "secret", id).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_is_never_shown() {
        let key = Key {
            algorithm: Some("aes".into()),
            bit_length: Some(256),
            mode: None,
            bytes: STANDARD.encode("very secret"),
        };
        assert_eq!(format!("{key:?}"), "Key(***)");
        assert_eq!(serde_json::from_value::<Key>(serde_json::to_value(&key).unwrap()).unwrap(), key);
    }

    #[test]
    fn a_refusal_does_not_tell_the_key() {
        let refused = CloudError::refused(
            "Barbican",
            "a key".into(),
            400,
            r#"{"code": 400, "title": "Bad Request", "description": "'c2VjcmV0' is too long"}"#,
            None,
        );
        assert!(refused.to_string().contains("is too long"), "{refused}");
        let said = without_words(refused).to_string();
        assert!(said.contains("400") && !said.contains("c2VjcmV0"), "{said}");
    }

    #[test]
    fn ids_are_the_ends_of_addresses() {
        assert_eq!(id_of("http://there:9311/v1/secrets/12-ab").unwrap(), "12-ab");
        assert!(id_of("http://there/..").is_err());
    }
}
