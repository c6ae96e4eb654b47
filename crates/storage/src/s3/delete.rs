//! Deleting: single objects, and trees a thousand at a time.

use super::S3Store;
use super::client::Request;
use crate::store::{ObjectName, StoreError};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use rusty_s3::S3Action;
use rusty_s3::actions::{DeleteObjectsResponse, ObjectIdentifier};

/// Single deletes that run at the same time.
const PARALLEL_DELETES: usize = 8;
/// Keys that one request may hold.
const MOST_KEYS: usize = 1000;

impl S3Store {
    /// Deletes one object by its key; one that is missing is deleted already.
    pub(super) async fn delete_object(&self, key: &str) -> Result<(), StoreError> {
        let url = self.client.sign(&self.client.bucket.delete_object(Some(&self.client.credentials), key));
        let answer = self.client.send(Request::delete(url, key)).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            _ => Err(self.client.failure(key, answer).await),
        }
    }

    pub(super) async fn delete_below(&self, folder: &ObjectName) -> Result<u64, StoreError> {
        let full = self.root.full(folder);
        // Deleting does not tell whether anything was there.
        let mut gone = u64::from(self.retry.run(|| self.info(&full)).await?.is_some());
        if gone > 0 {
            self.retry.run(|| self.delete_object(&full)).await?;
        }
        let prefix = self.root.folder_prefix(Some(folder));
        let mut token: Option<String> = None;
        loop {
            let page = self.retry.run(|| self.page(&prefix, None, token.as_deref())).await?;
            let keys: Vec<String> = page.contents.into_iter().map(|object| object.key).collect();
            for some in keys.chunks(MOST_KEYS) {
                self.delete_keys(some).await?;
                gone += some.len() as u64;
            }
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(gone);
            }
        }
    }

    pub(super) async fn delete_objects(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        let keys: Vec<String> = names.iter().map(|name| self.root.full(name)).collect();
        for some in keys.chunks(MOST_KEYS) {
            self.delete_keys(some).await?;
        }
        Ok(())
    }

    /// What the one request for all does not take, or leaves, goes singly, which also shows why it stays.
    async fn delete_keys(&self, keys: &[String]) -> Result<(), StoreError> {
        let (fit, mut left): (Vec<&String>, Vec<&String>) = keys.iter().partition(|key| fits_xml(key));
        if fit.len() > 1 {
            let kept = self.retry.run(|| self.delete_many(&fit)).await?;
            left.extend(fit.into_iter().filter(|key| kept.contains(key)));
        } else {
            left.extend(fit);
        }
        // Owned: a future that borrows from the slice and from the stream at once is not `Send`.
        let left: Vec<String> = left.into_iter().cloned().collect();
        stream::iter(left)
            .map(|key| async move { self.retry.run(|| self.delete_object(&key)).await })
            .buffer_unordered(PARALLEL_DELETES)
            .try_collect::<Vec<()>>()
            .await
            .map(|_| ())
    }

    /// Answers the keys that it could not delete.
    async fn delete_many(&self, keys: &[&String]) -> Result<Vec<String>, StoreError> {
        let client = &self.client;
        let objects: Vec<ObjectIdentifier> =
            keys.iter().map(|key| ObjectIdentifier::new((*key).clone())).collect();
        let mut action = client.bucket.delete_objects(Some(&client.credentials), objects.iter());
        action.set_quiet(true);
        let url = action.sign(super::client::VALID);
        let (body, md5) = action.body_with_md5();
        let bucket = self.root.container.as_str();
        let mut request = Request::post(url, bucket, body);
        if let Ok(md5) = HeaderValue::from_str(&md5) {
            request = request.header("content-md5", md5);
        }
        let text = client.text(bucket, client.send_ok(request).await?).await?;
        let answer = DeleteObjectsResponse::parse(&text)
            .map_err(|error| client.damaged(bucket, format!("the answer to a delete: {error}")))?;
        if let Some(first) = answer.errors.first() {
            tracing::warn!(store = %client.label, code = %first.code, message = %first.message, left = answer.errors.len(),
                "a delete of many left objects behind; deleting them one by one");
        }
        Ok(answer.errors.into_iter().map(|error| error.key).collect())
    }
}

/// Whether the key can be written in XML.
fn fits_xml(key: &str) -> bool {
    !key.chars().any(
        |c| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}'),
    )
}
