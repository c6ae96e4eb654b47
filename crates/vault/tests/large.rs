//! One file of more than 5 GiB (the largest object that Swift takes in one piece), dense, through the whole data path.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::BackupRequest;
use freezer_vault::codecs::{Compression, CompressionOptions};
use std::io::{Read, Write};
use support::{Room, T0, shell};

const MIB: usize = 1 << 20;
const BLOCKS: u64 = 5 * 1024;

const END: &[u8] = b"and three";
const SIZE: u64 = BLOCKS * MIB as u64 + END.len() as u64;

/// Calls with the file's content piece by piece. Every block differs from the others, and none is a hole.
fn content(mut take: impl FnMut(&[u8])) {
    let mut block: Vec<u8> = (0..MIB).map(|at| (at % 251) as u8).collect();
    for number in 0..BLOCKS {
        block[..8].copy_from_slice(&number.to_le_bytes());
        take(&block);
    }
    take(END);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_gib_in_one_file() {
    let room = Room::new();
    let source = room.source().join("large");
    let mut file = std::fs::File::create(&source).unwrap();
    content(|piece| file.write_all(piece).unwrap());
    drop(file);
    let compression = CompressionOptions::of(Compression::Zstd);
    let report = room.backup(BackupRequest { compression, ..room.request(T0) }).await.unwrap();
    assert_eq!((report.bytes_read, report.is_partial), (SIZE, false));

    let payload = room.object("/data").display().to_string();
    let listed = String::from_utf8(shell(&format!("zstd -qdc '{payload}' | tar -tv --incremental"))).unwrap();
    assert!(listed.contains(&format!(" {SIZE} ")), "GNU tar sees its size: {listed}");

    // What was saved is known: a disk need not hold it twice.
    std::fs::remove_file(&source).unwrap();
    let restored = room.restore(room.to("target")).await.unwrap();
    assert_eq!((restored.bytes_written, restored.is_partial), (SIZE, false));
    let mut file = std::fs::File::open(room.path("target/large")).unwrap();
    let mut found = vec![0; MIB];
    content(|piece| {
        file.read_exact(&mut found[..piece.len()]).unwrap();
        assert!(found[..piece.len()] == *piece, "restored as it was");
    });
}
