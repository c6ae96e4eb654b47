//! The S3 store against a real server of that protocol (Swift's own): the suite twice (tiny pages; a prefix), uploads in parts,
//! what is wrong, and a proxy between that damages, loses and slows down.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use bytes::Bytes;
use freezer_storage::suite::{SuiteStore, assert_same, name, noise, read, write_large};
use freezer_storage::*;
use futures_util::TryStreamExt;
use std::sync::Arc;
use std::time::Duration;
use support::S3Fixture;
use support::faulted::Faulted;
use support::proxy::Action;

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

impl Faulted<S3Fixture> {
    async fn new(test: &str) -> Self {
        let fixture = S3Fixture::new(test, "", |_| {}).await;
        let mut config = fixture.config.clone();
        let real = config.endpoint.clone();
        let through = |address| {
            config.endpoint = address;
            config.part_bytes = 5 << 20;
            config.stall_timeout = Duration::from_secs(20);
            StoreConfig::S3(config)
        };
        Self::through(fixture, &real, Limits::none(), through).await
    }
}

const SLOW_DOWN: &str =
    "<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>";
const INTERNAL: &str =
    "<?xml version='1.0'?><Error><Code>InternalError</Code><Message>Try again.</Message></Error>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_otherwise_than_it_was_sent_is_sent_again() {
    let faulted = Faulted::new("flipped").await;
    let body = noise(1, 100_000);
    // The server itself refuses it.
    faulted.proxy.rule("PUT", "/one?", 2, Action::FlipRequest(50_000));
    let error = faulted.once().put(&name("one"), body.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("BadDigest"), "{error}");
    assert_eq!(faulted.fixture.store.head(&name("one")).await.unwrap(), None);
    faulted.store.put(&name("one"), body.clone()).await.unwrap();
    assert_eq!(faulted.proxy.requests("PUT", "/one?"), 3);
    faulted.arrived("one", &body).await;

    // One that does not is found out by what it says it has.
    let body = Bytes::from_static(b"worth saving\n");
    let other = Action::RewordAnswer("e5d0d22733032837cc1e96266bfd53e5", "e5d0d22733032837cc1e96266bfd53e6");
    faulted.proxy.rule("PUT", "/two?", 2, other);
    let error = faulted.once().put(&name("two"), body.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("the server stored MD5"), "{error}");
    faulted.store.put(&name("two"), body.clone()).await.unwrap();
    assert_eq!(faulted.proxy.requests("PUT", "/two?"), 3);
    faulted.arrived("two", &body).await;
    faulted.done(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_are_sent_at_the_same_time_and_each_again_for_itself() {
    let faulted = Faulted::new("parts").await;
    let body = noise(2, 17_000_001);
    // Neither of the first two is answered before both are there.
    let two = Arc::new(tokio::sync::Barrier::new(2));
    faulted.proxy.rule("PUT", "partNumber=1&", 1, Action::Meet(two.clone()));
    faulted.proxy.rule("PUT", "partNumber=2&", 1, Action::Meet(two));
    faulted.proxy.rule("PUT", "partNumber=3&", 1, Action::FlipRequest(1_000_000));
    faulted.proxy.rule("PUT", "partNumber=4&", 1, Action::Refuse(503, vec![], SLOW_DOWN));
    // It fails after it has begun to answer; then the answer is lost, and the object is there.
    faulted.proxy.rule("POST", "uploadId=", 1, Action::Refuse(200, vec![], INTERNAL));
    faulted.proxy.rule("POST", "uploadId=", 1, Action::LoseAnswer);
    write_large(faulted.store.as_ref(), &name("large"), &body, 17_000_001, 700_000).await.unwrap();
    assert_eq!(faulted.proxy.requests("PUT", "partNumber="), 4 + 2);
    faulted.arrived("large", &body).await;
    let uploads = faulted.fixture.raw_uploads().await;
    assert!(!uploads.contains("<Upload>"), "{uploads}");
    faulted.done(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_damaged_is_an_error_and_what_breaks_off_goes_on() {
    let faulted = Faulted::new("downloads").await;
    let body = noise(3, 1_000_000);
    faulted.fixture.store.put(&name("one"), body.clone()).await.unwrap();
    faulted.proxy.rule("GET", "/one?", 1, Action::FlipAnswer(500_000));
    let error = read(faulted.store.as_ref(), &name("one"), None).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("MD5"), "{error}");
    assert_same(&read(faulted.store.as_ref(), &name("one"), None).await.unwrap(), &body, "fetched again");
    faulted.proxy.rule("GET", "/one?", 1, Action::CutAnswer(400_000));
    faulted.proxy.rule("GET", "/one?", 1, Action::ResetAnswer(300_000));
    faulted.proxy.rule("GET", "/one?", 1, Action::Refuse(503, vec![], SLOW_DOWN));
    assert_same(&read(faulted.store.as_ref(), &name("one"), None).await.unwrap(), &body, "resumed");
    assert_eq!(faulted.proxy.requests("GET", "/one?"), 6);
    faulted.done(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_for_patience_gets_it() {
    let faulted = Faulted::new("patience").await;
    let body = noise(4, 10_000);
    faulted.proxy.rule("PUT", "/one?", 1, Action::Refuse(503, vec![], SLOW_DOWN));
    faulted.store.put(&name("one"), body.clone()).await.unwrap();
    // Of its own, as long as each first pause.
    let slept = faulted.clock.slept();
    assert!(slept.len() == 1 && slept[0] <= Duration::from_millis(500), "{slept:?}");
    faulted.proxy.rule("PUT", "/two?", 1, Action::Refuse(503, vec![("Retry-After", "7")], SLOW_DOWN));
    faulted.store.put(&name("two"), body.clone()).await.unwrap();
    let slept = &faulted.clock.slept()[1..];
    // The pause itself, and what is held back until then.
    assert!(!slept.is_empty() && slept.iter().all(|pause| pause.as_secs() == 7), "{slept:?}");
    faulted.arrived("one", &body).await;
    faulted.arrived("two", &body).await;
    faulted.done(2).await;
}
