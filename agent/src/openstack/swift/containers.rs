//! Containers: list, headers, create.

use super::objects::encoded;
use crate::openstack::cloud::{Cloud, Service, good};
use crate::openstack::error::CloudError;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value};

const SWIFT: Service = Service::Swift;

/// What a user has set on a container, and Swift takes back.
const KEPT: [&str; 8] = [
    "x-container-read",
    "x-container-write",
    "x-container-sync-to",
    "x-versions-location",
    "x-history-location",
    "x-versions-enabled",
    "x-storage-policy",
    "x-container-sync-key",
];
const META: &str = "x-container-meta-";

/// Rows of the account's list behind `marker`.
pub async fn list(cloud: &Cloud, marker: &str, page: &str) -> Result<Vec<Value>, CloudError> {
    let query = [("format", "json"), ("limit", page), ("marker", marker)];
    let answer = cloud.get(SWIFT, "", &query, "the list of containers").await?;
    Ok(answer.as_array().cloned().unwrap_or_default())
}

/// What was set on a container; `None` when there is none of the name.
pub async fn headers(cloud: &Cloud, name: &str) -> Result<Option<Map<String, Value>>, CloudError> {
    let path = format!("/{}", encoded(name));
    let request = cloud.request(SWIFT, Method::HEAD, &path, None).await?;
    let answer = cloud.send(SWIFT, request).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let answer = good(SWIFT, answer, &format!("container {name}")).await?;
    Ok(Some(kept(answer.headers(), &KEPT, META)))
}

/// Makes a container, or gives one its headers.
pub async fn create(cloud: &Cloud, name: &str, headers: &Map<String, Value>) -> Result<(), CloudError> {
    let path = format!("/{}", encoded(name));
    let mut request = cloud.request(SWIFT, Method::PUT, &path, None).await?;
    for (key, value) in headers {
        request = request.header(key, value.as_str().unwrap_or_default());
    }
    let answer = cloud.send(SWIFT, request).await?;
    good(SWIFT, answer, &format!("to create container {name}")).await.map(|_| ())
}

/// Headers by name that are in `known` or begin with `prefix`.
pub(super) fn kept(headers: &reqwest::header::HeaderMap, known: &[&str], prefix: &str) -> Map<String, Value> {
    let wanted = |name: &str| known.contains(&name) || name.starts_with(prefix);
    let text = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        wanted(name.as_str()).then(|| (name.as_str().to_owned(), Value::String(value)))
    };
    headers.iter().filter_map(text).collect()
}

/// The account's quota in bytes, if it has one, and what is used of it.
pub async fn account_bytes(cloud: &Cloud) -> Result<(Option<u64>, u64), CloudError> {
    let request = cloud.request(SWIFT, Method::HEAD, "", None).await?;
    let answer = good(SWIFT, cloud.send(SWIFT, request).await?, "its account").await?;
    let number =
        |key: &str| answer.headers().get(key).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    Ok((number("x-account-meta-quota-bytes"), number("x-account-bytes-used").unwrap_or_default()))
}
