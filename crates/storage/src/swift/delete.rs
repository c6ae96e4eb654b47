//! Deleting: single objects, and trees with bulk requests where the proxy offers them.

use super::SwiftStore;
use super::bulk::BulkAnswer;
use super::client::Request;
use super::list::Listed;
use super::names::escape_path;
use crate::store::{ObjectName, StoreError};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};
use std::sync::Arc;

/// Single deletes that run at the same time when there is no bulk delete.
const PARALLEL_DELETES: usize = 8;

impl SwiftStore {
    /// Deletes one object by its full name; answers whether it was there.
    pub(super) async fn delete_object(&self, full: &str) -> Result<bool, StoreError> {
        let request = Request::new(Method::DELETE, &self.root.container, Some(full));
        let answer = self.client.send(&request).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            _ => Err(self.client.failure(full, answer).await),
        }
    }

    pub(super) async fn delete_below(&self, folder: &ObjectName) -> Result<u64, StoreError> {
        let full = self.root.full(folder);
        let mut gone = u64::from(self.retry.run(|| self.delete_object(&full)).await?);
        let prefix = self.root.folder_prefix(Some(folder));
        let container = &self.root.container;
        let mut marker = String::new();
        loop {
            let page = self.retry.run(|| self.objects_page(container, &prefix, &marker)).await?;
            let Some(last) = page.last() else { return Ok(gone) };
            marker = last.name.clone();
            gone += self.delete_page(&page).await?;
        }
    }

    /// Deletes these objects, at best with one request; answers how many were there.
    pub(super) async fn delete_page(&self, page: &[Listed]) -> Result<u64, StoreError> {
        if page.is_empty() {
            return Ok(0);
        }
        let bulk = self.abilities().await.deletes_at_once();
        let Some(limit) = bulk.filter(|_| page.len() > 1) else {
            let names: Vec<&str> = page.iter().map(|object| object.name.as_str()).collect();
            return self.delete_singly(&names).await;
        };
        let mut gone = 0;
        for names in page.chunks(limit) {
            gone += self.retry.run(|| self.delete_bulk(names)).await?;
        }
        Ok(gone)
    }

    async fn delete_singly(&self, names: &[&str]) -> Result<u64, StoreError> {
        // Owned names: a future that borrows from the slice and from the stream at once is not `Send`.
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        stream::iter(names)
            .map(|name| async move { self.retry.run(|| self.delete_object(&name)).await })
            .buffer_unordered(PARALLEL_DELETES)
            .try_fold(0, |gone, was_there| async move { Ok(gone + u64::from(was_there)) })
            .await
    }

    /// One bulk request. What it could not delete is deleted singly, which also shows why not.
    async fn delete_bulk(&self, objects: &[Listed]) -> Result<u64, StoreError> {
        let container = self.root.container.as_str();
        let lines: String = objects
            .iter()
            .map(|o| format!("{}/{}\n", escape_path(container), escape_path(&o.name)))
            .collect();
        let request = Request::new(Method::POST, "", None)
            .query("bulk-delete", "")
            .header("content-type", HeaderValue::from_static("text/plain"))
            .header("accept", HeaderValue::from_static("application/json"))
            .body(Arc::new(vec![Bytes::from(lines)]));
        let answer = self.client.send_ok(&request).await?;
        let body = tokio::time::timeout(self.client.stall_timeout, answer.bytes())
            .await
            .map_err(|_| self.client.unavailable(container, "the bulk delete stalled".into()))?
            .map_err(|error| self.client.transport(container, &error))?;
        let answer: BulkAnswer = serde_json::from_slice(&body)
            .map_err(|error| self.client.damaged(container, format!("bulk delete: {error}")))?;
        if answer.status.starts_with("200") && answer.errors.is_empty() {
            return Ok(answer.deleted);
        }
        tracing::warn!(store = %self.client.label, status = %answer.status, text = %answer.text,
            errors = answer.errors.len(), "bulk delete left objects behind; deleting them one by one");
        let names: Vec<&str> = objects.iter().map(|object| object.name.as_str()).collect();
        Ok(answer.deleted + self.delete_singly(&names).await?)
    }
}
