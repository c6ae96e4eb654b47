//! Reading objects: whole ones checked against length and MD5, parts of them against their length.

use super::S3Store;
use super::client::Request;
use crate::http::{Check, checked_body, header, range_header, window};
use crate::store::{ByteStream, ObjectInfo, ObjectName, StoreError};
use futures_util::{StreamExt, stream};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, RANGE};
use std::ops::Range;

impl S3Store {
    pub(super) async fn read(
        &self,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, StoreError> {
        let (client, key) = (&self.client, self.root.full(name));
        if range.as_ref().is_some_and(|range| range.start >= range.end) {
            return match self.info(&key).await? {
                Some(_) => Ok(stream::empty().boxed()),
                None => Err(self.not_found(name.as_str())),
            };
        }
        let url = client.sign(&client.bucket.get_object(Some(&client.credentials), &key));
        let mut request = Request::get(url, &key);
        if let Some(range) = &range {
            request = request.header(RANGE.as_str(), range_header(range));
        }
        let answer = client.send(request).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => return Err(self.not_found(name.as_str())),
            // There is an object, and it ends before.
            StatusCode::RANGE_NOT_SATISFIABLE => return Ok(stream::empty().boxed()),
            status if status.is_success() => {}
            _ => return Err(client.failure(&key, answer).await),
        }
        let is_part = answer.status() == StatusCode::PARTIAL_CONTENT;
        let check = if range.is_none() { Check::whole(&answer) } else { Check::part(&answer) };
        let body = checked_body(client.clone(), answer, key, check);
        let body = match range {
            Some(range) if !is_part => window(body, range),
            _ => body,
        };
        Ok(client.limits.slow_download(body))
    }

    pub(super) async fn info(&self, key: &str) -> Result<Option<ObjectInfo>, StoreError> {
        let client = &self.client;
        let url = client.sign(&client.bucket.head_object(Some(&client.credentials), key));
        let answer = client.send(Request::head(url, key)).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => return Ok(None),
            status if status.is_success() => {}
            _ => return Err(client.failure(key, answer).await),
        }
        // Not `Response::content_length`: that is the length of the (absent) body of a HEAD answer.
        let length = header(&answer, CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
        let size_bytes = length.ok_or_else(|| client.other(key, "the answer has no length".into()))?;
        Ok(Some(ObjectInfo { size_bytes }))
    }
}
