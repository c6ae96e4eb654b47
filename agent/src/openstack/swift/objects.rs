//! Objects: list, headers, content. A large object is the list of its parts here: the parts are objects as others.

use super::containers::kept;
use crate::openstack::cloud::{Cloud, Service, good};
use crate::openstack::error::CloudError;
use crate::openstack::glance::download::{self, Content};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const SWIFT: Service = Service::Swift;
/// Names of one page.
const PAGE: &str = "5000";
/// Swift's own parts, not what it makes of them.
const AS_IT_IS: (&str, &str) = ("multipart-manifest", "get");
/// What a user has set on an object, and Swift takes back.
const KEPT: [&str; 5] =
    ["content-type", "content-encoding", "content-disposition", "x-delete-at", "x-object-manifest"];
const META: &str = "x-object-meta-";

/// A row of a container's list: enough to tell whether an object is another than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub name: String,
    pub hash: String,
    pub last_modified: String,
}

/// What is known of an object beside its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    pub bytes: u64,
    pub etag: String,
    pub headers: Map<String, Value>,
    /// Its content is the list of the parts that it consists of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_list_of_parts: bool,
}

/// For a path: every byte that could mean something else is encoded, slashes of objects' names stay.
pub fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte))
            }
            // Also the dot: `.` and `..` are names as others.
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

fn path(container: &str, name: &str) -> String {
    format!("/{}/{}", encoded(container), encoded(name))
}

/// All objects of a container, in the order of their names.
pub async fn list(cloud: &Cloud, container: &str, most: usize) -> Result<Vec<Listed>, CloudError> {
    let mut all: Vec<Listed> = Vec::new();
    let what = format!("the list of container {container}");
    loop {
        let marker = all.last().map(|row| row.name.clone()).unwrap_or_default();
        let query = [("format", "json"), ("limit", PAGE), ("marker", marker.as_str())];
        let answer = cloud.get(SWIFT, &format!("/{}", encoded(container)), &query, &what).await?;
        let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        if rows.is_empty() {
            return Ok(all);
        }
        all.extend(rows.iter().filter_map(|row| serde_json::from_value::<Listed>(row.clone()).ok()));
        if all.len() > most {
            let cause = format!("has more than {most} objects, which is more than one backup holds");
            return Err(CloudError::Choice { what: format!("container {container}"), cause });
        }
    }
}

/// `None`: it is gone.
pub async fn facts(cloud: &Cloud, container: &str, name: &str) -> Result<Option<Facts>, CloudError> {
    let Some(answer) = head(cloud, container, name, true).await? else { return Ok(None) };
    let text = |key: &str| answer.get(key).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_list_of_parts = text("x-static-large-object").eq_ignore_ascii_case("true");
    let mut headers = kept(&answer, &KEPT, META);
    if is_list_of_parts {
        // Of the list itself Swift says that it is JSON; what the user has called it, it says of the whole.
        let Some(whole) = head(cloud, container, name, false).await? else { return Ok(None) };
        headers = kept(&whole, &KEPT, META);
    }
    Ok(Some(Facts {
        bytes: text("content-length").parse().unwrap_or_default(),
        etag: text("etag").trim_matches('"').to_owned(),
        is_list_of_parts,
        headers,
    }))
}

async fn head(
    cloud: &Cloud,
    container: &str,
    name: &str,
    as_it_is: bool,
) -> Result<Option<HeaderMap>, CloudError> {
    let mut request = cloud.request(SWIFT, Method::HEAD, &path(container, name), None).await?;
    if as_it_is {
        request = request.query(AS_IT_IS.0, AS_IT_IS.1);
    }
    let answer = cloud.send(SWIFT, request).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let answer = good(SWIFT, answer, &format!("object {container}/{name}")).await?;
    Ok(Some(answer.headers().clone()))
}

/// The content of an object as long as it is the one of `facts`.
pub async fn content(
    cloud: &Cloud,
    container: &str,
    name: &str,
    facts: &Facts,
) -> Result<BoxStream<'static, Result<Bytes, CloudError>>, CloudError> {
    let content = Content {
        service: SWIFT,
        path: path(container, name),
        query: vec![AS_IT_IS],
        // The hash of a list of parts is not what Swift compares with.
        etag: (!facts.is_list_of_parts).then(|| facts.etag.clone()),
        what: format!("object {container}/{name}"),
    };
    download::stream(cloud, content, facts.bytes).await
}

/// Stores an object. Its hash goes along where it is that of the content, so that Swift checks what it got.
pub async fn put(
    cloud: &Cloud,
    container: &str,
    name: &str,
    facts: &Facts,
    body: reqwest::Body,
) -> Result<(), CloudError> {
    let mut request = cloud.request(SWIFT, Method::PUT, &path(container, name), None).await?;
    for (key, value) in &facts.headers {
        request = request.header(key, value.as_str().unwrap_or_default());
    }
    request = match facts.is_list_of_parts {
        true => request.query("multipart-manifest", "put"),
        false => request.header("ETag", &facts.etag),
    };
    let length = facts.bytes.to_string();
    let answer = cloud.send(SWIFT, request.header("Content-Length", &length).stream(body)).await?;
    good(SWIFT, answer, &format!("to store object {container}/{name}")).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_whatever_they_hold() {
        assert_eq!(encoded("a b/ü%?#"), "a%20b/%C3%BC%25%3F%23");
        assert_eq!(encoded("../x"), "%2E%2E/x");
    }
}
