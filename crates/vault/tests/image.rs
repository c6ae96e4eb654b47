//! The image engine: chains of images, from sources that are read whole and from lists of changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::codecs::{Compression, CompressionOptions};
use freezer_vault::image::{
    self, ImageBase, ImageInput, ImageOutput, ImageRequest, ImageRestoreRequest, OpenImage, OpenedImage,
};
use freezer_vault::levels::LevelPolicy;
use freezer_vault::prune::{self, PruneRequest, Retention};
use freezer_vault::verify::{Scope, VerifyRequest, verify};
use freezer_vault::{Engine, Hbn, Monitor, VaultError};
use proptest::prelude::*;
use serde_json::json;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use support::images::*;
use support::*;

#[tokio::test]
async fn only_what_changed_is_stored_and_every_state_comes_back() {
    let images = Images::new();
    let mut image = sparse_image();
    let first = images.save(images.request(T0), whole(&image)).await.unwrap();
    assert_eq!((first.level, first.image_bytes), (0, Some(image.len() as u64)));
    assert_eq!(*images.told.lock().unwrap(), Some(None));
    assert!(first.bytes_stored < 6 * REGION as u64, "holes were stored: {}", first.bytes_stored);
    let before = image.clone();
    image[5 * REGION] = 1;
    image[REGION..2 * REGION].fill(0);
    let second = images.save(images.request(T0 + DAY), whole(&image)).await.unwrap();
    assert_eq!((second.level, second.bytes_read), (1, image.len() as u64));
    assert!(second.bytes_stored < 2 * REGION as u64, "{}", second.bytes_stored);
    let told = images.told.lock().unwrap().clone().flatten().unwrap();
    assert_eq!(told, ImageBase { source: json!({"snapshot": T0}), size_bytes: image.len() as u64 });
    let third = images.save(images.request(T0 + 2 * DAY), whole(&image)).await.unwrap();
    assert!(third.bytes_stored < 200, "nothing changed, and {} bytes were stored", third.bytes_stored);

    images.expect(&images.newest(), &image).await;
    images.expect(&images.until(T0), &before).await;
    let plan = image::plan(&images.room.store, &images.newest()).await.unwrap();
    assert_eq!(plan.description, json!({"of": {"snapshot": T0 + 2 * DAY}}));
    assert_eq!((plan.size_bytes, plan.levels.len()), (image.len() as u64, 3));
}

/// Nothing is made smaller by a codec.
fn plain(request: ImageRequest) -> ImageRequest {
    ImageRequest { compression: CompressionOptions::of(Compression::None), ..request }
}

#[tokio::test]
async fn one_block_in_a_hundred_costs_at_most_twice_its_bytes() {
    let images = Images::new();
    let mut image = noise(4, 64 << 20);
    images.save(plain(images.request(T0)), whole(&image)).await.unwrap();
    let first = image.clone();
    for (number, block) in [(1, REGION), (2, 4096), (3, 4096)] {
        let mut changed = 0;
        for at in (number * 7..image.len() / block).step_by(100) {
            image[at * block..(at + 1) * block].copy_from_slice(&noise((at + number) as u64, block));
            changed += block as u64;
        }
        let (now, before) = (T0 + number as i64, images.bytes_stored());
        images.save(plain(images.request(now)), whole(&image)).await.unwrap();
        let growth = images.bytes_stored() - before;
        assert!(growth <= 2 * changed, "blocks of {block}: {changed} bytes changed, {growth} were stored");
    }
    images.expect(&images.newest(), &image).await;
    images.expect(&images.until(T0), &first).await;
}

#[tokio::test]
async fn blocks_that_changed_are_stored_alone() {
    let images = Images::new();
    let first = noise(21, 12 * REGION + 5000);
    images.save(plain(images.request(T0)), whole(&first)).await.unwrap();
    let (mut image, mut states) = (first.clone(), vec![first.clone()]);
    // What a payload of these records has, besides `s`.
    let payload = |records: &[usize]| 12 + 1 + records.iter().map(|data| 17 + data).sum::<usize>();
    let mut save = async |input: ImageInput, state: &[u8], expected: usize| {
        let at = T0 + states.len() as i64;
        states.push(state.to_vec());
        let saved = images.save(plain(images.request(at)), input).await.unwrap();
        assert_eq!(saved.bytes_stored, expected as u64, "level {}", saved.level);
    };
    // Neighbours in two regions, and a few bytes elsewhere; then all as it was.
    image[2 * REGION - 4096..2 * REGION + 4096].copy_from_slice(&noise(22, 8192));
    image[5 * REGION + 8192..][..100].copy_from_slice(&noise(23, 100));
    save(whole(&image), &image, payload(&[8192, 4096]) + 9).await;
    save(whole(&first), &first, payload(&[8192, 4096]) + 9).await;
    image.copy_from_slice(&first);
    // Zeros, and data right behind them.
    image[3 * REGION + 4096..][..8192].fill(0);
    image[3 * REGION + 12_288..][..4096].copy_from_slice(&noise(24, 4096));
    save(whole(&image), &image, payload(&[0, 4096]) + 9).await;
    // In an object.
    let before = image.clone();
    image[6 * REGION + 4096] ^= 1;
    save(objects(&before, &image, 4 * REGION), &image, payload(&[4096]) + 9).await;
    // Nobody has seen the blocks of a region that a list of changes names a part of: it is stored once more.
    let before = image.clone();
    image[8 * REGION + 1010..][..50].copy_from_slice(&noise(25, 50));
    let listed = diff(&before, &image, 100);
    let length = listed.len() - b"f\x03\0\0\0old".len();
    let listed = ImageInput::Changes { stream: Box::new(std::io::Cursor::new(listed)) };
    save(listed, &image, length).await;
    image[8 * REGION + 20_000] ^= 1;
    save(whole(&image), &image, payload(&[REGION]) + 9).await;
    image[8 * REGION + 30_000] ^= 1;
    save(whole(&image), &image, payload(&[4096]) + 9).await;
    // Larger: a region that the end was in is stored once more. Smaller: the same.
    image.resize(14 * REGION + 100, 0);
    save(whole(&image), &image, payload(&[REGION]) + 9).await;
    image[13 * REGION + 4096..][..4096].copy_from_slice(&noise(26, 4096));
    save(whole(&image), &image, payload(&[4096]) + 9).await;
    image.truncate(9 * REGION + 8197);
    save(whole(&image), &image, payload(&[8197]) + 9).await;
    image[9 * REGION + 8194] ^= 1;
    save(whole(&image), &image, payload(&[5]) + 9).await;
    // Nobody knows ahead how long it is.
    image[REGION + 5000] ^= 1;
    let reader = Box::new(std::io::Cursor::new(image.clone()));
    save(ImageInput::Whole { reader, size_bytes: None }, &image, payload(&[4096])).await;
    save(whole(&image), &image, payload(&[]) + 9).await;
    for (at, state) in (T0..).zip(&states) {
        images.expect(&images.until(at), state).await;
    }
}

#[tokio::test]
async fn of_objects_that_changed_somewhere_only_what_differs_is_stored() {
    const OBJECT: usize = 16 * REGION;
    let images = Images::new();
    let mut image = vec![0; 4 * OBJECT + 5000];
    image[..2 * OBJECT].copy_from_slice(&noise(1, 2 * OBJECT));
    images.save(images.request(T0), whole(&image)).await.unwrap();
    let save = async |number: i64, from: &[u8], to: &[u8]| {
        let saved = images.save(images.request(T0 + number), objects(from, to, OBJECT)).await.unwrap();
        (saved.bytes_read, saved.bytes_stored)
    };
    // Something in the middle, something where nothing was, and a region that became a hole.
    let before = image.clone();
    image[OBJECT + 5 * REGION + 7] ^= 1;
    image[2 * OBJECT + 3 * REGION + 4096..][..4096].copy_from_slice(&noise(2, 4096));
    image[3 * REGION..4 * REGION].fill(0);
    let end = image.len();
    image[end - 1] = 1;
    let (read, stored) = save(1, &before, &image).await;
    assert_eq!(read, 3 * OBJECT as u64 + 5000);
    assert!((8192..12_000).contains(&stored), "{stored}");
    images.expect(&images.newest(), &image).await;
    images.expect(&images.until(T0), &before).await;
    // One is listed and has not changed.
    let (read, stored) = save(2, &image, &image).await;
    assert!(read >= OBJECT as u64 && stored < 200, "{read} bytes read, {stored} stored");
    // Of a region that was changed to the byte nothing is known: it is stored once more, and known then.
    let before = image.clone();
    image[100..200].fill(7);
    let exact = ImageInput::Changes { stream: Box::new(std::io::Cursor::new(diff(&before, &image, 100))) };
    images.save(images.request(T0 + 3), exact).await.unwrap();
    let (_, stored) = save(4, &image, &image).await;
    assert!((REGION / 2..REGION + 20_000).contains(&usize::try_from(stored).unwrap()), "{stored}");
    let (_, stored) = save(5, &image, &image).await;
    assert!(stored < 200, "{stored}");
    images.expect(&images.newest(), &image).await;
}

#[tokio::test]
async fn a_sparse_file_and_one_diff_come_out_as_well() {
    let images = Images::new();
    let mut image = sparse_image();
    images.save(images.request(T0), whole(&image)).await.unwrap();
    image[7 * REGION..8 * REGION].copy_from_slice(&noise(9, REGION));
    images.save(images.request(T0 + 1), whole(&image)).await.unwrap();
    let store = &images.room.store;
    let path = images.room.path("image.raw");
    let read = async |output| {
        let plan = image::plan(store, &images.newest()).await.unwrap();
        image::read(store.clone(), plan, output, Arc::new(Monitor::new())).await
    };
    read(ImageOutput::File(path.clone())).await.unwrap();
    assert!(std::fs::read(&path).unwrap() == image);
    let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&path).unwrap());
    assert!(blocks * 512 < 10 * REGION as u64, "{blocks} blocks");
    let again = read(ImageOutput::File(path.clone())).await.unwrap_err();
    assert!(again.to_string().contains("image.raw"), "{again}");
    assert!(std::fs::read(&path).unwrap() == image, "the file that was there is untouched");

    let out = Shared::default();
    read(ImageOutput::Diff(Box::new(out.clone()))).await.unwrap();
    let merged = out.0.lock().unwrap().clone();
    // What one diff says restores alone.
    let others = Images::new();
    others
        .save(others.request(T0), ImageInput::Changes { stream: Box::new(std::io::Cursor::new(merged)) })
        .await
        .unwrap();
    others.expect(&others.newest(), &image).await;
}

#[tokio::test]
async fn the_payload_is_read_by_the_usual_tools() {
    let images = Images::new();
    let image = sparse_image();
    images.save(images.request(T0), whole(&image)).await.unwrap();
    let data = images.room.object(&format!("0_{T0}/data"));
    let clear = shell(&format!("gzip -dc '{}'", data.display()));
    assert!(clear.starts_with(b"rbd diff v1\ns"));
    assert_eq!(clear.last(), Some(&b'e'));
}

#[tokio::test]
async fn encryption_covers_payload_index_and_description() {
    let images = Images::new();
    let mut image = sparse_image();
    image[..24].copy_from_slice(b"THE-SECRET-OF-THE-VOLUME");
    let request = |now| ImageRequest { encryption: encryption("right"), ..images.request(now) };
    images.save(request(T0), whole(&image)).await.unwrap();
    image[REGION] ^= 1;
    let second = images.save(request(T0 + 1), whole(&image)).await.unwrap();
    assert_eq!((second.level, second.encrypted), (1, true));
    for name in images.room.objects() {
        let body = std::fs::read(images.room.path("store").join(&name)).unwrap();
        for word in [&b"THE-SECRET"[..], b"snapshot", b"description"] {
            assert!(!body.windows(word.len()).any(|part| part == word), "{name} tells");
        }
    }
    let with = |text: &str| ImageRestoreRequest { pass_phrase: Some(pass(text)), ..images.newest() };
    images.expect(&with("right"), &image).await;
    let wrong = images.restore(&with("wrong")).await.unwrap_err();
    assert!(matches!(wrong, VaultError::WrongPassPhrase { .. }), "{wrong}");
    let none = images.restore(&images.newest()).await.unwrap_err();
    assert!(matches!(none, VaultError::PassPhraseMissing { .. }), "{none}");
}

#[tokio::test]
async fn damage_of_any_object_is_found_and_never_restored() {
    let images = Images::new();
    let mut image = sparse_image();
    images.save(images.request(T0), whole(&image)).await.unwrap();
    image[REGION] ^= 1;
    images.save(images.request(T0 + 1), whole(&image)).await.unwrap();
    for name in images.room.objects() {
        let path = images.room.path("store").join(&name);
        let sound = std::fs::read(&path).unwrap();
        let middle = sound.len() / 2;
        let mut flipped = sound.clone();
        flipped[middle] ^= 0x10;
        for damaged in [None, Some(&sound[..middle]), Some(&flipped[..])] {
            match damaged {
                None => std::fs::remove_file(&path).unwrap(),
                Some(body) => std::fs::write(&path, body).unwrap(),
            }
            match images.restore(&images.newest()).await {
                // The newest may have become invisible: then the older one is whole.
                Ok((restored, report)) => {
                    let index = name.ends_with("/index") || name.ends_with("/metadata");
                    let hidden = report.timestamp == T0 && name.contains(&format!("1_{}", T0 + 1));
                    assert!(index || hidden, "{name}: damage was not seen");
                    let mut expected = image.clone();
                    expected[REGION] ^= u8::from(hidden);
                    assert!(restored == expected, "{name}");
                }
                Err(error) => assert!(!matches!(error, VaultError::Internal { .. }), "{name}: {error}"),
            }
            let hbn = Hbn::of(Engine::Image, HOST, NAME).unwrap();
            let request = VerifyRequest { hbn, scope: Scope::All, pass_phrase: None, sample: None };
            let verdict = verify(images.room.store.clone(), request, Arc::new(Monitor::new())).await;
            let gone = damaged.is_none() && name.ends_with("/manifest");
            assert!(gone || verdict.is_ok_and(|report| !report.is_sound()), "{name}: verify saw nothing");
        }
        std::fs::write(&path, &sound).unwrap();
    }
    images.expect(&images.newest(), &image).await;
}

#[tokio::test]
async fn a_source_that_fails_leaves_nothing_behind() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the download was cut"))
        }
    }
    let images = Images::new();
    let image = sparse_image();
    images.save(images.request(T0), whole(&image)).await.unwrap();
    let sound = images.room.objects();
    let short = &image[..image.len() - 1];
    let half = diff(&image, &noise(1, image.len()), 5000);
    let mut endless = diff(&image, &image, 100);
    endless.pop();
    let mut beyond = endless.clone();
    beyond.push(b'z');
    beyond.extend((image.len() as u64 - 1).to_le_bytes());
    beyond.extend(2u64.to_le_bytes());
    beyond.push(b'e');
    let complete = diff(&[], &image, 5000);
    let size = Some(image.len() as u64);
    let cases: Vec<(ImageInput, &str)> = vec![
        (ImageInput::Whole { reader: Box::new(Broken), size_bytes: size }, "the download was cut"),
        (
            ImageInput::Whole { reader: Box::new(std::io::Cursor::new(short.to_vec())), size_bytes: size },
            "should have",
        ),
        (ImageInput::Whole { reader: Box::new(std::io::repeat(7)), size_bytes: size }, "should have"),
        (
            ImageInput::Changes { stream: Box::new(std::io::Cursor::new(half[..half.len() / 2].to_vec())) },
            "reading the image",
        ),
        (ImageInput::Changes { stream: Box::new(std::io::Cursor::new(endless)) }, "reading the image"),
        (ImageInput::Changes { stream: Box::new(std::io::Cursor::new(beyond)) }, "names bytes up to"),
        (ImageInput::Changes { stream: Box::new(std::io::Cursor::new(complete)) }, "begins at no snapshot"),
    ];
    for (number, (input, word)) in cases.into_iter().enumerate() {
        let at = T0 + 1 + i64::try_from(number).unwrap();
        let error = images.save(images.request(at), input).await.unwrap_err();
        assert!(error.to_string().contains(word), "{word}: {error}");
        assert_eq!(images.room.objects(), sound, "{word}");
    }
    let refused: OpenImage =
        Box::new(|_| Box::pin(async { Err(VaultError::Source { cause: "no such volume".into() }) }));
    let error =
        image::backup(images.room.store.clone(), images.request(T0 + 9), refused, Arc::new(Monitor::new()))
            .await
            .unwrap_err();
    assert_eq!(error.to_string(), "no such volume");
    assert_eq!(images.room.objects(), sound);
    images.expect(&images.newest(), &image).await;
}

/// Who orders a snapshot must hear what was made, to remove it.
#[tokio::test]
async fn what_opens_the_source_hears_its_answer_after_a_cancel() {
    let images = Images::new();
    let monitor = Arc::new(Monitor::new());
    let has_heard = Arc::new(AtomicBool::new(false));
    let (token, hears) = (monitor.token().clone(), has_heard.clone());
    let open: OpenImage = Box::new(move |_| {
        Box::pin(async move {
            token.cancel();
            // Whatever else waits for the cancel has its turn.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            hears.store(true, Ordering::Relaxed);
            Ok(OpenedImage { input: whole(b"content"), source: json!({}), description: json!({}) })
        })
    });
    let saved = image::backup(images.room.store.clone(), images.request(T0), open, monitor).await;
    assert!(matches!(saved, Err(VaultError::Cancelled)), "{saved:?}");
    assert!(has_heard.load(Ordering::Relaxed));
    assert!(images.room.objects().is_empty());
}

#[tokio::test]
async fn old_chains_are_pruned_by_their_engine() {
    let images = Images::new();
    let full = |now| ImageRequest { levels: LevelPolicy::default(), ..images.request(now) };
    for number in 0..3 {
        images.save(full(T0 + number * DAY), whole(&noise(7, REGION))).await.unwrap();
    }
    let hbn = Hbn::of(Engine::Image, HOST, NAME).unwrap();
    let retention = Retention { keep_last: Some(1), ..Retention::default() };
    let request = PruneRequest::new(hbn, retention, T0 + 9 * DAY);
    let plan = prune::plan(&images.room.store, &request).await.unwrap();
    let report = prune::apply(&images.room.store, &request, &plan, &Monitor::new()).await.unwrap();
    assert_eq!(report.chains, 2);
    images.expect(&images.newest(), &noise(7, REGION)).await;
    assert!(images.restore(&images.until(T0 + DAY)).await.is_err());
}

#[tokio::test]
async fn a_list_that_begins_at_a_snapshot_needs_a_base() {
    let images = Images::new();
    let image = sparse_image();
    let relative = diff(&image, &noise(1, image.len()), 5000);
    let input = ImageInput::Changes { stream: Box::new(std::io::Cursor::new(relative)) };
    let error = images.save(images.request(T0), input).await.unwrap_err();
    assert!(error.to_string().contains("built on nothing"), "{error}");
    assert!(images.room.objects().is_empty());
}

#[tokio::test]
async fn nobody_is_told_of_the_end_before_all_was_checked() {
    struct Flushed(Shared, Arc<Mutex<bool>>);
    impl Write for Flushed {
        fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
            self.0.write(data)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            *self.1.lock().unwrap() = true;
            Ok(())
        }
    }
    let images = Images::new();
    let mut image = sparse_image();
    images.save(images.request(T0), whole(&image)).await.unwrap();
    // The second level cuts off what the first has at its end: nothing of that is wanted, and yet it must be in order.
    image.truncate(2 * REGION);
    images.save(images.request(T0 + 1), whole(&image)).await.unwrap();
    let payload = images.room.object(&format!("0_{T0}/data"));
    let mut body = std::fs::read(&payload).unwrap();
    let last = body.len() - 1;
    body[last] ^= 1;
    std::fs::write(&payload, body).unwrap();
    let store = &images.room.store;
    let flushed = Arc::new(Mutex::new(false));
    let path = images.room.path("image.raw");
    let out = || Box::new(Flushed(Shared::default(), flushed.clone()));
    for output in [ImageOutput::Raw(out()), ImageOutput::Diff(out()), ImageOutput::File(path.clone())] {
        let plan = image::plan(store, &images.newest()).await.unwrap();
        let error = image::read(store.clone(), plan, output, Arc::new(Monitor::new())).await.unwrap_err();
        assert!(matches!(error, VaultError::Damaged { .. }), "{error}");
    }
    assert!(!*flushed.lock().unwrap() && !path.exists());
}

#[tokio::test]
async fn a_large_sparse_image_costs_what_it_holds() {
    const GIB: u64 = 1 << 30;
    let stream = |from: bool, extents: &[(u64, &[u8])]| {
        let mut out = b"rbd diff v1\n".to_vec();
        if from {
            out.extend(b"f\x01\0\0\0a");
        }
        out.push(b's');
        out.extend((200 * GIB).to_le_bytes());
        for (start, data) in extents {
            out.push(b'w');
            out.extend(start.to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            out.extend(*data);
        }
        out.push(b'e');
        ImageInput::Changes { stream: Box::new(std::io::Cursor::new(out)) }
    };
    let images = Images::new();
    let (first, second) = (noise(1, 1 << 20), noise(2, 70_000));
    images.save(images.request(T0), stream(false, &[(0, &first), (150 * GIB + 7, &second)])).await.unwrap();
    let changed = noise(3, 5000);
    let level = images.save(images.request(T0 + 1), stream(true, &[(199 * GIB, &changed)])).await.unwrap();
    assert!(level.bytes_stored < 10_000, "{}", level.bytes_stored);
    let manifest = std::fs::metadata(images.room.object(&format!("1_{}/manifest", T0 + 1))).unwrap().len();
    assert!(manifest < 1 << 20, "{manifest} bytes with the index of an image of holes");

    let path = images.room.path("image.raw");
    let plan = image::plan(&images.room.store, &images.newest()).await.unwrap();
    let output = ImageOutput::File(path.clone());
    image::read(images.room.store.clone(), plan, output, Arc::new(Monitor::new())).await.unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let facts = file.metadata().unwrap();
    assert_eq!(facts.len(), 200 * GIB);
    assert!(std::os::unix::fs::MetadataExt::blocks(&facts) * 512 < 4 << 20);
    for (start, data) in [(0, &first), (150 * GIB + 7, &second), (199 * GIB, &changed)] {
        let mut found = vec![0; data.len()];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut found, start).unwrap();
        assert!(found == *data, "at {start}");
    }
}

/// One step of an image's life.
#[derive(Clone, Debug)]
struct Change {
    writes: Vec<(usize, usize, u8)>,
    size: usize,
    /// Grid of the list of changes; `None`: read whole.
    grid: Option<usize>,
    /// The list names objects of the grid's size, also such as have not changed.
    by_objects: bool,
    knows_size: bool,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let start = prop_oneof![0..6 * REGION, (0..6 * REGION / 4096).prop_map(|block| block * 4096)];
    let length = prop_oneof![1..2 * REGION, 1..9000usize, Just(4096usize)];
    let write = (start, length, prop_oneof![Just(0u8), 1..4u8]);
    let grid = prop_oneof![
        Just(None),
        Just(Some(4096)),
        Just(Some(REGION)),
        Just(Some(100_000)),
        Just(Some(2 * REGION)),
    ];
    let size = prop_oneof![Just(4 * REGION), Just(6 * REGION), 1..6 * REGION];
    let change = (proptest::collection::vec(write, 0..7), size, grid, any::<bool>(), any::<bool>()).prop_map(
        |(writes, size, grid, by_objects, knows_size)| Change { writes, size, grid, by_objects, knows_size },
    );
    proptest::collection::vec(change, 1..7)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any sequence of writes and sizes, read in any way: each state restores as a plain copy of it.
    #[test]
    fn every_state_of_any_life_comes_back(life in changes()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let images = Images::new();
            let mut image: Vec<u8> = Vec::new();
            let mut states = Vec::new();
            for (number, change) in life.iter().enumerate() {
                let before = image.clone();
                image.resize(change.size, 0);
                for (start, length, byte) in &change.writes {
                    for place in *start..(*start + *length).min(image.len()) {
                        image[place] = if *byte == 0 { 0 } else { byte.wrapping_add((place % 251) as u8) };
                    }
                }
                let input = match change.grid {
                    Some(grid) => {
                        // What was cut off and came back is zero for the list too.
                        let mut old = before.clone();
                        old.truncate(image.len());
                        if change.by_objects {
                            objects(&old, &image, grid)
                        } else {
                            let stream = diff(&old, &image, grid);
                            ImageInput::Changes { stream: Box::new(std::io::Cursor::new(stream)) }
                        }
                    }
                    None => ImageInput::Whole {
                        reader: Box::new(std::io::Cursor::new(image.clone())),
                        size_bytes: change.knows_size.then_some(image.len() as u64),
                    },
                };
                let at = T0 + i64::try_from(number).unwrap();
                images.save(images.request(at), input).await.unwrap();
                states.push((at, image.clone()));
            }
            for (at, state) in states {
                let (restored, _) = images.restore(&images.until(at)).await.unwrap();
                assert!(restored == state, "the state of {} differs", at - T0);
            }
        });
    }
}
