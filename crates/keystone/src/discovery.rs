//! Finding the Identity API v3 below `auth_url`.
//!
//! An address that ends with `/v3` is taken at its word. Otherwise the version document is asked, and the
//! *path* of its v3 link is put on the host that was asked: behind a proxy the host in the link is often wrong.

use crate::error::KeystoneError;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

#[derive(Deserialize)]
struct Version {
    id: String,
    #[serde(default)]
    links: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    rel: String,
    href: String,
}

/// The address below which `/auth/tokens` lies, without a slash at its end.
pub(crate) async fn find_v3(
    client: &Client,
    auth_url: &str,
    limit: Duration,
) -> Result<String, KeystoneError> {
    let base = auth_url.trim_end_matches('/');
    if base.ends_with("/v3") {
        return Ok(base.to_owned());
    }
    let asked = format!("{base}/");
    let response = client
        .get(&asked)
        .header("Accept", "application/json")
        .timeout(limit)
        .send()
        .await
        .map_err(|error| KeystoneError::unreachable(&asked, &error))?;
    let status = response.status().as_u16();
    if status != 200 && status != 300 {
        let detail = "version discovery failed; check auth_url".to_owned();
        return Err(KeystoneError::Answer { method: "GET".to_owned(), url: asked, status, detail });
    }
    let document: Value =
        response.json().await.map_err(|error| bad_document(&asked, &format!("it is no JSON ({error})")))?;
    v3_link(&document)
        .ok_or_else(|| bad_document(&asked, "it names no version 3"))
        .and_then(|href| on_asked_host(&asked, &href))
}

fn bad_document(url: &str, cause: &str) -> KeystoneError {
    KeystoneError::BadDocument { url: url.to_owned(), cause: cause.to_owned() }
}

/// `{"versions": {"values": […]}}` at the root, `{"versions": […]}` elsewhere, `{"version": {…}}` below /v3.
fn v3_link(document: &Value) -> Option<String> {
    let versions = document.get("versions");
    let list = versions.and_then(|v| v.get("values")).or(versions).and_then(Value::as_array);
    let single = document.get("version");
    list.into_iter().flatten().chain(single).find_map(|value| {
        let version = Version::deserialize(value).ok()?;
        let is_v3 = version.id == "v3" || version.id.starts_with("v3.");
        let link = version.links.into_iter().find(|link| link.rel == "self")?;
        is_v3.then_some(link.href)
    })
}

fn on_asked_host(asked: &str, href: &str) -> Result<String, KeystoneError> {
    let base = Url::parse(asked).map_err(|error| bad_document(asked, &error.to_string()))?;
    let link = base.join(href).map_err(|error| bad_document(asked, &format!("link {href}: {error}")))?;
    let mut found = base;
    found.set_path(link.path());
    Ok(found.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_link_is_found_in_every_form() {
        let version =
            |id: &str| json!({"id": id, "links": [{"rel": "self", "href": "http://inner:5000/v3/"}]});
        for document in [
            json!({"versions": {"values": [version("v2.0"), version("v3.14")]}}),
            json!({"versions": [version("v3")]}),
            json!({"version": version("v3.14")}),
        ] {
            assert_eq!(v3_link(&document).as_deref(), Some("http://inner:5000/v3/"), "{document}");
        }
        assert_eq!(v3_link(&json!({"versions": {"values": [version("v2.0")]}})), None);
        assert_eq!(v3_link(&json!(["what"])), None);
    }

    #[test]
    fn the_asked_host_is_kept() {
        let found = |href| on_asked_host("https://cloud.example/identity/", href).unwrap();
        assert_eq!(found("http://inner:5000/identity/v3/"), "https://cloud.example/identity/v3");
        assert_eq!(found("v3"), "https://cloud.example/identity/v3");
    }
}
