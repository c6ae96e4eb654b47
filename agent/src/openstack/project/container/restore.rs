//! Bringing a container back, object by object in the order of their places, each as it comes out of the backup.

use super::layout::{Entry, Layout};
use crate::actions::ActionError;
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::pipe;
use crate::openstack::swift::containers;
use crate::openstack::swift::objects::{self, Facts};
use crate::openstack::volume::{feed, restore_request};
use crate::options::typed::ActionOptions;
use bytes::Bytes;
use freezer_storage::Store;
use freezer_vault::image::{self, ImageOutput};
use futures_util::{Stream, StreamExt};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pieces of an object on their way.
const PIECES: usize = 4;
/// Swift takes no longer list.
const MOST_LIST_BYTES: u64 = 16 << 20;

/// Objects of one container that consist of others, to be stored when all of those are there.
#[derive(Debug)]
pub struct PartsLists {
    pub container: String,
    /// Headers that say that the container is whole, unless something else of it has failed.
    pub whole: Option<Map<String, Value>>,
    pub lists: Vec<PartsList>,
}

#[derive(Debug)]
pub struct PartsList {
    name: String,
    facts: Facts,
    body: Bytes,
}

/// Fills `container`, which is there. Objects named in `lost` are in the backup by name only. Answers what could not be
/// stored, and what has to wait for other containers.
pub async fn restore(
    options: &ActionOptions,
    cloud: &Cloud,
    store: &Arc<dyn Store>,
    container: &str,
    lost: &BTreeSet<&str>,
) -> Result<(Vec<String>, Vec<PartsList>), ActionError> {
    let plan = image::plan(store, &restore_request(options)?).await?;
    let mut layout = Layout::read(&plan.description);
    layout.entries.retain(|entry| !lost.contains(entry.listed.name.as_str()));
    let (writer, content) = pipe::writer();
    let mut filling = Filling {
        cloud,
        container,
        source: Source { content: Box::pin(content), rest: Bytes::new(), at: 0 },
        problems: Vec::new(),
        lists: Vec::new(),
    };
    let taking = filling.all(&layout.entries, plan.size_bytes);
    feed(store, &plan, ImageOutput::Raw(writer), cloud.monitor(), taking).await?;
    Ok((filling.problems, filling.lists))
}

/// Stores the lists of parts; answers what could not be. Only then a container is whole: what is missing is tried again by the next
/// restore.
pub async fn store_lists(cloud: &Cloud, waiting: Vec<PartsLists>) -> Vec<String> {
    let mut problems = Vec::new();
    for PartsLists { container, whole, lists } in waiting {
        let known = problems.len();
        for PartsList { name, facts, body } in lists {
            let body = for_swift(&body).unwrap_or(body);
            let facts = Facts { bytes: body.len() as u64, ..facts };
            if let Err(error) = objects::put(cloud, &container, &name, &facts, body.into()).await {
                problems.push(format!("object {container}/{name}: {error}"));
            }
        }
        if let Some(whole) = whole.filter(|_| problems.len() == known)
            && let Err(error) = containers::create(cloud, &container, &whole).await
        {
            problems.push(format!("container {container}: {error}"));
        }
    }
    problems
}

/// Swift says the parts in other words than it takes them.
fn for_swift(body: &[u8]) -> Option<Bytes> {
    let parts: Vec<Value> = serde_json::from_slice(body).ok()?;
    let part = |part: &Value| match part.get("data") {
        Some(data) => json!({ "data": data }),
        None => {
            let mut said =
                json!({"path": part.get("name"), "etag": part.get("hash"), "size_bytes": part.get("bytes")});
            if let (Some(range), Some(fields)) = (part.get("range"), said.as_object_mut()) {
                fields.insert("range".into(), range.clone());
                // Swift says the length of the range here, and takes that of the whole.
                fields.remove("size_bytes");
            }
            said
        }
    };
    serde_json::to_vec(&parts.iter().map(part).collect::<Vec<_>>()).ok().map(Bytes::from)
}

struct Filling<'a> {
    cloud: &'a Cloud,
    container: &'a str,
    source: Source,
    problems: Vec<String>,
    lists: Vec<PartsList>,
}

impl Filling<'_> {
    async fn all(&mut self, entries: &[Entry], size: u64) -> Result<(), CloudError> {
        for entry in entries {
            self.source.skip(entry.at).await?;
            if entry.facts.is_list_of_parts {
                self.keep_list(entry).await?;
            } else if let Err(error) = self.put(entry).await? {
                self.problems.push(format!("object {}/{}: {error}", self.container, entry.listed.name));
            }
        }
        self.source.skip(size).await?;
        self.source.end().await
    }

    async fn keep_list(&mut self, entry: &Entry) -> Result<(), CloudError> {
        let mut body = Vec::new();
        while (body.len() as u64) < entry.facts.bytes.min(MOST_LIST_BYTES) {
            body.extend_from_slice(&self.source.piece(entry.facts.bytes - body.len() as u64).await?);
        }
        let (name, facts) = (entry.listed.name.clone(), entry.facts.clone());
        self.lists.push(PartsList { name, facts, body: body.into() });
        Ok(())
    }

    /// The outer error is the backup's, the inner one Swift's: then the next object follows.
    async fn put(&mut self, entry: &Entry) -> Result<Result<(), CloudError>, CloudError> {
        let Entry { listed, facts, .. } = entry;
        let (sender, pieces) = mpsc::channel::<io::Result<Bytes>>(PIECES);
        let body = futures_util::stream::unfold(pieces, |mut pieces| async move {
            pieces.recv().await.map(|piece| (piece, pieces))
        });
        let body = reqwest::Body::wrap_stream(body);
        let sending = objects::put(self.cloud, self.container, &listed.name, facts, body);
        let source = &mut self.source;
        let pumping = async move {
            let mut left = facts.bytes;
            while left > 0 {
                match source.piece(left).await {
                    Ok(piece) => {
                        left -= piece.len() as u64;
                        // A request that has ended takes no more; the rest is passed over.
                        let _ = sender.send(Ok(piece)).await;
                    }
                    Err(error) => {
                        let _ = sender.send(Err(io::Error::other("the backup broke off"))).await;
                        return Err(error);
                    }
                }
            }
            Ok(())
        };
        let (sent, pumped) = tokio::join!(sending, pumping);
        match (pumped, sent) {
            (Err(error), _) | (_, Err(error @ CloudError::Aborted)) => Err(error),
            (Ok(()), sent) => Ok(sent),
        }
    }
}

/// The image as it comes, cut where it is asked for.
struct Source {
    content: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    rest: Bytes,
    at: u64,
}

impl Source {
    /// At most `most` bytes, never none.
    async fn piece(&mut self, most: u64) -> Result<Bytes, CloudError> {
        while self.rest.is_empty() {
            self.rest = match self.content.next().await {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return Err(broken(&error.to_string())),
                None => return Err(broken("it ended too early")),
            };
        }
        let count = self.rest.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        self.at += count as u64;
        Ok(self.rest.split_to(count))
    }

    async fn skip(&mut self, to: u64) -> Result<(), CloudError> {
        while self.at < to {
            self.piece(to - self.at).await?;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), CloudError> {
        match self.content.next().await {
            None => Ok(()),
            Some(Ok(_)) => Err(broken("it is longer than it says")),
            Some(Err(error)) => Err(broken(&error.to_string())),
        }
    }
}

fn broken(cause: &str) -> CloudError {
    CloudError::Choice { what: "the backup of the container".to_owned(), cause: cause.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lists_of_parts_are_given_back_in_the_words_that_swift_takes() {
        let said = json!([
            {"name": "/c/1", "hash": "h", "bytes": 5, "content_type": "x", "last_modified": "t"},
            {"name": "/c/2", "hash": "k", "bytes": 3, "range": "0-2"},
        ]);
        let taken: Value = serde_json::from_slice(&for_swift(said.to_string().as_bytes()).unwrap()).unwrap();
        assert_eq!(
            taken,
            json!([{"path": "/c/1", "etag": "h", "size_bytes": 5}, {"path": "/c/2", "etag": "k", "range": "0-2"}])
        );
    }
}
