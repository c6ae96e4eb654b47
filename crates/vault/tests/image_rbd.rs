//! The image engine and Ceph's own tool: what `rbd export-diff` writes is taken as it is, and `rbd import-diff` reads what
//! lies on the storage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::Monitor;
use freezer_vault::codecs::{Compression, CompressionOptions};
use freezer_vault::image::{
    self, ImageInput, ImageOutput, ImageRequest, ImageRestoreRequest, OpenImage, OpenedImage,
};
use freezer_vault::levels::LevelPolicy;
use serde_json::Value;
use std::sync::Arc;
use support::*;

const MIB: usize = 1 << 20;

fn rbd(line: &str, input: &[u8]) -> Vec<u8> {
    let conf = std::env::var("FREEZER_TEST_CEPH_CONF").unwrap_or_else(|_| "/etc/ceph/ceph.conf".into());
    pipe(&format!("timeout 120 rbd -c '{conf}' --no-progress {line} 2> >(grep -v asok >&2)"), input)
}

/// An image of the pool `volumes` that goes with its name.
struct Image(String);

impl Image {
    fn new() -> Self {
        let bytes: Vec<u8> = shell("cat /proc/sys/kernel/random/uuid");
        Self(format!("volumes/vault-test-{}", String::from_utf8(bytes).unwrap().trim()))
    }
    fn bytes(&self, at: &str) -> Vec<u8> {
        rbd(&format!("export {}{at} -", self.0), b"")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        rbd(&format!("snap purge {}", self.0), b"");
        rbd(&format!("rm {}", self.0), b"");
    }
}

async fn save(room: &Room, now: i64, input: ImageInput) -> u64 {
    let levels = LevelPolicy { incremental: true, ..LevelPolicy::default() };
    let compression = CompressionOptions::of(Compression::Zstd);
    let request = ImageRequest { levels, compression, ..ImageRequest::new(HOST, NAME, now) };
    let open: OpenImage = Box::new(move |_| {
        Box::pin(async move { Ok(OpenedImage { input, source: Value::Null, description: Value::Null }) })
    });
    let monitor = Arc::new(Monitor::new());
    image::backup(room.store.clone(), request, open, monitor).await.unwrap().bytes_stored
}

fn changes(bytes: Vec<u8>) -> ImageInput {
    ImageInput::Changes { stream: Box::new(std::io::Cursor::new(bytes)) }
}

async fn restore(room: &Room, output: ImageOutput) {
    let plan = image::plan(&room.store, &ImageRestoreRequest::new(HOST, NAME)).await.unwrap();
    image::read(room.store.clone(), plan, output, Arc::new(Monitor::new())).await.unwrap();
}

#[tokio::test]
async fn changes_come_from_the_cluster_and_go_back_by_hand() {
    let room = Room::new();
    let source = Image::new();
    let name = &source.0;
    let mut first = vec![0; 16 * MIB];
    first[MIB..3 * MIB].copy_from_slice(&noise(1, 2 * MIB));
    first[9 * MIB + 5000..10 * MIB].copy_from_slice(&noise(2, MIB - 5000));
    rbd(&format!("import - {name}"), &first);
    rbd(&format!("snap create {name}@s1"), b"");
    save(&room, T0, changes(rbd(&format!("export-diff {name}@s1 -"), b""))).await;

    // Smaller, then larger again, with something new where it was cut off.
    rbd(&format!("resize --allow-shrink --size 9M {name}"), b"");
    rbd(&format!("resize --size 20M {name}"), b"");
    let mut change = b"rbd diff v1\nw".to_vec();
    change.extend((2 * MIB as u64).to_le_bytes());
    change.extend(70_000u64.to_le_bytes());
    change.extend(noise(3, 70_000));
    change.push(b'w');
    change.extend((18 * MIB as u64).to_le_bytes());
    change.extend(9_000u64.to_le_bytes());
    change.extend(noise(4, 9_000));
    change.push(b'e');
    rbd(&format!("import-diff - {name}"), &change);
    rbd(&format!("snap create {name}@s2"), b"");
    save(&room, T0 + 1, changes(rbd(&format!("export-diff --from-snap s1 {name}@s2 -"), b""))).await;
    let now = source.bytes("@s2");
    assert_eq!(now.len(), 20 * MIB);

    // The snapshot is lost: the image is read whole, and what is known is not stored again.
    let size_bytes = Some(now.len() as u64);
    let stored = save(
        &room,
        T0 + 2,
        ImageInput::Whole { reader: Box::new(std::io::Cursor::new(now.clone())), size_bytes },
    )
    .await;
    assert!(stored < MIB as u64, "{stored} bytes were stored again");

    let target = Image::new();
    rbd(&format!("create --size 16M {}", target.0), b"");
    for level in [format!("0_{T0}"), format!("1_{}", T0 + 1), format!("2_{}", T0 + 2)] {
        let payload = std::fs::read(room.object(&format!("{level}/data"))).unwrap();
        rbd(&format!("import-diff - {}", target.0), &pipe("zstd -dc", &payload));
    }
    assert!(target.bytes("") == now, "by hand it is another image");

    let path = room.path("image.raw");
    restore(&room, ImageOutput::File(path.clone())).await;
    assert!(std::fs::read(&path).unwrap() == now);
    let merged = room.path("merged");
    restore(&room, ImageOutput::Diff(Box::new(std::fs::File::create(&merged).unwrap()))).await;
    let other = Image::new();
    rbd(&format!("create --size 1M {}", other.0), b"");
    rbd(&format!("import-diff - {}", other.0), &std::fs::read(&merged).unwrap());
    assert!(other.bytes("") == now, "from the merged stream it is another image");
}
