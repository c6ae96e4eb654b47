//! The S3 store against a real server of that protocol (Swift's own): the suite twice (tiny pages; a prefix), uploads in parts,
//! and what is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use bytes::Bytes;
use freezer_storage::suite::{SuiteStore, assert_same, name, noise, read, write_large};
use freezer_storage::*;
use futures_util::TryStreamExt;
use support::S3Fixture;

mod tiny_pages {
    async fn s3(test: &'static str) -> super::S3Fixture {
        super::S3Fixture::new(test, "", |config| config.page_names = Some(3)).await
    }
    freezer_storage::store_suite!(s3);
}

mod with_prefix {
    async fn s3(test: &'static str) -> super::S3Fixture {
        super::S3Fixture::new(test, "/pre fix/{x}%20é?", |_| {}).await
    }
    freezer_storage::store_suite!(s3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects_are_uploaded_in_parts() {
    let fixture = S3Fixture::new("parts", "", |config| config.part_bytes = 5 << 20).await;
    fixture.store.prepare().await.unwrap();
    let object = name("data/tar/h_b/1/0_1/data");
    let body = noise(5, 17_000_001);
    let segments = write_large(fixture.store.as_ref(), &object, &body, 3_000_000, 700_000).await.unwrap();
    assert_eq!(segments, [], "one object, whatever the segments");
    assert_same(&read(fixture.store.as_ref(), &object, None).await.unwrap(), &body, "whole");
    for range in [0..10, 5_242_870..5_242_890, 16_999_990..u64::MAX] {
        let end = (range.end.min(body.len() as u64)) as usize;
        let found = read(fixture.store.as_ref(), &object, Some(range.clone())).await.unwrap();
        assert_same(&found, &body[range.start as usize..end], "over the border of two parts");
    }
    let found = fixture.raw_uploads().await;
    assert!(!found.contains("<Upload>"), "{found}");
    fixture.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_is_not_seen_and_leaves_no_parts() {
    let fixture = S3Fixture::new("given_up", "", |config| config.part_bytes = 5 << 20).await;
    fixture.store.prepare().await.unwrap();
    let object = name("data/x");
    fixture.store.put(&object, Bytes::from_static(b"before")).await.unwrap();
    let mut writer = fixture.store.create_large(&object).await.unwrap();
    for seed in 0..11 {
        writer.write(noise(seed, 1 << 20)).await.unwrap();
    }
    assert!(fixture.raw_uploads().await.contains("<Upload>"), "it had begun");
    writer.abandon().await;
    assert!(!fixture.raw_uploads().await.contains("<Upload>"));
    assert_eq!(read(fixture.store.as_ref(), &object, None).await.unwrap(), b"before");
    fixture.clean().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_without_secrets() {
    let fixture = S3Fixture::new("wrong", "", |_| {}).await;
    let said = async |change: &dyn Fn(&mut S3Config)| {
        let mut config = fixture.config.clone();
        change(&mut config);
        let secret = config.secret_key.expose().to_owned();
        let error = match open(StoreConfig::S3(config)) {
            Ok(store) => match store.prepare().await {
                Ok(()) => store.get(&name("x"), None).await.err().expect("it fails"),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let text = error.to_string();
        assert!(!text.contains(&secret) && !text.contains("X-Amz-Signature"), "{text}");
        (error, text)
    };
    let (error, text) = said(&|config| config.secret_key = Secret::new("not-the-secret-at-all")).await;
    assert!(matches!(error, StoreError::Refused { .. }) && text.contains("check the keys"), "{text}");
    let (error, text) = said(&|config| config.access_key = "nobody".to_owned()).await;
    assert!(matches!(error, StoreError::Refused { .. }), "{text}");
    let (error, text) = said(&|config| config.endpoint = "here".to_owned()).await;
    assert!(matches!(error, StoreError::Refused { .. }) && text.contains("endpoint 'here'"), "{text}");
    fixture.store.prepare().await.unwrap();
    let (error, text) = said(&|_| {}).await;
    assert!(matches!(error, StoreError::NotFound { .. }), "{text}");
    fixture.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_of_the_cloud_sees_nothing() {
    let fixture = S3Fixture::new("own", "", |_| {}).await;
    fixture.store.prepare().await.unwrap();
    fixture.store.put(&name("x"), Bytes::from_static(b"mine")).await.unwrap();
    let other = support::ec2_keys("other", "other").await;
    let mut config = fixture.config.clone();
    (config.access_key, config.secret_key) = (other.access.clone(), Secret::new(other.secret.clone()));
    let store = open(StoreConfig::S3(config)).unwrap();
    // A bucket of that name may be his own; then it is another one.
    let found = match store.get(&name("x"), None).await {
        Ok(body) => {
            body.try_fold(Vec::new(), |mut all, piece| async move {
                all.extend_from_slice(&piece);
                Ok(all)
            })
            .await
        }
        Err(error) => Err(error),
    };
    assert!(found.is_err(), "{found:?}");
    other.remove().await;
    fixture.clean().await;
}
