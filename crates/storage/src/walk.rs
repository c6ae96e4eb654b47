//! Listing a tree folder by folder, for stores whose folders are real ones.

use crate::store::{Entry, ObjectName, Skips, Store, StoreError};
use futures_util::future::try_join_all;

/// As [`Store::list_tree_without`] says; so many listings are on their way at once.
pub(crate) async fn walk<S: Store + ?Sized>(
    store: &S,
    folder: &ObjectName,
    most: usize,
    at_once: usize,
    skips: Skips<'_>,
) -> Result<Option<Vec<Entry>>, StoreError> {
    let mut found = Vec::new();
    let mut waiting: Vec<Option<String>> = vec![None];
    while !waiting.is_empty() {
        let some = waiting.split_off(waiting.len().saturating_sub(at_once));
        let listings = some.iter().map(|below| list_below(store, folder, below.as_deref()));
        for entry in try_join_all(listings).await?.into_iter().flatten() {
            if entry.is_folder && !skips(&entry.name) {
                waiting.push(Some(entry.name));
            } else {
                found.push(entry);
            }
        }
        if found.len() > most {
            return Ok(None);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Some(found))
}

/// What is in the folder `below` of `folder`, with names relative to the latter.
async fn list_below<S: Store + ?Sized>(
    store: &S,
    folder: &ObjectName,
    below: Option<&str>,
) -> Result<Vec<Entry>, StoreError> {
    let Some(below) = below else { return store.list(Some(folder)).await };
    let entries = store.list(Some(&folder.join(below)?)).await?;
    let named = |entry: Entry| Entry { name: format!("{below}/{}", entry.name), ..entry };
    Ok(entries.into_iter().map(named).collect())
}
