//! One file of more than 5 GiB (the largest object that Swift takes in one piece), dense, through the whole data path.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::BackupRequest;
use freezer_vault::codecs::{Compression, CompressionOptions};
use std::io::Write;
use support::{Room, T0, shell};

const MIB: usize = 1 << 20;
const BLOCKS: u64 = 5 * 1024;

/// Every block differs from the others, and none is a hole.
fn write_large(path: &std::path::Path) -> u64 {
    let mut file = std::fs::File::create(path).unwrap();
    let mut block: Vec<u8> = (0..MIB).map(|at| (at % 251) as u8).collect();
    for number in 0..BLOCKS {
        block[..8].copy_from_slice(&number.to_le_bytes());
        file.write_all(&block).unwrap();
    }
    file.write_all(b"and three").unwrap();
    BLOCKS * MIB as u64 + 9
}

#[tokio::test(flavor = "multi_thread")]
async fn five_gib_in_one_file() {
    let room = Room::new();
    let source = room.source().join("large");
    let size = write_large(&source);
    let compression = CompressionOptions::of(Compression::Zstd);
    let report = room.backup(BackupRequest { compression, ..room.request(T0) }).await.unwrap();
    assert_eq!((report.bytes_read, report.is_partial), (size, false));

    let payload = room.object("/data").display().to_string();
    let listed = String::from_utf8(shell(&format!("zstd -qdc '{payload}' | tar -tv --incremental"))).unwrap();
    assert!(listed.contains(&format!(" {size} ")), "GNU tar sees its size: {listed}");

    let restored = room.restore(room.to("target")).await.unwrap();
    assert_eq!((restored.bytes_written, restored.is_partial), (size, false));
    shell(&format!("cmp '{}' '{}'", source.display(), room.path("target/large").display()));
}
