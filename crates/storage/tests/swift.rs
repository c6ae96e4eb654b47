//! The Swift store against a real Swift: the suite twice (tiny pages; a prefix), the layout others rely on,
//! and deleting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use bytes::Bytes;
use freezer_storage::suite::{SuiteStore, assert_same, name, noise, read, write_large};
use freezer_storage::*;
use futures_util::future::join_all;
use std::sync::Arc;
use support::{SwiftFixture, demo_session, options, quick_retry};

mod tiny_pages {
    async fn swift(test: &'static str) -> super::SwiftFixture {
        super::SwiftFixture::new(test, "", |config| config.page_names = Some(3)).await
    }
    freezer_storage::store_suite!(swift);
}

mod with_prefix {
    async fn swift(test: &'static str) -> super::SwiftFixture {
        super::SwiftFixture::new(test, "/pre fix/{x}%20é?", |_| {}).await
    }
    freezer_storage::store_suite!(swift);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_layout_is_upstreams() {
    let fixture = SwiftFixture::new("layout", "/some/prefix", |_| {}).await;
    let object = name("data/tar/host_{b} name/1700000000/0_1700000000/data");
    let body = noise(5, 2_500_000);
    let segments = write_large(fixture.store.as_ref(), &object, &body, 1_000_000, 100_000).await.unwrap();
    let folder = "data/tar/host_{b} name/1700000000/0_1700000000";
    assert_eq!(segments[2].as_str(), format!("{folder}/segments/00000002"));

    let listing = fixture.raw("GET", "", &[]).await.text().await.unwrap();
    let expected: Vec<_> = (0..3).map(|at| format!("some/prefix/{folder}/segments/{at:08}")).collect();
    let manifest = format!("some/prefix/{folder}/data");
    assert_eq!(
        listing.lines().collect::<Vec<_>>(),
        [vec![manifest.as_str()], expected.iter().map(String::as_str).collect()].concat()
    );

    let escaped = "/some/prefix/data/tar/host_%7Bb%7D%20name/1700000000/0_1700000000/data";
    let head = fixture.raw("HEAD", escaped, &[]).await;
    assert_eq!(head.headers()["x-static-large-object"], "True");
    assert_eq!(head.headers()["content-type"], "application/octet-stream");
    let raw = fixture.raw("GET", &format!("{escaped}?multipart-manifest=get"), &[]).await;
    let manifest: Vec<serde_json::Value> = serde_json::from_str(&raw.text().await.unwrap()).unwrap();
    let sizes: Vec<_> = manifest.iter().map(|segment| segment["bytes"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [1_000_000, 1_000_000, 500_000]);
    // Everybody else reads through the manifest.
    let through = fixture.raw("GET", escaped, &[]).await.bytes().await.unwrap();
    assert_same(&through, &body, "read through the manifest");
    fixture.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_names_read_through_their_manifest() {
    let fixture = SwiftFixture::new("oddmanifest", "", |_| {}).await;
    for (at, part) in ["a%b", "a?b", "a&b", "é", "a#b", "a+b", "a%41b", " x"].into_iter().enumerate() {
        let object = name(&format!("{part}/data"));
        let body = noise(at as u64, 25_000);
        write_large(fixture.store.as_ref(), &object, &body, 10_000, 10_000).await.unwrap();
        let mut url = reqwest::Url::parse("http://x/").unwrap();
        url.path_segments_mut().unwrap().clear().extend([part, "data"]);
        let through = fixture.raw("GET", url.path(), &[]).await;
        assert!(through.status().is_success(), "{part}: {}", through.status());
        assert_same(&through.bytes().await.unwrap(), &body, part);
    }
    fixture.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects_of_another_container_are_read() {
    // Layout A keeps segments in a container of their own.
    let segments = SwiftFixture::new("other_segments", "", |_| {}).await;
    let fixture = SwiftFixture::new("other", "", |_| {}).await;
    let parts = [noise(1, 40_000), noise(2, 30_000)];
    for (at, part) in parts.iter().enumerate() {
        segments.store.put(&name(&format!("h_b_1_0/1/128/{at:08}")), part.clone()).await.unwrap();
    }
    fixture.store.prepare().await.unwrap();
    let target = format!("{}/h_b_1_0", segments.container);
    let done =
        fixture.raw("PUT", "/h_b_1_0", &[("X-Object-Manifest", &target), ("Content-Length", "0")]).await;
    assert!(done.status().is_success(), "{}", done.status());
    let body = parts.concat();
    assert_same(&read(fixture.store.as_ref(), &name("h_b_1_0"), None).await.unwrap(), &body, "layout A");
    let range = read(fixture.store.as_ref(), &name("h_b_1_0"), Some(39_990..40_010)).await.unwrap();
    assert_same(&range, &body[39_990..40_010], "across segments");
    assert_eq!(fixture.store.head(&name("h_b_1_0")).await.unwrap().unwrap().size_bytes, 70_000);
    fixture.clean().await;
    segments.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_large_object_in_a_folder_is_refused() {
    let fixture = SwiftFixture::new("second", "/p", |_| {}).await;
    let (body, store) = (noise(1, 30_000), fixture.store.as_ref());
    write_large(store, &name("f/data"), &body, 10_000, 10_000).await.unwrap();
    let error = write_large(store, &name("f/other"), &body, 10_000, 10_000).await.unwrap_err();
    assert!(error.to_string().contains("p/f/data"), "{error}");
    assert_same(&read(store, &name("f/data"), None).await.unwrap(), &body, "the first");
    // Segments that no manifest names are leftovers.
    store.delete(&name("f/data")).await.unwrap();
    write_large(store, &name("f/other"), &body, 15_000, 10_000).await.unwrap();
    assert_same(&read(store, &name("f/other"), None).await.unwrap(), &body, "the other");
    fixture.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn static_large_objects_are_read() {
    let fixture = SwiftFixture::new("slo", "", |_| {}).await;
    let parts = [noise(1, 40_000), noise(2, 30_000)];
    for (at, part) in parts.iter().enumerate() {
        fixture.store.put(&name(&format!("parts/{at}")), part.clone()).await.unwrap();
    }
    let manifest = format!(r#"[{{"path": "{0}/parts/0"}}, {{"path": "{0}/parts/1"}}]"#, fixture.container);
    let base = fixture.session.endpoint("object-store", None, None).await.unwrap();
    let url = format!("{base}/{}/slo?multipart-manifest=put", fixture.container);
    let token = fixture.session.token().await.unwrap();
    let put = fixture.session.http().put(url).header("X-Auth-Token", token.expose()).body(manifest);
    assert!(put.send().await.unwrap().status().is_success());
    let body = parts.concat();
    assert_same(&read(fixture.store.as_ref(), &name("slo"), None).await.unwrap(), &body, "SLO");
    let range = read(fixture.store.as_ref(), &name("slo"), Some(39_990..40_010)).await.unwrap();
    assert_same(&range, &body[39_990..40_010], "part of SLO");
    assert_eq!(fixture.store.head(&name("slo")).await.unwrap().unwrap().size_bytes, 70_000);
    fixture.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_objects_are_listed_and_deleted() {
    let fixture = SwiftFixture::new("many", "", |config| config.page_names = Some(7)).await;
    fixture.store.prepare().await.unwrap();
    let store = &fixture.store;
    for chunk in (0..60).collect::<Vec<u64>>().chunks(10) {
        let put = |at: &u64| {
            let object = name(&format!("all/{}/{at:03}", at % 3));
            async move { store.put(&object, Bytes::from_static(b"x")).await.unwrap() }
        };
        join_all(chunk.iter().map(put)).await;
    }
    store.put(&name("all-but/x"), Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(store.list(Some(&name("all/1"))).await.unwrap().len(), 20);
    assert_eq!(store.list(Some(&name("all"))).await.unwrap().len(), 3);
    assert_eq!(store.delete_tree(&name("all")).await.unwrap(), 60);
    assert_eq!(store.list(None).await.unwrap().len(), 1);
    fixture.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_project_is_refused() {
    let fixture = SwiftFixture::new("refused", "", |_| {}).await;
    fixture.store.put(&name("x"), Bytes::from_static(b"1")).await.unwrap();
    let mut foreign = options("other", "other");
    let demo = demo_session().await.endpoint("object-store", None, None).await.unwrap();
    foreign.endpoint_overrides.insert("object-store".into(), demo);
    let access = Arc::new(SessionAccess::new(keystone::Session::new(foreign).unwrap()));
    let config = SwiftConfig::new(access, fixture.container.clone());
    let (retry, _) = quick_retry();
    let store = open_with(StoreConfig::Swift(config), Limits::none(), retry.clone()).unwrap();
    for error in [
        store.prepare().await.unwrap_err(),
        store.put(&name("y"), Bytes::new()).await.unwrap_err(),
        read(store.as_ref(), &name("x"), None).await.unwrap_err(),
        store.list(None).await.unwrap_err(),
        store.delete_tree(&name("x")).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    }
    assert_eq!(retry.repeated(), 0);
    fixture.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_is_full() {
    let fixture = SwiftFixture::new("quota", "", |_| {}).await;
    fixture.store.prepare().await.unwrap();
    let set =
        fixture.raw("POST", "", &[("X-Container-Meta-Quota-Bytes", "100000"), ("Content-Length", "0")]).await;
    assert!(set.status().is_success());
    let error = fixture.store.put(&name("big"), noise(1, 200_000)).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    let error =
        write_large(fixture.store.as_ref(), &name("l/data"), &noise(1, 400_000), 200_000, 50_000).await;
    assert!(matches!(error, Err(StoreError::Full { .. })), "{error:?}");
    fixture.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_container_is_made_by_the_first_write() {
    let fixture = SwiftFixture::new("fresh", "", |_| {}).await;
    assert_eq!(fixture.store.list(None).await.unwrap(), vec![]);
    assert_eq!(fixture.store.head(&name("x")).await.unwrap(), None);
    assert_eq!(fixture.store.delete_tree(&name("x")).await.unwrap(), 0);
    let body = noise(1, 50_000);
    write_large(fixture.store.as_ref(), &name("l/data"), &body, 20_000, 20_000).await.unwrap();
    assert_same(
        &read(fixture.store.as_ref(), &name("l/data"), None).await.unwrap(),
        &body,
        "fresh container",
    );
    fixture.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_mebibytes() {
    let fixture = SwiftFixture::new("big", "", |config| config.buffer_bytes = 24 << 20).await;
    let body = noise(7, 200 << 20);
    let start = std::time::Instant::now();
    let segments =
        write_large(fixture.store.as_ref(), &name("l/data"), &body, 8 << 20, 1 << 20).await.unwrap();
    println!("Swift: 200 MiB written in {:?}", start.elapsed());
    assert_eq!(segments.len(), 25);
    let start = std::time::Instant::now();
    assert_same(&read(fixture.store.as_ref(), &name("l/data"), None).await.unwrap(), &body, "200 MiB");
    println!("Swift: 200 MiB read in {:?}", start.elapsed());
    assert_eq!(fixture.store.delete_tree(&name("l")).await.unwrap(), 26);
    fixture.clean().await;
}
