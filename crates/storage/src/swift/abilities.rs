//! What a proxy can do beside the plain API, as its `/info` tells; asked once.

use super::SwiftStore;
use serde::Deserialize;

/// Numbers that a proxy does not tell are Swift's own defaults.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Abilities {
    bulk_delete: Option<BulkDelete>,
    slo: Option<StaticLargeObjects>,
}

#[derive(Debug, Deserialize)]
struct BulkDelete {
    max_deletes_per_request: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct StaticLargeObjects {
    max_manifest_segments: Option<usize>,
    max_manifest_size: Option<usize>,
    min_segment_size: Option<u64>,
}

impl Abilities {
    /// How many names a bulk delete may hold; `None` when the proxy has none.
    pub fn deletes_at_once(&self) -> Option<usize> {
        self.bulk_delete.as_ref().map(|bulk| bulk.max_deletes_per_request.unwrap_or(1000).max(1))
    }

    /// Whether these segments, of so many bytes each, can be a static large object with a manifest of so many bytes.
    pub fn takes_static(&self, segments: &[u64], manifest_bytes: usize) -> bool {
        let (Some(limits), Some((_, before_last))) = (&self.slo, segments.split_last()) else { return false };
        segments.len() <= limits.max_manifest_segments.unwrap_or(1000)
            && manifest_bytes <= limits.max_manifest_size.unwrap_or(2 << 20)
            && before_last.iter().all(|bytes| *bytes >= limits.min_segment_size.unwrap_or(1))
    }
}

impl SwiftStore {
    pub(super) async fn abilities(&self) -> &Abilities {
        self.abilities.get_or_init(async || self.ask_abilities().await.unwrap_or_default()).await
    }

    async fn ask_abilities(&self) -> Option<Abilities> {
        let endpoint = self.client.access.endpoint().await.ok()?;
        let mut url = reqwest::Url::parse(&endpoint).ok()?;
        // `/v1/AUTH_x`, perhaps behind a path of a gateway: `/info` is beside the version.
        let before_version =
            url.path().find("/v1").and_then(|at| url.path().get(..at)).unwrap_or("").to_string();
        url.set_path(&format!("{before_version}/info"));
        let asked = self.client.access.http().get(url).send();
        let answer = tokio::time::timeout(self.client.stall_timeout, asked).await.ok()?.ok()?;
        serde_json::from_slice(&answer.bytes().await.ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Abilities {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn limits_are_kept() {
        let modern = told(r#"{"slo": {"max_manifest_segments": 3, "min_segment_size": 10}, "swift": {}}"#);
        assert!(modern.takes_static(&[10, 10, 1], 500));
        assert!(!modern.takes_static(&[10, 10, 10, 10], 500), "too many");
        assert!(!modern.takes_static(&[9, 10], 500), "too small");
        assert!(!modern.takes_static(&[10], 3 << 20), "too long a manifest");
        assert!(!modern.takes_static(&[], 2), "nothing");
        assert!(!told("{}").takes_static(&[10], 500), "not there");
    }

    #[test]
    fn a_bulk_delete_without_a_number_takes_a_thousand() {
        assert_eq!(told(r#"{"bulk_delete": {}}"#).deletes_at_once(), Some(1000));
        assert_eq!(told(r#"{"bulk_delete": {"max_deletes_per_request": 5}}"#).deletes_at_once(), Some(5));
        assert_eq!(told("{}").deletes_at_once(), None);
    }
}
