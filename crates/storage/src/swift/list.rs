//! Listings: folders with a delimiter, and everything below a prefix, page after page.

use super::SwiftStore;
use super::client::Request;
use crate::store::{Entry, ObjectName, StoreError};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

/// A line of a listing: an object, or a common prefix.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Folder { subdir: String },
    Object(Listed),
}

/// An object in a listing.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Listed {
    /// Full name inside its container.
    pub name: String,
    pub bytes: u64,
    /// The ETag.
    #[serde(default)]
    hash: Option<String>,
    /// Of a static large object, whose bytes are those of its segments.
    #[serde(default)]
    slo_etag: Option<String>,
}

impl Listed {
    pub(super) fn new(name: String, bytes: u64) -> Self {
        Self { name, bytes, hash: None, slo_etag: None }
    }
}

impl Line {
    fn marker(&self) -> &str {
        match self {
            Self::Folder { subdir } => subdir,
            Self::Object(object) => &object.name,
        }
    }
}

impl SwiftStore {
    pub(super) async fn entries(&self, folder: Option<&ObjectName>) -> Result<Vec<Entry>, StoreError> {
        let all = self.all_pages(folder, Some("/"), usize::MAX).await?;
        Ok(all.unwrap_or_default())
    }

    /// All objects below a folder, unless there are more than `most`.
    pub(super) async fn entries_below(
        &self,
        folder: &ObjectName,
        most: usize,
    ) -> Result<Option<Vec<Entry>>, StoreError> {
        self.all_pages(Some(folder), None, most).await
    }

    async fn all_pages(
        &self,
        folder: Option<&ObjectName>,
        delimiter: Option<&str>,
        most: usize,
    ) -> Result<Option<Vec<Entry>>, StoreError> {
        let prefix = self.root.folder_prefix(folder);
        let mut entries: Vec<Entry> = Vec::new();
        let mut marker = String::new();
        loop {
            let page = self.page(&self.root.container, &prefix, delimiter, &marker).await?;
            let Some(last) = page.last() else { break };
            marker = last.marker().to_string();
            entries.extend(page.into_iter().filter_map(|line| entry(line, &prefix)));
            if entries.len() > most {
                return Ok(None);
            }
        }
        // Swift sorts full names, where the `/` behind a folder counts.
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(entries))
    }

    /// All objects whose full names start with `prefix`.
    pub(super) async fn names_below(&self, container: &str, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut all = Vec::new();
        let mut marker = String::new();
        loop {
            let page = self.objects_page(container, prefix, &marker).await?;
            let Some(last) = page.last() else { return Ok(all) };
            marker = last.name.clone();
            all.extend(page);
        }
    }

    /// The objects behind `marker` whose full names start with `prefix`: one page, empty at the end.
    pub(super) async fn objects_page(
        &self,
        container: &str,
        prefix: &str,
        marker: &str,
    ) -> Result<Vec<Listed>, StoreError> {
        let lines = self.page(container, prefix, None, marker).await?;
        let object = |line| match line {
            Line::Object(object) => Some(object),
            Line::Folder { .. } => None,
        };
        Ok(lines.into_iter().filter_map(object).collect())
    }

    /// One page. The end is an empty page, not a short one: how long a page may be is for the server
    /// to say.
    async fn page(
        &self,
        container: &str,
        prefix: &str,
        delimiter: Option<&str>,
        marker: &str,
    ) -> Result<Vec<Line>, StoreError> {
        let mut request = Request::new(Method::GET, container, None).query("format", "json");
        if let Some(limit) = self.page_names {
            request = request.query("limit", limit.to_string());
        }
        if !prefix.is_empty() {
            request = request.query("prefix", prefix);
        }
        if let Some(delimiter) = delimiter {
            request = request.query("delimiter", delimiter);
        }
        if !marker.is_empty() {
            request = request.query("marker", marker);
        }
        let answer = self.client.send(&request).await?;
        match answer.status() {
            // No container yet, or no object in it.
            StatusCode::NOT_FOUND | StatusCode::NO_CONTENT => return Ok(Vec::new()),
            status if status.is_success() => {}
            _ => return Err(self.client.failure(container, answer).await),
        }
        let body = tokio::time::timeout(self.client.stall_timeout, answer.bytes())
            .await
            .map_err(|_| self.client.unavailable(container, "the listing stalled".into()))?
            .map_err(|error| self.client.transport(container, &error))?;
        serde_json::from_slice(&body)
            .map_err(|error| self.client.damaged(container, format!("the listing is no listing: {error}")))
    }
}

/// A line as seen from the folder `prefix`; the marker object of the folder itself is none.
fn entry(line: Line, prefix: &str) -> Option<Entry> {
    let (full, is_folder, size_bytes) = match &line {
        Line::Folder { subdir } => (subdir.strip_suffix('/').unwrap_or(subdir), true, 0),
        Line::Object(object) if object.slo_etag.is_some() => (object.name.as_str(), false, 0),
        Line::Object(object) => (object.name.as_str(), false, object.bytes),
    };
    let name = full.strip_prefix(prefix)?;
    if name.is_empty() {
        return None;
    }
    let tag = match &line {
        Line::Folder { .. } => None,
        Line::Object(object) => object.hash.clone(),
    };
    Some(Entry { name: name.to_string(), is_folder, size_bytes, tag, stamp: None })
}
