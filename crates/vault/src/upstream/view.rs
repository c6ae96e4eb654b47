//! Backups of older layouts under the names of layout B, so that catalogue, plan and restore need not know. What is missing in them
//! is said by bodies that stand nowhere else.

use crate::layout::{DATA, ENGINE_METADATA, Hbn, LevelId};
use async_trait::async_trait;
use bytes::Bytes;
use freezer_storage::{ByteStream, Entry, LargeWriter, ObjectInfo, ObjectName, Store, StoreError};
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What stands behind a name of the view.
#[derive(Clone, Debug)]
enum Behind {
    Body(&'static [u8]),
    Object(ObjectName),
}

/// A store that shows objects of another one under other names. It is only read.
pub(super) struct View {
    store: Arc<dyn Store>,
    objects: BTreeMap<String, Behind>,
}

impl View {
    /// Shows levels: each with its payload, what stands for its `engine_metadata`, and `metadata` as the body of that object.
    pub(super) fn of(
        store: Arc<dyn Store>,
        hbn: &Hbn,
        metadata: &'static [u8],
        levels: impl IntoIterator<Item = (LevelId, ObjectName, Option<ObjectName>)>,
    ) -> Result<Self, StoreError> {
        let mut objects = BTreeMap::new();
        for (id, payload, engine_metadata) in levels {
            objects.insert(id.metadata(hbn)?.to_string(), Behind::Body(metadata));
            objects.insert(id.object(hbn, DATA)?.to_string(), Behind::Object(payload));
            if let Some(object) = engine_metadata {
                objects.insert(id.object(hbn, ENGINE_METADATA)?.to_string(), Behind::Object(object));
            }
        }
        Ok(Self { store, objects })
    }

    fn refuse<T>(&self) -> Result<T, StoreError> {
        let cause = "backups of another Freezer are only read".to_owned();
        Err(StoreError::Refused { store: self.describe(), cause })
    }
}

#[async_trait]
impl Store for View {
    fn describe(&self) -> String {
        self.store.describe()
    }
    async fn prepare(&self) -> Result<(), StoreError> {
        Ok(())
    }
    async fn put(&self, _name: &ObjectName, _body: Bytes) -> Result<(), StoreError> {
        self.refuse()
    }
    async fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        match self.objects.get(name.as_str()) {
            Some(Behind::Object(object)) => self.store.get(object, range).await,
            Some(&Behind::Body(body)) => Ok(stream::iter([Ok(Bytes::from_static(body))]).boxed()),
            None => Err(StoreError::NotFound { store: self.describe(), name: name.to_string() }),
        }
    }
    async fn head(&self, name: &ObjectName) -> Result<Option<ObjectInfo>, StoreError> {
        match self.objects.get(name.as_str()) {
            Some(Behind::Object(object)) => self.store.head(object).await,
            Some(Behind::Body(body)) => Ok(Some(ObjectInfo { size_bytes: body.len() as u64 })),
            None => Ok(None),
        }
    }
    async fn list(&self, folder: Option<&ObjectName>) -> Result<Vec<Entry>, StoreError> {
        let prefix = folder.map_or_else(String::new, |folder| format!("{folder}/"));
        let below = self.objects.keys().filter_map(|name| name.strip_prefix(&prefix));
        let mut entries: BTreeMap<&str, bool> = BTreeMap::new();
        for rest in below {
            match rest.split_once('/') {
                Some((name, _)) => entries.insert(name, true),
                None => entries.insert(rest, false),
            };
        }
        let entry = |(name, is_folder): (&str, bool)| Entry {
            name: name.to_owned(),
            is_folder,
            size_bytes: 0,
            tag: None,
            stamp: None,
        };
        Ok(entries.into_iter().map(entry).collect())
    }
    async fn delete(&self, _name: &ObjectName) -> Result<(), StoreError> {
        self.refuse()
    }
    async fn delete_tree(&self, _folder: &ObjectName) -> Result<u64, StoreError> {
        self.refuse()
    }
    async fn create_large(&self, _name: &ObjectName) -> Result<Box<dyn LargeWriter>, StoreError> {
        self.refuse()
    }
}
