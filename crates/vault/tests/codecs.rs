//! Compression against the real tools, both ways.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::codecs::{
    Compression, CompressionOptions, Compressor, decompress_all, decompressor, zstd_of,
};
use std::io::{Cursor, ErrorKind, Read, Write};
use support::{noise, pipe};

const PACKED: [Compression; 4] = [Compression::Gzip, Compression::Bzip2, Compression::Xz, Compression::Zstd];

fn compress(options: CompressionOptions, data: &[u8]) -> Vec<u8> {
    let (mut compressor, packed) = Compressor::start(&options).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for piece in data.chunks(70_001) {
                compressor.write_all(piece).unwrap();
            }
            compressor.finish().unwrap();
        });
        packed.flat_map(|frame| frame.unwrap().bytes).collect()
    })
}

fn decompress(format: Compression, data: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    decompressor(format, Box::new(Cursor::new(data))).unwrap().read_to_end(&mut out).unwrap();
    out
}

/// Text that compresses, with noise that does not.
fn mixed(size: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(size);
    let mut round = 0u64;
    while data.len() < size {
        data.extend_from_slice(format!("line {round} of a text that repeats itself\n").repeat(40).as_bytes());
        data.extend_from_slice(&noise(round, 997));
        round += 1;
    }
    data.truncate(size);
    data
}

#[test]
fn tools_read_what_we_write() {
    for size in [0, 1, 899_000, 7_500_000] {
        let data = mixed(size);
        for format in PACKED {
            for threads in [1, 2, 5] {
                let packed = compress(CompressionOptions { format, level: None, threads }, &data);
                assert!(packed.starts_with(format.magic()), "{format}");
                assert_eq!(Compression::sniff(&packed), Some(format));
                let tool = pipe(&format!("{format} -dc"), &packed);
                assert!(tool == data, "{format} -dc, {size} bytes, {threads} threads");
                assert!(decompress(format, packed) == data, "{format}, {size} bytes, {threads} threads");
            }
        }
    }
}

#[test]
fn what_does_not_shrink_hardly_grows_beside_what_does() {
    let data = [noise(1, 6 << 20), mixed(5 << 20), noise(2, 4 << 20)].concat();
    let shrunk = mixed(5 << 20);
    for format in PACKED {
        let packed = compress(CompressionOptions::of(format), &data);
        let alone = compress(CompressionOptions::of(format), &shrunk);
        let most = alone.len() + (10 << 20) + (10 << 20) / 100;
        assert!(packed.len() < most, "{format}: {} of at most {most}", packed.len());
        assert!(pipe(&format!("{format} -dc"), &packed) == data, "{format} -dc");
        assert!(decompress(format, packed) == data, "{format}");
    }
}

/// No time goes into what would not shrink: it is packed in one way, whatever level was asked for.
#[test]
fn noise_is_packed_at_the_cheapest_level() {
    let (dense, thin) = (noise(1, 2 << 20), mixed(2 << 20));
    for format in [Compression::Gzip, Compression::Xz] {
        let at = |level, data: &[u8]| {
            compress(CompressionOptions { format, level: Some(level), threads: 2 }, data)
        };
        for level in [6, 9] {
            assert!(at(level, &dense) == at(1, &dense), "{format}, level {level}");
            assert!(at(level, &thin) != at(1, &thin), "{format}, level {level}");
        }
    }
}

#[test]
fn we_read_what_tools_write() {
    let data = mixed(2_300_000);
    let (first, second) = data.split_at(1_000_001);
    for format in PACKED {
        let mut packed = pipe(&format!("{format} -c"), first);
        packed.extend(pipe(&format!("{format} -c -1"), second));
        assert!(decompress(format, packed) == data, "{format}: two members");
    }
}

#[test]
fn plain_passes_through() {
    let data = mixed(3_000_000);
    assert!(compress(CompressionOptions::of(Compression::None), &data) == data);
    assert!(decompress(Compression::None, data.clone()) == data);
}

#[test]
fn levels_are_checked_and_matter() {
    let data = mixed(3_000_000);
    for format in PACKED {
        let at = |level| compress(CompressionOptions { format, level: Some(level), threads: 2 }, &data).len();
        assert!(at(9) <= at(1), "{format}");
        let wrong = CompressionOptions { format, level: Some(99), threads: 2 };
        let error = wrong.checked_level().unwrap_err().to_string();
        assert!(error.contains("99") && error.contains(format.name()), "{error}");
    }
}

#[test]
fn a_reader_that_leaves_stops_the_writer() {
    for format in Compression::ALL {
        let (mut compressor, packed) = Compressor::start(&CompressionOptions::of(format)).unwrap();
        drop(packed);
        let data = noise(1, 1 << 20);
        let error = (0..64).find_map(|_| compressor.write_all(&data).err()).expect("the writer must stop");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{format}");
    }
}

#[test]
fn an_unfinished_stream_never_looks_finished() {
    for format in Compression::ALL {
        let (mut compressor, packed) = Compressor::start(&CompressionOptions::of(format)).unwrap();
        compressor.write_all(b"some bytes").unwrap();
        drop(compressor);
        let last = packed.last().unwrap();
        assert!(last.is_err(), "{format}");
    }
}

#[test]
fn damage_is_noticed_by_the_formats_themselves() {
    let data = mixed(1_500_000);
    for format in PACKED {
        let mut packed = compress(CompressionOptions::of(format), &data);
        let middle = packed.len() / 2;
        packed[middle] ^= 0xff;
        let mut out = Vec::new();
        let result = decompressor(format, Box::new(Cursor::new(packed))).unwrap().read_to_end(&mut out);
        assert!(result.is_err(), "{format}");
    }
}

#[test]
fn small_things_in_one_go() {
    let data = mixed(100_000);
    for format in Compression::ALL {
        let packed = compress(CompressionOptions::of(format), &data);
        assert!(decompress_all(format, packed.clone(), 100_000).unwrap() == data);
        assert!(decompress_all(format, packed, 99_999).is_err(), "{format}: the limit holds");
    }
    let packed = zstd_of(|out| data.chunks(1000).try_for_each(|piece| out.write_all(piece))).unwrap();
    assert!(decompress_all(Compression::Zstd, packed, 100_000).unwrap() == data);
}
