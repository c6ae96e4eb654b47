//! A check of a sample: it reads a part, names what it left, and finds damage when the damaged part comes up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::codecs::{Compression, CompressionOptions};
use freezer_vault::verify::VerifyRequest;
use freezer_vault::{BackupRequest, Monitor, Sample, VerifyReport, verify};
use std::sync::Arc;
use support::*;

async fn check(room: &Room, percent: f64, day: i64) -> VerifyReport {
    let sample = Some(Sample { percent, seed: day.to_string() });
    let request = VerifyRequest { sample, ..VerifyRequest::new(hbn()) };
    verify(room.store.clone(), request, Arc::new(Monitor::new())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_on_the_day_its_piece_comes_up() {
    let room = Room::new();
    std::fs::write(room.source().join("noise"), noise(1, 4_000_000)).unwrap();
    let compression = CompressionOptions::of(Compression::None);
    let request = BackupRequest { max_segment_size_bytes: 200_000, compression, ..room.request(T0) };
    room.backup(request).await.unwrap();
    let report = check(&room, 25.0, 1).await;
    let level = &report.levels[0];
    assert!(report.is_sound() && (200_000..2_500_000).contains(&level.bytes_checked), "{level:?}");
    assert!(
        level.notes[0].starts_with("a sample: ") && level.notes[0].contains(" of 21 pieces"),
        "{level:?}"
    );

    let data = room.object("/data");
    let mut body = std::fs::read(&data).unwrap();
    body[1_234_567] ^= 1;
    std::fs::write(&data, &body).unwrap();
    let mut sound = Vec::new();
    for day in 0..40 {
        let report = check(&room, 25.0, day).await;
        assert_eq!(report.is_sound(), check(&room, 25.0, day).await.is_sound(), "the same sample twice");
        sound.push(report.is_sound());
    }
    assert!(sound.contains(&true) && sound.contains(&false), "{sound:?}");
    assert!(!check(&room, 100.0, 0).await.is_sound());
    // What is missing is found whatever the sample.
    body.truncate(3_900_000);
    std::fs::write(&data, &body).unwrap();
    for day in 0..10 {
        assert!(!check(&room, 0.1, day).await.is_sound());
    }
}
