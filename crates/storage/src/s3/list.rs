//! Listings, page by page.

use super::S3Store;
use super::client::Request;
use crate::store::{Entry, ObjectName, StoreError};
use rusty_s3::actions::{ListObjectsV2, ListObjectsV2Response};

impl S3Store {
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
        let mut token = None;
        loop {
            let page = self.page(&prefix, delimiter, token.as_deref()).await?;
            let folders =
                page.common_prefixes.iter().map(|one| (one.prefix.trim_end_matches('/'), true, 0, None));
            let objects = page
                .contents
                .iter()
                .map(|one| (one.key.as_str(), false, one.size.unwrap_or(0), one.etag.clone()));
            entries.extend(folders.chain(objects).filter_map(|(full, is_folder, size_bytes, tag)| {
                // The object that some tools make for a folder itself is none of its children.
                let name =
                    full.strip_prefix(&prefix).filter(|name| !name.is_empty() && !name.ends_with('/'))?;
                Some(Entry { name: name.to_owned(), is_folder, size_bytes, tag, stamp: None })
            }));
            if entries.len() > most {
                return Ok(None);
            }
            token = page.next_continuation_token;
            if token.is_none() {
                break;
            }
        }
        // The server sorts whole keys, where the `/` behind a folder counts.
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(entries))
    }

    /// One page of what begins with the prefix. No bucket yet is an empty one.
    pub(super) async fn page(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        token: Option<&str>,
    ) -> Result<ListObjectsV2Response, StoreError> {
        let client = &self.client;
        let mut action = client.bucket.list_objects_v2(Some(&client.credentials));
        if let Some(limit) = self.page_names {
            action.with_max_keys(limit);
        }
        if !prefix.is_empty() {
            action.with_prefix(prefix);
        }
        if let Some(delimiter) = delimiter {
            action.with_delimiter(delimiter);
        }
        if let Some(token) = token {
            action.with_continuation_token(token);
        }
        let bucket = self.root.container.as_str();
        let text =
            client.text(bucket, client.send_ok(Request::get(client.sign(&action), bucket)).await?).await?;
        ListObjectsV2::parse_response(&text)
            .map_err(|error| client.damaged(bucket, format!("the listing is no listing: {error}")))
    }
}
