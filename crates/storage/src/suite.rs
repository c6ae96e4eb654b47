//! What every store must do, as tests: [`store_suite!`](crate::store_suite) runs all of it against one.
//!
//! For test code only: a check that fails panics. Give the macro a function
//! `async fn make(test: &'static str) -> impl SuiteStore`; each test gets a store of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use crate::store::{Entry, ObjectName, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{FutureExt, TryStreamExt};
use std::future::Future;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

/// A store made for one test.
#[async_trait]
pub trait SuiteStore: Send + Sync {
    fn store(&self) -> Arc<dyn Store>;
    /// Removes all traces; also called when the test failed.
    async fn clean(self);
}

/// A check that borrows the store.
pub type Check<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Runs one check and cleans up whatever happens.
pub async fn run<S, F>(fixture: S, check: F)
where
    S: SuiteStore,
    F: for<'a> FnOnce(&'a dyn Store) -> Check<'a>,
{
    let store = fixture.store();
    let result = AssertUnwindSafe(async { check(store.as_ref()).await }).catch_unwind().await;
    drop(store);
    fixture.clean().await;
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// Makes one test per check of this module.
#[macro_export]
macro_rules! store_suite {
    ($make:path) => {
        $crate::store_suite!(@each $make:
            prepares_twice, writes_and_reads, writes_several, replaces, keeps_odd_names, refuses_bad_names, knows_missing_objects,
            reads_ranges, lists_folders, lists_trees, stamps_what_is_not_written_to, keeps_similar_prefixes_apart, deletes_trees, writes_large_objects,
            reads_ranges_of_large_objects, hides_unfinished_objects, rewrites_large_objects,
            writes_empty_large_objects, serves_many_at_once, never_shows_half_an_object);
    };
    (@each $make:path: $($check:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let fixture = $make(stringify!($check)).await;
                $crate::suite::run(fixture, |store| Box::pin($crate::suite::$check(store))).await;
            }
        )+
    };
}

/// An object name; panics on a bad one.
pub fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

/// Bytes that look random and depend on `seed`.
pub fn noise(seed: u64, bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(bytes);
    Bytes::from(out)
}

/// The whole object, or the bytes of a range.
pub async fn read(
    store: &dyn Store,
    object: &ObjectName,
    range: Option<Range<u64>>,
) -> Result<Vec<u8>, StoreError> {
    let mut body = store.get(object, range).await?;
    let mut all = Vec::new();
    while let Some(piece) = body.try_next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// Writes a large object in segments and pieces; answers the segments' names.
pub async fn write_large(
    store: &dyn Store,
    object: &ObjectName,
    body: &Bytes,
    segment_bytes: usize,
    piece_bytes: usize,
) -> Result<Vec<ObjectName>, StoreError> {
    let mut writer = store.create_large(object).await?;
    let mut rest = body.clone();
    while !rest.is_empty() {
        let mut segment = rest.split_to(segment_bytes.min(rest.len()));
        while !segment.is_empty() {
            let piece = segment.split_to(piece_bytes.min(segment.len()));
            if let Err(error) = writer.write(piece).await {
                writer.abandon().await;
                return Err(error);
            }
        }
        writer.end_segment().await?;
    }
    writer.finish().await
}

/// Compares without printing megabytes.
pub fn assert_same(found: &[u8], expected: &[u8], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    if let Some(at) = found.iter().zip(expected).position(|(a, b)| a != b) {
        panic!("{what}: first difference at byte {at}");
    }
}

async fn names_in(store: &dyn Store, folder: Option<&str>) -> Vec<String> {
    let folder = folder.map(name);
    let entries = store.list(folder.as_ref()).await.unwrap();
    entries.into_iter().map(|e| if e.is_folder { format!("{}/", e.name) } else { e.name }).collect()
}

pub async fn prepares_twice(store: &dyn Store) {
    store.prepare().await.unwrap();
    store.put(&name("a"), Bytes::from_static(b"1")).await.unwrap();
    store.prepare().await.unwrap();
    assert_eq!(read(store, &name("a"), None).await.unwrap(), b"1");
    assert!(!store.describe().is_empty());
    assert_eq!(names_in(store, None).await, ["a"]);
}

pub async fn writes_and_reads(store: &dyn Store) {
    for (at, bytes) in [0usize, 1, 100, 65_535, 65_536, 65_537, 3_000_000].into_iter().enumerate() {
        let object = name(&format!("some/folder/{at}"));
        let body = noise(at as u64, bytes);
        store.put(&object, body.clone()).await.unwrap();
        assert_same(&read(store, &object, None).await.unwrap(), &body, object.as_str());
        assert_eq!(store.head(&object).await.unwrap().unwrap().size_bytes, bytes as u64);
    }
}

/// Together, in odd names and lengths too, and over what is there.
pub async fn writes_several(store: &dyn Store) {
    store.prepare().await.unwrap();
    let long = format!("several/{}/{}", "l".repeat(120), "m".repeat(60));
    let plain = ["several/b c/data", "several/b c/metadata", long.as_str(), "several/empty"];
    let odd = ["several/50%25", "several/ünïcödé"];
    for (round, names) in
        [&plain[..], &odd[..], &plain[1..], &plain[..1], &plain[..0]].into_iter().enumerate()
    {
        let body = |at: usize| noise((10 * round + at) as u64, [70_000, 17, 512, 0][at]);
        let objects: Vec<(ObjectName, Bytes)> =
            names.iter().enumerate().map(|(at, object)| (name(object), body(at))).collect();
        store.put_all(&objects).await.unwrap();
        for (object, body) in &objects {
            assert_same(&read(store, object, None).await.unwrap(), body, object.as_str());
            assert_eq!(store.head(object).await.unwrap().unwrap().size_bytes, body.len() as u64);
        }
    }
    let large = [(name("several/large/1"), noise(1, 600_000)), (name("several/large/2"), noise(2, 600_000))];
    store.put_all(&large).await.unwrap();
    for (object, body) in &large {
        assert_same(&read(store, object, None).await.unwrap(), body, object.as_str());
    }
    let mut found = names_in(store, Some("several")).await;
    found.retain(|name| !name.starts_with("lll"));
    assert_eq!(found, ["50%25", "b c/", "empty", "large/", "ünïcödé"]);
    assert_eq!(store.delete_tree(&name("several")).await.unwrap(), 8);
}

pub async fn replaces(store: &dyn Store) {
    let object = name("x/y");
    store.put(&object, noise(1, 70_000)).await.unwrap();
    store.put(&object, Bytes::from_static(b"short")).await.unwrap();
    assert_eq!(read(store, &object, None).await.unwrap(), b"short");
    assert_eq!(store.head(&object).await.unwrap().unwrap().size_bytes, 5);
    assert_eq!(names_in(store, Some("x")).await, ["y"]);
}

/// Parts of names that trip up escaping.
pub const ODD_PARTS: &[&str] = &[
    "with blank",
    " leading",
    "trailing ",
    "{braces} {0}",
    "ünïcödé-日本語-🦀",
    "a#b",
    "a?b",
    "a%b",
    "a%41b",
    "a%2Fb",
    "a+b",
    "a&b=c",
    "a;b,c",
    "a:b@c",
    "[x](y)",
    "quote'\"`",
    "back\\slash",
    "$HOME",
    "!~^|<>",
    "..dots..",
    ".hidden",
    "-dash",
    "*star*",
    "tab\there",
    "segments",
    "metadata",
];

pub async fn keeps_odd_names(store: &dyn Store) {
    keeps_names(store, ODD_PARTS).await;
}

/// For servers that do not take every name.
pub async fn keeps_names(store: &dyn Store, parts: &[&str]) {
    let mut expected: Vec<String> = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let body = noise(at as u64, 50 + at);
        store.put(&name(&format!("{part}/in/{part}")), body.clone()).await.unwrap();
        let object = name(&format!("flat/{part}"));
        store.put(&object, body.clone()).await.unwrap();
        assert_same(&read(store, &object, None).await.unwrap(), &body, part);
        assert_eq!(store.head(&object).await.unwrap().unwrap().size_bytes, body.len() as u64, "{part}");
        assert_eq!(names_in(store, Some(&format!("{part}/in"))).await, [part.to_string()]);
        expected.push((*part).to_string());
    }
    expected.sort();
    assert_eq!(names_in(store, Some("flat")).await, expected);
    for part in parts {
        assert_eq!(store.delete_tree(&name(part)).await.unwrap(), 1, "{part}");
        store.delete(&name(&format!("flat/{part}"))).await.unwrap();
    }
    assert_eq!(names_in(store, None).await, Vec::<String>::new());
}

pub async fn refuses_bad_names(store: &dyn Store) {
    for bad in ["", "/", "/abs", "a//b", "a/", "./a", "a/../b", "..", "nul\0"] {
        assert!(matches!(ObjectName::new(bad), Err(StoreError::BadName { .. })), "{bad:?}");
    }
    assert_eq!(names_in(store, None).await, Vec::<String>::new());
}

pub async fn knows_missing_objects(store: &dyn Store) {
    store.put(&name("folder/object"), Bytes::from_static(b"x")).await.unwrap();
    for missing in ["nothing", "folder", "folder/other", "no/such/folder"] {
        let missing = name(missing);
        let answer = store.get(&missing, None).await;
        assert!(matches!(answer, Err(StoreError::NotFound { .. })), "get {missing}");
        let answer = store.get(&missing, Some(3..3)).await;
        assert!(matches!(answer, Err(StoreError::NotFound { .. })), "get nothing of {missing}");
        assert_eq!(store.head(&missing).await.unwrap(), None, "head {missing}");
        store.delete(&missing).await.unwrap();
    }
    assert_eq!(store.list(Some(&name("no/such/folder"))).await.unwrap(), Vec::<Entry>::new());
    assert_eq!(store.delete_tree(&name("no/such/folder")).await.unwrap(), 0);
    // Deleting the name of a folder took nothing with it.
    assert_eq!(read(store, &name("folder/object"), None).await.unwrap(), b"x");
    store.delete(&name("folder/object")).await.unwrap();
    store.delete(&name("folder/object")).await.unwrap();
    assert_eq!(names_in(store, None).await, Vec::<String>::new());
}

const RANGES: &[Range<u64>] = &[
    0..1,
    0..10,
    5..6,
    65_530..65_540,
    99_999..100_000,
    99_999..500_000,
    0..u64::MAX,
    70_000..u64::MAX,
    100_000..100_001,
    300_000..u64::MAX,
    7..7,
    0..0,
];

async fn check_ranges(store: &dyn Store, object: &ObjectName, body: &[u8]) {
    for range in RANGES {
        let at = |edge: u64| edge.min(body.len() as u64) as usize;
        let expected = &body[at(range.start)..at(range.end)];
        let found = read(store, object, Some(range.clone())).await.unwrap();
        assert_same(&found, expected, &format!("{range:?}"));
    }
}

pub async fn reads_ranges(store: &dyn Store) {
    let body = noise(3, 100_000);
    store.put(&name("r"), body.clone()).await.unwrap();
    check_ranges(store, &name("r"), &body).await;
    store.put(&name("empty"), Bytes::new()).await.unwrap();
    check_ranges(store, &name("empty"), &[]).await;
}

pub async fn lists_folders(store: &dyn Store) {
    let objects = ["b", "a/2", "a/10", "a/c/x", "a-b/1", "a/c-d", "a/c/deep/er/y", "B"];
    for object in objects {
        store.put(&name(object), noise(1, object.len())).await.unwrap();
    }
    assert_eq!(names_in(store, None).await, ["B", "a/", "a-b/", "b"]);
    assert_eq!(names_in(store, Some("a")).await, ["10", "2", "c/", "c-d"]);
    assert_eq!(names_in(store, Some("a/c")).await, ["deep/", "x"]);
    assert_eq!(names_in(store, Some("a/c/deep")).await, ["er/"]);
    let entries = store.list(Some(&name("a"))).await.unwrap();
    let facts = |at: usize| (entries[at].name.as_str(), entries[at].is_folder, entries[at].size_bytes);
    assert_eq!((facts(1), facts(2)), (("2", false, 3), ("c", true, 0)));
    assert_eq!(names_in(store, Some("b")).await, Vec::<String>::new(), "an object is an empty folder");
}

pub async fn lists_trees(store: &dyn Store) {
    for object in ["a/2", "a/10", "a/c/x", "a-b/1", "a/c/deep/er/y", "ab"] {
        store.put(&name(object), noise(1, object.len())).await.unwrap();
    }
    write_large(store, &name("a/large/data"), &noise(2, 20_000), 10_000, 5000).await.unwrap();
    let found = store.list_tree(&name("a"), 100).await.unwrap().unwrap();
    assert!(found.iter().all(|entry| !entry.is_folder) && found.is_sorted_by(|a, b| a.name < b.name));
    let sizes: Vec<(&str, u64)> = found
        .iter()
        .filter(|entry| !entry.name.starts_with("large/"))
        .map(|entry| (entry.name.as_str(), entry.size_bytes))
        .collect();
    assert_eq!(sizes, [("10", 4), ("2", 3), ("c/deep/er/y", 13), ("c/x", 5)]);
    let large: u64 = found.iter().filter(|e| e.name.starts_with("large/")).map(|e| e.size_bytes).sum();
    assert_eq!(large, 20_000, "a large object has its size once, in itself or in its segments");
    assert_eq!(store.list_tree(&name("a"), found.len()).await.unwrap(), Some(found.clone()));
    assert_eq!(store.list_tree(&name("a"), found.len() - 1).await.unwrap(), None);
    // Tags are told of all objects or of none, stay, and are other ones when the content is.
    let tags = |entries: &[Entry]| entries.iter().map(|entry| entry.tag.clone()).collect::<Vec<_>>();
    let is_told = found.iter().any(|entry| entry.tag.is_some());
    assert!(found.iter().all(|entry| entry.tag.is_some() == is_told), "{found:?}");
    store.put(&name("a/c/x"), noise(3, 5)).await.unwrap();
    let changed = store.list_tree(&name("a"), 100).await.unwrap().unwrap();
    let differ =
        tags(&found).into_iter().zip(tags(&changed)).filter(|(before, after)| before != after).count();
    assert_eq!(differ, usize::from(is_told));
    let skips = |folder: &str| folder == "c";
    let without = store.list_tree_without(&name("a"), 100, &skips).await.unwrap().unwrap();
    match without.iter().find(|entry| entry.is_folder) {
        Some(folder) => {
            assert_eq!((folder.name.as_str(), without.len()), ("c", changed.len() - 1), "{without:?}");
            assert!(!without.iter().any(|entry| entry.name.starts_with("c/")), "{without:?}");
        }
        None => assert_eq!(without, changed, "one listing shows all"),
    }
    assert_eq!(store.list_tree(&name("nothing"), 10).await.unwrap(), Some(Vec::new()));
}

/// What is known of a file by its stamp is not believed any more when somebody has written to it, be it in the same moment.
pub async fn stamps_what_is_not_written_to(store: &dyn Store) {
    let (object, later) = (name("stamped/with blank/manifest"), name("stamped/later/lock"));
    let stamp = store.put_stamped(&object, noise(1, 500)).await.unwrap();
    assert_same(&read(store, &object, None).await.unwrap(), &noise(1, 500), object.as_str());
    store.put(&later, noise(1, 1)).await.unwrap();
    let (listed, after) = (only_in(store, "stamped/with blank").await, only_in(store, "stamped/later").await);
    assert_eq!((listed.name.as_str(), listed.size_bytes), ("manifest", 500));
    let Some(stamp) = stamp else { return };
    assert_eq!((listed.stamp.as_ref(), listed.tag), (Some(&stamp), None));
    assert!(stamp.is_settled_at(after.stamp.unwrap().modified_secs), "{stamp}");
    store.put(&object, noise(2, 500)).await.unwrap();
    let listed = only_in(store, "stamped/with blank").await;
    assert!(listed.stamp.is_some_and(|other| other != stamp), "{stamp}");
    // And over what is there.
    let again = store.put_stamped(&object, noise(3, 70)).await.unwrap();
    assert_eq!(only_in(store, "stamped/with blank").await.stamp, again);
    assert_same(&read(store, &object, None).await.unwrap(), &noise(3, 70), object.as_str());
}

async fn only_in(store: &dyn Store, folder: &str) -> Entry {
    let mut entries = store.list(Some(&name(folder))).await.unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

pub async fn keeps_similar_prefixes_apart(store: &dyn Store) {
    for object in ["host_a/1", "host_ab/1", "host_a b/1", "host_a.1/1"] {
        store.put(&name(object), Bytes::from_static(b"1")).await.unwrap();
    }
    assert_eq!(names_in(store, Some("host_a")).await, ["1"]);
    assert_eq!(store.delete_tree(&name("host_a")).await.unwrap(), 1);
    assert_eq!(names_in(store, None).await, ["host_a b/", "host_a.1/", "host_ab/"]);
}

pub async fn deletes_trees(store: &dyn Store) {
    let objects = ["t/1", "t/2", "t/s/3", "t/s/s/4", "t2/5", "6"];
    for object in objects {
        store.put(&name(object), Bytes::from_static(b"x")).await.unwrap();
    }
    assert_eq!(store.delete_tree(&name("t/s")).await.unwrap(), 2);
    assert_eq!(names_in(store, Some("t")).await, ["1", "2"]);
    for object in ["t/3", "t/4", "t/5"] {
        store.put(&name(object), Bytes::from_static(b"x")).await.unwrap();
    }
    store.delete_all(&["t/3", "t/missing", "t/5"].map(name)).await.unwrap();
    store.delete_all(&[name("t/4")]).await.unwrap();
    store.delete_all(&[]).await.unwrap();
    assert_eq!(names_in(store, Some("t")).await, ["1", "2"]);
    assert_eq!(store.delete_tree(&name("t")).await.unwrap(), 2);
    assert_eq!(store.delete_tree(&name("t")).await.unwrap(), 0);
    // An object of the very name.
    assert_eq!(store.delete_tree(&name("6")).await.unwrap(), 1);
    assert_eq!(names_in(store, None).await, ["t2/"]);
    // And with a large object inside.
    let body = noise(9, 300_000);
    write_large(store, &name("big/l/data"), &body, 100_000, 50_000).await.unwrap();
    assert!(store.delete_tree(&name("big")).await.unwrap() >= 1);
    assert_eq!(names_in(store, None).await, ["t2/"]);
}

pub async fn writes_large_objects(store: &dyn Store) {
    let cases =
        [(0u64, 1usize, 10usize, 10usize), (1, 100_000, 100_000, 7_000), (2, 1_000_001, 300_000, 65_536)];
    for (seed, bytes, segment, piece) in cases {
        let object = name(&format!("data/tar/h_{{b}} x/1/0_{seed}/data"));
        let body = noise(seed, bytes);
        let segments = write_large(store, &object, &body, segment, piece).await.unwrap();
        assert_same(&read(store, &object, None).await.unwrap(), &body, object.as_str());
        assert_eq!(store.head(&object).await.unwrap().unwrap().size_bytes, bytes as u64);
        if !segments.is_empty() {
            assert_eq!(segments.len(), bytes.div_ceil(segment));
            let mut joined = Vec::new();
            for segment in &segments {
                joined.extend(read(store, segment, None).await.unwrap());
            }
            assert_same(&joined, &body, "the segments joined");
        }
    }
}

pub async fn reads_ranges_of_large_objects(store: &dyn Store) {
    let body = noise(4, 100_000);
    let object = name("50%/a b+c?&#é/data");
    write_large(store, &object, &body, 30_000, 30_000).await.unwrap();
    check_ranges(store, &object, &body).await;
}

pub async fn hides_unfinished_objects(store: &dyn Store) {
    let object = name("u/data");
    let mut writer = store.create_large(&object).await.unwrap();
    writer.write(noise(1, 200_000)).await.unwrap();
    writer.end_segment().await.unwrap();
    writer.write(noise(2, 100)).await.unwrap();
    assert_eq!(store.head(&object).await.unwrap(), None);
    assert!(!names_in(store, Some("u")).await.contains(&"data".to_string()));
    writer.abandon().await;
    assert_eq!(store.head(&object).await.unwrap(), None);
    assert_eq!(names_in(store, Some("u")).await, Vec::<String>::new());

    let mut writer = store.create_large(&object).await.unwrap();
    writer.write(noise(1, 200_000)).await.unwrap();
    drop(writer);
    assert_eq!(store.head(&object).await.unwrap(), None);
}

pub async fn rewrites_large_objects(store: &dyn Store) {
    let object = name("w/data");
    let (long, short) = (noise(1, 50_000), noise(2, 15_000));
    write_large(store, &object, &long, 10_000, 10_000).await.unwrap();
    write_large(store, &object, &short, 10_000, 10_000).await.unwrap();
    assert_same(&read(store, &object, None).await.unwrap(), &short, "the second of two");
}

pub async fn writes_empty_large_objects(store: &dyn Store) {
    let object = name("e/data");
    let mut writer = store.create_large(&object).await.unwrap();
    writer.write(Bytes::new()).await.unwrap();
    writer.end_segment().await.unwrap();
    writer.end_segment().await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), Vec::<ObjectName>::new());
    assert_eq!(read(store, &object, None).await.unwrap(), b"");
    assert_eq!(store.head(&object).await.unwrap().unwrap().size_bytes, 0);
}

pub async fn serves_many_at_once(store: &dyn Store) {
    let one = |at: u64| async move {
        let object = name(&format!("many/{}/{at}", at % 5));
        let body = noise(at, 20_000 + at as usize);
        store.put(&object, body.clone()).await.unwrap();
        assert_same(&read(store, &object, None).await.unwrap(), &body, object.as_str());
        assert!(store.head(&object).await.unwrap().is_some());
    };
    join_all((0..40).map(one)).await;
    assert_eq!(store.delete_tree(&name("many")).await.unwrap(), 40);
}

pub async fn never_shows_half_an_object(store: &dyn Store) {
    let object = name("half/x");
    let bodies = [noise(1, 400_000), noise(2, 300_000)];
    store.put(&object, bodies[0].clone()).await.unwrap();
    let writing = async {
        for at in 0..6 {
            store.put(&object, bodies[at % 2].clone()).await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..8 {
            let found = read(store, &object, None).await.unwrap();
            assert!(bodies.iter().any(|body| body.as_ref() == found), "a mix of two writes was read");
        }
    };
    futures_util::join!(writing, reading);
    assert_eq!(names_in(store, Some("half")).await, ["x"]);
}
