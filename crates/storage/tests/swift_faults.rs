//! The Swift store behind a proxy that misbehaves: data arrive intact, and repeats are counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use bytes::Bytes;
use freezer_storage::suite::{assert_same, name, noise, read, write_large};
use freezer_storage::*;
use std::sync::Arc;
use std::time::Duration;
use support::faulted::Faulted;
use support::proxy::Action;
use support::{SwiftFixture, options};

impl Faulted<SwiftFixture> {
    async fn new(test: &str) -> Self {
        Self::with(test, |_| {}).await
    }

    async fn with(test: &str, change: impl FnOnce(&mut SwiftConfig)) -> Self {
        Self::limited(test, Limits::none(), change).await
    }

    async fn limited(test: &str, limits: Limits, change: impl FnOnce(&mut SwiftConfig)) -> Self {
        let fixture = SwiftFixture::new(test, "", |_| {}).await;
        fixture.store.prepare().await.unwrap();
        let real = fixture.session.endpoint("object-store", None, None).await.unwrap();
        let container = fixture.container.clone();
        let through = |address| {
            let mut options = options("demo", "demo");
            options.endpoint_overrides.insert("object-store".into(), address);
            let access = Arc::new(SessionAccess::new(keystone::Session::new(options).unwrap()));
            let mut config = SwiftConfig::new(access, container);
            // Longer than a Swift that has much to do is silent: what is sent again is counted.
            config.stall_timeout = Duration::from_secs(10);
            change(&mut config);
            StoreConfig::Swift(config)
        };
        Self::through(fixture, &real, limits, through).await
    }

    async fn write_and_compare(&self, body: &Bytes) {
        write_large(self.store.as_ref(), &name("l/data"), body, 300_000, 70_000).await.unwrap();
        self.arrived("l/data", body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_renewed_in_the_middle() {
    let faulted = Faulted::new("token").await;
    faulted.proxy.rule("PUT", "segments/00000001", 1, Action::Answer(401, vec![]));
    faulted.write_and_compare(&noise(1, 1_000_000)).await;
    let tokens = faulted.proxy.tokens();
    assert_ne!(tokens.first(), tokens.last());
    // Only the refused request was made again, and without a pause.
    assert_eq!(faulted.proxy.requests("PUT", "segments/"), 5);
    faulted.done(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_refused_while_the_body_is_sent() {
    let faulted = Faulted::with("early", |config| config.segments_in_flight = 1).await;
    let old = {
        faulted.store.prepare().await.unwrap();
        faulted.proxy.tokens().pop().unwrap()
    };
    // The proxy closes on the body; what asks for the reason gets the 401.
    faulted.proxy.rule("PUT", "segments/00000000", 1, Action::ResetRequest(1000));
    faulted.proxy.rule("HEAD", "early", 1, Action::Answer(401, vec![]));
    faulted.write_and_compare(&noise(1, 1_000_000)).await;
    assert_ne!(faulted.proxy.tokens().pop().unwrap(), old);
    faulted.done(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_stays_refused_is_an_error() {
    let faulted = Faulted::new("always401").await;
    faulted.proxy.rule("PUT", "/x", 2, Action::Answer(401, vec![]));
    let error = faulted.store.put(&name("x"), Bytes::from_static(b"1")).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    faulted.done(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_obeyed() {
    let faulted = Faulted::new("patience").await;
    faulted.proxy.rule("PUT", "segments/00000002", 1, Action::Answer(429, vec![("Retry-After", "7")]));
    faulted.proxy.rule("GET", "data", 1, Action::Answer(503, vec![("Retry-After", "99999")]));
    let body = noise(2, 1_000_000);
    faulted.write_and_compare(&body).await;
    assert_same(&read(faulted.store.as_ref(), &name("l/data"), None).await.unwrap(), &body, "read");
    let slept = faulted.clock.slept();
    let of = |secs: u64| slept.iter().filter(|pause| pause.as_secs() == secs).count();
    // Others that were on their way met the pauses as well.
    assert!(of(7) >= 1 && of(300) >= 1 && of(7) + of(300) == slept.len(), "{slept:?}");
    faulted.done(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_pass_by_are_repeated() {
    let faulted = Faulted::with("passing", |config| config.segments_in_flight = 1).await;
    for (segment, status) in
        [("00000000", 408), ("00000001", 429), ("00000002", 498), ("00000003", 499), ("00000004", 500)]
    {
        faulted.proxy.rule("PUT", segment, 1, Action::Answer(status, vec![]));
    }
    faulted.proxy.rule("PUT", "/data", 1, Action::Answer(502, vec![]));
    faulted.proxy.rule("PUT", "/data", 1, Action::Answer(504, vec![]));
    faulted.write_and_compare(&noise(3, 1_500_000)).await;
    faulted.done(7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_uploads_are_repeated() {
    let faulted = Faulted::with("broken", |config| config.segments_in_flight = 3).await;
    faulted.proxy.rule("PUT", "segments/00000000", 2, Action::ResetRequest(100_000));
    faulted.proxy.rule("PUT", "segments/00000001", 1, Action::LoseAnswer);
    faulted.proxy.rule("PUT", "segments/00000002", 1, Action::Stall);
    faulted.proxy.rule("PUT", "segments/00000003", 1, Action::FlipRequest(12_345));
    faulted.proxy.rule("PUT", "segments/00000004", 1, Action::AnswerEarly(503));
    faulted.write_and_compare(&noise(4, 1_500_000)).await;
    faulted.done(6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_are_on_their_way_at_the_same_time() {
    let faulted = Faulted::with("parallel", |config| {
        config.segments_in_flight = 3;
        config.stall_timeout = Duration::from_secs(20);
    })
    .await;
    // None is answered before all three are there: one after the other they would stall, and be sent again.
    let three = Arc::new(tokio::sync::Barrier::new(3));
    faulted.proxy.rule("PUT", "segments/", 3, Action::Meet(three));
    faulted.write_and_compare(&noise(10, 1_500_000)).await;
    assert_eq!(faulted.proxy.requests("PUT", "segments/"), 5);
    faulted.done(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_downloads_go_on_where_they_broke() {
    let faulted = Faulted::new("downloads").await;
    let body = noise(5, 2_000_000);
    faulted.fixture.store.put(&name("x"), body.clone()).await.unwrap();
    faulted.proxy.rule("GET", "/x", 1, Action::CutAnswer(500_000));
    faulted.proxy.rule("GET", "/x", 1, Action::ResetAnswer(400_000));
    faulted.proxy.rule("GET", "/x", 1, Action::StallAnswer(300_000));
    faulted.proxy.rule("GET", "/x", 1, Action::Answer(500, vec![]));
    assert_same(&read(faulted.store.as_ref(), &name("x"), None).await.unwrap(), &body, "resumed");
    assert_eq!(faulted.proxy.requests("GET", "/x"), 5);
    faulted.done(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_downloads_of_large_objects_go_on() {
    let faulted = Faulted::new("largedown").await;
    let body = noise(6, 1_000_000);
    write_large(faulted.fixture.store.as_ref(), &name("l/data"), &body, 300_000, 300_000).await.unwrap();
    faulted.proxy.rule("GET", "segments/00000001", 1, Action::CutAnswer(150_000));
    faulted.proxy.rule("GET", "segments/00000002", 1, Action::Answer(503, vec![]));
    assert_same(&read(faulted.store.as_ref(), &name("l/data"), None).await.unwrap(), &body, "resumed");
    faulted.proxy.rule("GET", "segments/00000003", 1, Action::ResetAnswer(10_000));
    let part = read(faulted.store.as_ref(), &name("l/data"), Some(250_000..950_000)).await.unwrap();
    assert_same(&part, &body[250_000..950_000], "part");
    faulted.done(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_download_is_an_error() {
    let faulted = Faulted::new("damaged").await;
    faulted.fixture.store.put(&name("x"), noise(7, 100_000)).await.unwrap();
    faulted.proxy.rule("GET", "/x", 1, Action::FlipAnswer(50_000));
    let error = read(faulted.store.as_ref(), &name("x"), None).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("MD5"), "{error}");
    let body = noise(8, 600_000);
    write_large(faulted.fixture.store.as_ref(), &name("l/data"), &body, 300_000, 300_000).await.unwrap();
    faulted.proxy.rule("GET", "segments/00000001", 1, Action::FlipAnswer(7));
    let error = read(faulted.store.as_ref(), &name("l/data"), None).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    faulted.done(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_requests_are_repeated() {
    let faulted = Faulted::new("small").await;
    let body = noise(9, 10_000);
    faulted.proxy.rule("PUT", "/x", 1, Action::LoseAnswer);
    faulted.store.put(&name("x"), body.clone()).await.unwrap();
    faulted.proxy.rule("HEAD", "/x", 1, Action::Answer(500, vec![]));
    assert_eq!(faulted.store.head(&name("x")).await.unwrap().unwrap().size_bytes, 10_000);
    faulted.proxy.rule("GET", "format=json", 1, Action::CutAnswer(10));
    assert_eq!(faulted.store.list(None).await.unwrap().len(), 1);
    faulted.proxy.rule("DELETE", "/x", 1, Action::LoseAnswer);
    faulted.store.delete(&name("x")).await.unwrap();
    assert_eq!(faulted.store.list(None).await.unwrap().len(), 0);
    faulted.done(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_trees_survives_faults() {
    let faulted = Faulted::with("deletes", |config| config.page_names = Some(5)).await;
    for at in 0..12 {
        faulted.fixture.store.put(&name(&format!("t/{at:02}")), Bytes::from_static(b"x")).await.unwrap();
    }
    faulted.proxy.rule("POST", "bulk-delete", 1, Action::Answer(503, vec![]));
    faulted.proxy.rule("GET", "marker", 1, Action::Stall);
    assert_eq!(faulted.store.delete_tree(&name("t")).await.unwrap(), 12);
    assert!(faulted.proxy.requests("POST", "bulk-delete") >= 4);
    faulted.done(2).await;
}

/// As a backup's small objects are.
fn several(seed: u64) -> Vec<(ObjectName, Bytes)> {
    let object = |at: u64, part: &str| (name(&format!("t/{seed}/{part}")), noise(seed + at, 3000));
    vec![object(1, "data"), object(2, "engine_metadata"), object(3, "metadata")]
}

async fn assert_all(faulted: &Faulted<SwiftFixture>, objects: &[(ObjectName, Bytes)]) {
    for (object, body) in objects {
        let found = read(faulted.fixture.store.as_ref(), object, None).await.unwrap();
        assert_same(&found, body, object.as_str());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_small_objects_take_one_request() {
    let faulted = Faulted::new("together").await;
    for round in 1..=3 {
        faulted.store.put_all(&several(round)).await.unwrap();
        assert_all(&faulted, &several(round)).await;
        assert_eq!(faulted.proxy.requests("PUT", ""), round as usize, "one request each");
    }
    assert_eq!(faulted.proxy.requests("PUT", "extract-archive"), 3);
    // A single one, and what is too much for one archive, are written as ever.
    faulted.store.put_all(&several(4)[..1]).await.unwrap();
    let large = [(name("t/large/1"), noise(1, 400_000)), (name("t/large/2"), noise(2, 400_000))];
    faulted.store.put_all(&large).await.unwrap();
    assert_all(&faulted, &large).await;
    assert_eq!(faulted.proxy.requests("PUT", "extract-archive"), 3);
    faulted.done(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_archive_does_not_bring_is_written_one_by_one() {
    // Damaged on the way; refused; lost; not known to the server, for which it is a request for the container; partly done.
    let partly =
        r#"{"Number Files Created": 2, "Response Status": "400 Bad Request", "Errors": [["t", "503"]]}"#;
    let fewer = r#"{"Number Files Created": 2, "Response Status": "201 Created", "Errors": []}"#;
    for (at, action) in [
        Action::FlipRequest(1000),
        Action::Answer(503, vec![]),
        Action::LoseAnswer,
        Action::RewordRequest("extract-archive", "extract-nothing"),
        Action::Say(partly.into()),
        Action::Say(fewer.into()),
    ]
    .into_iter()
    .enumerate()
    {
        let faulted = Faulted::new("singly").await;
        faulted.proxy.rule("PUT", "extract-archive", 1, action);
        let objects = several(at as u64);
        faulted.store.put_all(&objects).await.unwrap();
        assert_all(&faulted, &objects).await;
        assert_eq!(faulted.proxy.requests("PUT", "/t/"), 3, "{at}: each by itself, with its MD5");
        // It is not tried again.
        faulted.store.put_all(&objects).await.unwrap();
        assert_eq!(faulted.proxy.requests("PUT", "extract-archive"), 1, "{at}");
        faulted.done(0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_refused_is_an_error_however_it_was_sent() {
    let faulted = Faulted::new("refused").await;
    faulted.proxy.rule("PUT", "extract-archive", 1, Action::Answer(403, vec![]));
    faulted.proxy.rule("PUT", "/metadata", 1, Action::Answer(403, vec![]));
    let error = faulted.store.put_all(&several(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    faulted.done(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_bulk_deletes_objects_go_one_by_one() {
    let faulted = Faulted::with("nobulk", |config| config.page_names = Some(5)).await;
    for at in 0..12 {
        faulted.fixture.store.put(&name(&format!("t/{at:02}")), Bytes::from_static(b"x")).await.unwrap();
    }
    faulted.proxy.rule("GET", "/info", 1, Action::Answer(404, vec![]));
    faulted.proxy.rule("DELETE", "/t/07", 1, Action::Answer(500, vec![]));
    assert_eq!(faulted.store.delete_tree(&name("t")).await.unwrap(), 12);
    assert_eq!(faulted.proxy.requests("POST", ""), 0);
    faulted.done(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_room_is_full_at_once() {
    let faulted = Faulted::new("noroom").await;
    for status in [413, 507] {
        faulted.proxy.rule("PUT", "/x", 1, Action::Answer(status, vec![]));
        let error = faulted.store.put(&name("x"), noise(1, 1000)).await.unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
    }
    faulted.proxy.rule("PUT", "/x", 1, Action::Answer(403, vec![]));
    let error = faulted.store.put(&name("x"), noise(1, 1000)).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    faulted.done(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_static_manifests_a_listing_that_lags_is_waited_for() {
    let faulted = Faulted::new("lag").await;
    faulted.proxy.rule("GET", "/info", 1, Action::Answer(404, vec![]));
    let body = noise(1, 600_000);
    let mut writer = faulted.store.create_large(&name("l/data")).await.unwrap();
    writer.write(body.slice(..300_000)).await.unwrap();
    writer.end_segment().await.unwrap();
    writer.write(body.slice(300_000..)).await.unwrap();
    // The first look of `finish` finds nothing.
    faulted.proxy.rule("GET", "prefix=l%2Fsegments%2F", 1, Action::Answer(204, vec![]));
    writer.finish().await.unwrap();
    let head = faulted.fixture.raw("HEAD", "/l/data", &[]).await;
    assert_eq!(head.headers()["x-object-manifest"], format!("{}/l/segments", faulted.fixture.container));
    assert_same(&read(faulted.store.as_ref(), &name("l/data"), None).await.unwrap(), &body, "dynamic");
    let error = write_large(faulted.store.as_ref(), &name("l/other"), &body, 300_000, 300_000).await;
    assert!(error.unwrap_err().to_string().contains("l/data"), "the segments are somebody's");
    faulted.done(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_is_taken_when_its_segments_are_what_was_sent() {
    let faulted = Faulted::new("static").await;
    faulted.proxy.rule("PUT", "multipart-manifest=put", 1, Action::Answer(400, vec![]));
    let body = noise(1, 600_000);
    faulted.write_and_compare(&body).await;
    // Somebody writes over a segment.
    let mut writer = faulted.store.create_large(&name("other/data")).await.unwrap();
    for part in [body.slice(..300_000), body.slice(300_000..)] {
        writer.write(part).await.unwrap();
        writer.end_segment().await.unwrap();
    }
    let written = async || {
        let listed = faulted.fixture.store.list_tree(&name("other"), 10).await.unwrap().unwrap();
        listed.len() == 2
    };
    while !written().await {
        tokio::task::yield_now().await;
    }
    let foreign = noise(2, 300_000);
    faulted.fixture.store.put(&name("other/segments/00000001"), foreign).await.unwrap();
    let error = writer.finish().await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("other/segments/00000001"), "{error}");
    assert_eq!(faulted.store.head(&name("other/data")).await.unwrap(), None);
    // What is damaged is tried again, too.
    faulted.done(1 + 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tries_come_to_an_end() {
    let faulted = Faulted::new("hopeless").await;
    faulted.proxy.rule("PUT", "segments/00000000", 8, Action::Answer(500, vec![]));
    let error =
        write_large(faulted.store.as_ref(), &name("l/data"), &noise(1, 500_000), 300_000, 300_000).await;
    let error = error.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("segments/00000000"), "{error}");
    assert_eq!(faulted.store.head(&name("l/data")).await.unwrap(), None);
    faulted.done(7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_sent_again_are_charged_again() {
    let clock = Arc::new(ManualClock::default());
    let limiter = |rate| Limiter::with_clock(Some(rate), clock.clone());
    let limits = Limits::none().upload(limiter(100_000)).download(limiter(200_000));
    let faulted = Faulted::limited("charged", limits, |_| {}).await;
    faulted.proxy.rule("PUT", "segments/00000001", 1, Action::Answer(500, vec![]));
    let body = noise(1, 1_000_000);
    faulted.write_and_compare(&body).await;
    let seconds = clock.now().as_secs_f64();
    assert!((12.7..13.1).contains(&seconds), "{seconds} s for 1.3 MB at 100 kB/s");
    assert_same(&read(faulted.store.as_ref(), &name("l/data"), None).await.unwrap(), &body, "slow");
    let seconds = clock.now().as_secs_f64() - seconds;
    assert!((4.7..5.1).contains(&seconds), "{seconds} s for 1 MB at 200 kB/s");
    faulted.done(1).await;
}
